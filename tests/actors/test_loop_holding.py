"""Nobody holds the loop: between two steps of any task hardly any time passes, also with thousands of containers."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator

import pytest
import trio
from trio.abc import Instrument
from trio.testing import MockClock

from bireme_actors import Kill, Pause, Remove, Start, Supervisor, Unpause, VolumesFrom, open_supervisor
from bireme_actors.testing import Fakes, sample_config

CONTAINERS = 500
LONGEST = 0.025
"""Seconds of processor time that one step of a task may take; a hundred times what it does take."""


class Steps(Instrument):
    """Measures every step of every task, in processor time, so that a busy machine does not matter."""

    def __init__(self) -> None:
        self.longest: dict[str, float] = {}
        self.count = 0
        self._began = 0.0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._began = time.thread_time()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        took = time.thread_time() - self._began
        self.count += 1
        self.longest[task.name] = max(took, self.longest.get(task.name, 0.0))

    def worst(self) -> list[tuple[float, str]]:
        return sorted(((took, name) for name, took in self.longest.items() if took > LONGEST), reverse=True)


@pytest.fixture
def _no_garbage() -> Iterator[None]:
    """The collector's pauses are nobody's step."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_garbage")
def test_no_task_holds_the_loop() -> None:
    steps = Steps()
    trio.run(_work, clock=MockClock(autojump_threshold=0), instruments=[steps])
    assert steps.count > 20 * CONTAINERS
    assert not steps.worst()


@pytest.mark.usefixtures("_no_garbage")
def test_who_does_hold_it_is_seen() -> None:
    async def hold() -> None:
        until = time.thread_time() + 2 * LONGEST
        while time.thread_time() < until:
            sum(range(1000))

    steps = Steps()
    trio.run(hold, instruments=[steps])
    assert [name.rsplit(".", 1)[-1] for _, name in steps.worst()] == ["hold"]


async def _work() -> None:
    async with open_supervisor(Fakes().ports()) as core:
        await core.create(sample_config(name="source", volumes=("/shared",)))
        async with trio.open_nursery() as nursery:
            for _ in range(CONTAINERS):
                nursery.start_soon(_live, core)


async def _live(core: Supervisor) -> None:
    actor = await core.create(sample_config(volumes=("/own",), volumes_from=(VolumesFrom("source"),)))
    for message in (Start(), Pause(), Unpause(), Kill(10), Remove(force=True, volumes=True)):
        await actor.ref.ask(message)
