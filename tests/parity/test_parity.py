"""Every scenario of the catalogue on Bireme, those of volumes under every driver that is installed.

``python -m tests.parity`` plays them on Docker too, side by side.

Each driver has an engine of its own, and all are played on at the same time: a thread an engine goes through its
scenarios in their order, and the test of a scenario waits for what that shows.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

import pytest

from tests.leaks import Session
from tests.parity._bireme import FARMED, open_bireme
from tests.parity._catalogue import Scenario, catalogue
from tests.parity._images import make_images
from tests.parity._side import PATIENCE, Side

pytestmark = [pytest.mark.root, pytest.mark.system, pytest.mark.timeout(600)]

_EVERYWHERE = "VCWEIRT"
"""The areas that are played under every driver: volumes, concurrency, waiting, exits, inspect, removal, tmpfs."""

PLAYED: Sequence[tuple[str, Scenario]] = [
    *(("native", found) for found in catalogue()),
    *((driver, found) for found in catalogue() if found.area in _EVERYWHERE for driver in FARMED),
]
"""In the order of the tests: the drivers that farm out take turns, as their threads go on beside each other."""

Shown = Future[tuple[object, tuple[int, int]]]
"""What a scenario shows, and how many containers and volumes are left when all have been removed."""


@pytest.fixture
def nothing_left() -> None:
    """Looked for once, when the engines of all scenarios have ended, not after each (``shown``)."""


class Player(threading.Thread):
    """Goes through scenarios on one engine."""

    def __init__(self, side: Side, found: Sequence[Scenario]) -> None:
        super().__init__(name=f"player of {side}")
        self.shown: dict[str, Shown] = {one.id: Future() for one in found}
        self.stopping = False
        self._side = side
        self._found = found

    def run(self) -> None:
        for one in self._found:
            if self.stopping:
                self.shown[one.id].cancel()
                continue
            try:
                self.shown[one.id].set_result(self._play(one))
            except BaseException as error:  # noqa: BLE001 - it is the test's that waits for it
                self.shown[one.id].set_exception(error)

    def _play(self, found: Scenario) -> tuple[object, tuple[int, int]]:
        try:
            shown = found.play(self._side)
        finally:
            self._side.clear()
        return shown, (len(self._side.containers()), len(self._side.volumes()))


@pytest.fixture(scope="module")
def shown(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, leak_session: Session
) -> Iterator[dict[str, dict[str, Shown]]]:
    """What is shown, by driver and by id. Once all engines have ended there is nothing left of them on the host."""
    wanted = {item.callspec.id for item in request.session.items if isinstance(item, pytest.Function) and _ours(item)}
    before = leak_session.traces()
    with contextlib.ExitStack() as stack:
        players = {}
        for driver in ("native", *FARMED):
            found = [one for name, one in PLAYED if name == driver and f"{driver}-{one.id}" in wanted]
            if found:
                side = stack.enter_context(open_bireme(tmp_path_factory.mktemp(driver), driver))
                make_images(side)
                players[driver] = Player(side, found)
                stack.callback(_stop, players[driver])
        for player in players.values():
            player.start()
        yield {driver: player.shown for driver, player in players.items()}
    left = leak_session.leftovers(before)
    assert not left, "left behind:\n" + "\n".join(left)


def _ours(item: pytest.Function) -> bool:
    return item.module.__name__ == __name__ and hasattr(item, "callspec")


def _stop(player: Player) -> None:
    player.stopping = True
    if player.is_alive():
        player.join()


@pytest.mark.parametrize(
    ("driver", "found"), [pytest.param(driver, found, id=f"{driver}-{found.id}") for driver, found in PLAYED]
)
def test_bireme_shows_what_the_catalogue_says(
    shown: dict[str, dict[str, Shown]], driver: str, found: Scenario
) -> None:
    seen, left = shown[driver][found.id].result(timeout=10 * PATIENCE)
    assert seen == found.bireme, found.title
    assert left == (0, 0)
