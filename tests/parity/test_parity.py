"""Every scenario of the catalogue on Bireme. ``python -m tests.parity`` plays them on Docker too, side by side."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.leaks import Session
from tests.parity._bireme import FARMED, open_bireme
from tests.parity._catalogue import Scenario, catalogue
from tests.parity._images import make_images
from tests.parity._side import Side

pytestmark = [pytest.mark.root, pytest.mark.system]


@pytest.fixture
def nothing_left() -> None:
    """Looked for once, when the engine of all scenarios has ended, not after each (``_engine``)."""


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory, leak_session: Session) -> Iterator[Side]:
    """One engine for all scenarios."""
    with _engine(tmp_path_factory.mktemp("native"), "native", leak_session) as opened:
        yield opened


@pytest.fixture(scope="module", params=FARMED)
def farmed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, leak_session: Session
) -> Iterator[Side]:
    """One engine for each driver that farms containers out."""
    with _engine(tmp_path_factory.mktemp(request.param), request.param, leak_session) as opened:
        yield opened


@contextlib.contextmanager
def _engine(place: Path, driver: str, session: Session) -> Iterator[Side]:
    """An engine with the images. Once it has ended there is no process, mount, cgroup or descriptor of it."""
    before = session.traces()
    with open_bireme(place, driver) as opened:
        make_images(opened)
        yield opened
    left = session.leftovers(before)
    assert not left, "left behind:\n" + "\n".join(left)


def _play(found: Scenario, side: Side) -> None:
    try:
        assert found.play(side) == found.bireme, found.title
    finally:
        side.clear()
    assert side.containers() == []
    assert side.volumes() == set()


@pytest.mark.parametrize("found", catalogue(), ids=lambda found: found.id)
def test_bireme_shows_what_the_catalogue_says(native: Side, found: Scenario) -> None:
    _play(found, native)


@pytest.mark.parametrize("found", [found for found in catalogue() if found.area in "VC"], ids=lambda found: found.id)
def test_volumes_are_the_same_whoever_runs_the_containers(farmed: Side, found: Scenario) -> None:
    _play(found, farmed)
