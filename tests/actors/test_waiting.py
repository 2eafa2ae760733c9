"""Waiting: any number of tasks, before, during and after the exit, in every state; cancelled, nothing is left."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from bireme_actors import (
    ActorStopped,
    CommandNotFound,
    ContainerState,
    ExitStatus,
    Kill,
    OnExit,
    Remove,
    RestartPolicy,
    Start,
    Status,
    Stop,
    WaitCondition,
    Watch,
)
from bireme_actors._waiting import Exits
from bireme_actors.testing import EPOCH, Fakes, sample_config
from tests.actors.conftest import IDLE, Later, OpenCore

NOT_RUNNING, NEXT_EXIT, REMOVED = WaitCondition.NOT_RUNNING, WaitCondition.NEXT_EXIT, WaitCondition.REMOVED
CROWD = 200


async def test_all_who_wait_before_during_and_after_get_the_same(
    fakes: Fakes, open_core: OpenCore, later: Later, clock: MockClock
) -> None:
    async with open_core() as core:
        actor = await core.create(sample_config("app"))
        early = [later(actor.exits.watch(NEXT_EXIT, actor.state).wait) for _ in range(CROWD)]
        await actor.ref.ask(Start())
        process = fakes.process(actor.config.id)
        during = [later(actor.exits.watch(NOT_RUNNING, actor.state).wait) for _ in range(CROWD)]
        await trio.sleep(3)
        process.exit(7)
        amid = [later(actor.exits.watch(NOT_RUNNING, actor.state).wait) for _ in range(CROWD)]
        await wait_all_tasks_blocked()
        statuses = [waiting.result() for waiting in (*early, *during, *amid)]
        statuses += [await actor.exits.watch(NOT_RUNNING, actor.state).wait() for _ in range(3)]
        assert {int(status) for status in statuses} == {7}
        assert {(status.started, status.finished) for status in statuses} == {(EPOCH, EPOCH + 3_000_000_000)}
        assert core.statistics()["waiters"] == 0


async def test_who_gives_up_waiting_leaves_nothing_and_disturbs_nobody(
    fakes: Fakes, open_core: OpenCore, later: Later, clock: MockClock
) -> None:
    async with open_core() as core:
        actor = await core.create(sample_config("app"))
        await actor.ref.ask(Start())
        for condition in WaitCondition:
            for _ in range(CROWD):
                later(actor.exits.watch(condition, actor.state).wait).scope.cancel()
        steadfast = later(actor.exits.watch(NOT_RUNNING, actor.state).wait)
        await wait_all_tasks_blocked()
        assert core.statistics() == {"containers": 1, "volumes": 0} | IDLE | {"waiters": 1}
        assert actor.state.status is Status.RUNNING
        fakes.process(actor.config.id).exit(3)
        await wait_all_tasks_blocked()
        assert steadfast.result() == 3


async def test_a_wait_with_a_time_limit_leaves_the_container_as_it_is(open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        actor = await core.create(sample_config("app"))
        await actor.ref.ask(Start())
        with trio.move_on_after(5) as scope:
            await actor.exits.watch(NOT_RUNNING, actor.state).wait()
        assert scope.cancelled_caught
        assert actor.state.status is Status.RUNNING
        assert core.statistics() | IDLE == core.statistics()


async def test_next_exit_skips_the_exits_that_were(
    fakes: Fakes, open_core: OpenCore, later: Later, clock: MockClock
) -> None:
    async with open_core() as core:
        actor = await core.create(sample_config("app"))
        for code in (1, 2, 3):
            watch = actor.exits.watch(NEXT_EXIT, actor.state)
            await actor.ref.ask(Start())
            assert not watch.done()
            fakes.process(actor.config.id).exit(code)
            assert await watch.wait() == code
            assert await watch.wait() == code, "the answer stays"
        assert not actor.exits.watch(NEXT_EXIT, actor.state).done()
        assert await actor.exits.watch(NOT_RUNNING, actor.state).wait() == 3


async def test_not_running_is_at_once_for_what_never_ran(open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        actor = await core.create(sample_config("app"))
        assert await actor.exits.watch(NOT_RUNNING, actor.state).wait() == 0


async def test_who_waits_while_it_starts_is_told_that_it_never_did(
    fakes: Fakes, open_core: OpenCore, later: Later, clock: MockClock
) -> None:
    fakes.faults.delay("driver.start", 5)
    fakes.faults.fail("driver.start", CommandNotFound("no such command"))
    async with open_core() as core:
        actor = await core.create(sample_config("app"))
        start = later(lambda: actor.ref.ask(Start()))
        await wait_all_tasks_blocked()
        waiting = [later(actor.exits.watch(condition, actor.state).wait) for condition in (NOT_RUNNING, NEXT_EXIT)]
        await trio.sleep(6)
        assert isinstance(start.error, CommandNotFound)
        assert [pending.result() for pending in waiting] == [127, 127]
        assert waiting[0].value.error == "no such command"


async def test_a_removal_by_force_is_told_as_the_kill_it_is(
    open_core: OpenCore, later: Later, clock: MockClock
) -> None:
    async with open_core() as core:
        actor = await core.create(sample_config("app"))
        await actor.ref.ask(Start())
        waiting = [later(actor.exits.watch(condition, actor.state).wait) for condition in WaitCondition]
        await actor.ref.ask(Remove(force=True))
        await wait_all_tasks_blocked()
        assert [pending.result() for pending in waiting] == [137] * 3
        assert [await actor.exits.watch(condition, actor.state).wait() for condition in WaitCondition] == [137] * 3


async def test_a_removal_of_what_never_ran_ends_every_wait(open_core: OpenCore, later: Later, clock: MockClock) -> None:
    async with open_core() as core:
        actor = await core.create(sample_config("app"))
        waiting = [later(actor.exits.watch(condition, actor.state).wait) for condition in (NEXT_EXIT, REMOVED)]
        await actor.ref.ask(Remove())
        await wait_all_tasks_blocked()
        assert [pending.result() for pending in waiting] == [0, 0]


@pytest.mark.parametrize("verb", [Stop(15, 10.0), Kill(9), Remove(force=True)])
async def test_who_waits_between_two_restarts_is_told_when_there_will_be_none(
    fakes: Fakes, open_core: OpenCore, later: Later, clock: MockClock, verb: Stop | Kill | Remove
) -> None:
    async with open_core() as core:
        actor = await core.create(sample_config("app", restart=RestartPolicy(name="always")))
        await actor.ref.ask(Start())
        fakes.process(actor.config.id).exit(4)
        await wait_all_tasks_blocked()
        assert actor.state.status is Status.RESTARTING
        waiting = later(actor.exits.watch(NOT_RUNNING, actor.state).wait)
        await wait_all_tasks_blocked()
        assert not waiting.done
        await actor.ref.ask(verb)
        await wait_all_tasks_blocked()
        assert waiting.result() == 4


async def test_detaching_ends_every_wait_with_an_error(
    fakes: Fakes, open_core: OpenCore, later: Later, clock: MockClock
) -> None:
    async with open_core(OnExit.DETACH) as core:
        actor = await core.create(sample_config("app"))
        await actor.ref.ask(Start())
        waiting = [later(actor.exits.watch(condition, actor.state).wait) for condition in WaitCondition]
        await wait_all_tasks_blocked()
    assert [type(pending.error) for pending in waiting] == [ActorStopped] * 3
    with pytest.raises(ActorStopped):
        await actor.exits.watch(NEXT_EXIT, actor.state).wait()


async def test_an_exit_that_was_told_is_known_after_the_end_too(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core(OnExit.STOP) as core:
        actor = await core.create(sample_config("app"))
        await actor.ref.ask(Start())
    assert await actor.exits.watch(NOT_RUNNING, actor.state).wait() == 143
    with pytest.raises(ActorStopped):
        await actor.exits.watch(NEXT_EXIT, actor.state).wait()


async def test_a_watch_takes_the_first_answer_only(clock: MockClock) -> None:
    watch = Watch()
    assert not watch.done()
    watch.set(ExitStatus(1))
    watch.set(ExitStatus(2))
    watch.fail(ActorStopped("too late"))
    assert watch.done()
    with trio.testing.assert_checkpoints():
        assert await watch.wait() == 1


@pytest.mark.parametrize("status", Status)
def test_what_each_condition_waits_for_in_each_state(status: Status) -> None:
    state, exits = ContainerState(status=status, exit_code=5), Exits()
    runs_or_will = status in {Status.STARTING, Status.RUNNING, Status.PAUSED, Status.STOPPING, Status.RESTARTING}
    assert exits.watch(NOT_RUNNING, state).done() != runs_or_will
    assert not exits.watch(NEXT_EXIT, state).done()
    assert not exits.watch(REMOVED, state).done()
    exits.removed(ExitStatus(5))
    assert all(exits.watch(condition, state).done() for condition in WaitCondition)
