"""Output on its way into a log: no faster than the log can take it, and the exit waits for no reader."""

from __future__ import annotations

from typing import Any

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from bireme_actors import ContainerActor, Kill, OnExit, Start, Status, Stop, Supervisor, WaitCondition
from bireme_actors.testing import FakeProcess, Fakes, sample_config
from bireme_actors.testing._fakes import MemoryLog
from tests.actors.conftest import OpenCore


async def started(core: Supervisor, fakes: Fakes, **changes: Any) -> tuple[ContainerActor, FakeProcess, MemoryLog]:
    """A container that runs, its process, and its log."""
    actor = await core.create(sample_config(**changes))
    await actor.ref.ask(Start())
    return actor, fakes.process(actor.config.id), fakes.logs.open_log(actor.config.id)


async def exit_of(actor: ContainerActor) -> float:
    """When it has ended."""
    await actor.exits.watch(WaitCondition.NOT_RUNNING, actor.state).wait()
    return trio.current_time()


async def test_an_output_that_says_nothing_has_no_task_until_it_does(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core() as core:
        actor, process, log = await started(core, fakes)
        await wait_all_tasks_blocked()
        before = trio.lowlevel.current_statistics().tasks_living
        process.output.feed(b"1")
        await wait_all_tasks_blocked()
        process.output.feed(b"2")
        await wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living == before + 1
        assert log.output() == b"12"
        process.exit(0)
        await exit_of(actor)
        assert process.output.closed
        assert process.errors.closed


async def test_what_was_said_before_anybody_listened_is_taken(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core() as core:
        _, process, log = await started(core, fakes, args=("sh", "-c", "echo early; sleep 5"))
        await wait_all_tasks_blocked()
        assert log.output() == b"early\n"
        assert not process.ended


async def test_the_end_of_the_core_closes_what_has_never_said_anything(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core(on_exit=OnExit.DETACH) as core:
        _, process, _ = await started(core, fakes)
    assert process.output.closed
    assert process.errors.closed


async def test_a_full_log_is_waited_for_and_nothing_more_is_read(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core() as core:
        _, process, log = await started(core, fakes)
        log.full = True
        process.output.feed(b"1")
        await wait_all_tasks_blocked()
        process.output.feed(b"2")
        await wait_all_tasks_blocked()
        assert log.output() == b"1"
        log.full = False
        log.room.set()
        await wait_all_tasks_blocked()
        assert log.output() == b"12"


async def test_the_streams_wait_each_for_itself_and_commands_do_not(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core() as core:
        actor, process, log = await started(core, fakes)
        log.full = True
        process.output.feed(b"out")
        process.errors.feed(b"err")
        await wait_all_tasks_blocked()
        assert (log.output(), log.output("stderr")) == (b"out", b"err")
        start = trio.current_time()
        await actor.ref.ask(Kill(9))
        assert await exit_of(actor) == start
        assert actor.state.status is Status.EXITED


async def test_what_is_left_at_the_exit_is_taken_however_full_the_log_is(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core() as core:
        actor, process, log = await started(core, fakes)
        log.full = True
        process.output.feed(b"1")
        await wait_all_tasks_blocked()
        process.output.feed(b"2")
        process.output.feed(b"3")
        process.exit(0)
        start = trio.current_time()
        assert await exit_of(actor) == start
        assert log.output() == b"123"


async def test_a_stop_is_not_held_up(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        actor, process, log = await started(core, fakes)
        log.full = True
        process.output.feed(b"1")
        await wait_all_tasks_blocked()
        start = trio.current_time()
        await actor.ref.ask(Stop(15, 10.0))
        assert trio.current_time() == start
        assert log.runs == 1


async def test_the_end_of_the_core_waits_for_no_reader(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        _, process, log = await started(core, fakes)
        log.full = True
        process.output.feed(b"1")
        await wait_all_tasks_blocked()
    assert process.output.closed
