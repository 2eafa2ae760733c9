"""Every scenario of the catalogue on Bireme. ``python -m tests.parity`` plays them on Docker too, side by side."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.leaks import Session
from tests.parity._bireme import DRIVERS, open_bireme
from tests.parity._catalogue import Scenario, catalogue
from tests.parity._images import make_images
from tests.parity._side import Side

pytestmark = [pytest.mark.root, pytest.mark.system]


@pytest.fixture
def nothing_left() -> None:
    """Looked for once, when the engine of all scenarios has ended, not after each (``side``)."""


@pytest.fixture(scope="module", params=DRIVERS)
def side(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, leak_session: Session
) -> Iterator[Side]:
    """One engine for all scenarios. Once it has ended there is no process, mount, cgroup or descriptor of it."""
    before = leak_session.traces()
    with open_bireme(tmp_path_factory.mktemp("parity"), request.param) as opened:
        make_images(opened)
        yield opened
    left = leak_session.leftovers(before)
    assert not left, "left behind:\n" + "\n".join(left)


@pytest.mark.parametrize("found", catalogue(), ids=lambda found: found.id)
def test_bireme_shows_what_the_catalogue_says(side: Side, found: Scenario) -> None:
    try:
        assert found.play(side) == found.bireme, found.title
    finally:
        side.clear()
    assert side.containers() == []
    assert side.volumes() == set()
