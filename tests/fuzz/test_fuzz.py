"""A short fuzz of the API, always with the same seeds; ``make fuzz`` is the long one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.grammar import Ask
from tests.fuzz.player import Answer, check
from tests.fuzz.rounds import fuzz
from tests.fuzz.world import World

pytestmark = pytest.mark.root

SECONDS = 15.0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def test_no_request_makes_the_engine_fail_hang_or_leak(world: World) -> None:
    played = fuzz(world, SECONDS)
    assert played.requests > 50
    assert {200, 201, 204, 400, 404, 409} <= set(played.statuses)


ASK = Ask("GET", "/containers/json", (), None, known=True)
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, JSON, b'{"message": "internal error"}', whole=True),
        Answer(404, JSON, b"", whole=True),
        Answer(404, JSON, b'{"message": ""}', whole=True),
        Answer(404, JSON, b'{"message": "a"}', whole=False),
        Answer(400, JSON, b'{"error": "a"}', whole=True),
        Answer(200, JSON, b'{"a": ', whole=True),
    ],
)
def test_what_no_client_should_get_is_found(answer: Answer) -> None:
    with pytest.raises((AssertionError, ValueError)):
        check(ASK, answer)
