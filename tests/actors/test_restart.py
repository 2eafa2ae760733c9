"""Restart policies, on virtual time."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from bireme_actors import (
    CommandNotFound,
    ContainerActor,
    ContainerState,
    Kill,
    Remove,
    RestartPolicy,
    Start,
    Status,
    Stop,
    Supervisor,
)
from bireme_actors._restart import RESTART_MOST, restart_attempt, restart_delay, wants_restart
from bireme_actors.testing import Fakes, sample_config
from tests.actors.conftest import OpenCore

ALWAYS = RestartPolicy(name="always")


async def _running(core: Supervisor, policy: RestartPolicy) -> ContainerActor:
    actor = await core.create(sample_config("app", restart=policy))
    await actor.ref.ask(Start())
    return actor


async def _exit(fakes: Fakes, actor: ContainerActor, code: int) -> None:
    fakes.process(actor.config.id).exit(code)
    await wait_all_tasks_blocked()


@pytest.mark.parametrize(
    ("policy", "code", "again"),
    [
        (RestartPolicy(), 0, False),
        (RestartPolicy(), 1, False),
        (ALWAYS, 0, True),
        (RestartPolicy(name="unless-stopped"), 1, True),
        (RestartPolicy(name="on-failure"), 0, False),
        (RestartPolicy(name="on-failure"), 1, True),
    ],
)
async def test_who_runs_again(
    fakes: Fakes, open_core: OpenCore, clock: MockClock, policy: RestartPolicy, code: int, again: bool
) -> None:
    async with open_core() as core:
        actor = await _running(core, policy)
        await _exit(fakes, actor, code)
        assert actor.state.status is (Status.RESTARTING if again else Status.EXITED)
        await trio.sleep(0.2)
        assert actor.state.running == again
        assert actor.state.restart_count == again


async def test_each_restart_waits_twice_as_long_until_a_run_is_calm(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core() as core:
        actor = await _running(core, ALWAYS)
        for number in range(12):
            await _exit(fakes, actor, 1)
            await _restarts_after(actor, min(0.1 * 2**number, 60))
        await trio.sleep(10)
        await _exit(fakes, actor, 1)
        await _restarts_after(actor, 0.1)
        assert actor.state.restart_count == 1


async def _restarts_after(actor: ContainerActor, seconds: float) -> None:
    await trio.sleep(seconds - 0.01)
    assert actor.state.status is Status.RESTARTING
    await trio.sleep(0.02)
    assert actor.state.running


async def test_on_failure_gives_up_after_its_tries(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        actor = await _running(core, RestartPolicy(name="on-failure", maximum_retries=3))
        for _ in range(3):
            await _exit(fakes, actor, 1)
            await trio.sleep(1)
            assert actor.state.running
        await _exit(fakes, actor, 1)
        await trio.sleep(100)
        assert (actor.state.status, actor.state.restart_count) == (Status.EXITED, 3)
        await actor.ref.ask(Start())
        assert actor.state.restart_count == 0, "starting it by hand counts anew"


@pytest.mark.parametrize("message", [Stop(15, 10.0), Kill(9)])
async def test_what_was_stopped_by_hand_stays_so(
    fakes: Fakes, open_core: OpenCore, clock: MockClock, message: Stop | Kill
) -> None:
    async with open_core() as core:
        actor = await _running(core, ALWAYS)
        await actor.ref.ask(message)
        await trio.sleep(100)
        assert (actor.state.status, actor.state.stopped_by_user) == (Status.EXITED, True)


@pytest.mark.parametrize("message", [Stop(15, 10.0), Kill(9), Remove(force=True)])
async def test_what_ends_it_between_two_runs_is_not_undone_by_the_timer(
    fakes: Fakes, open_core: OpenCore, clock: MockClock, message: Stop | Kill | Remove
) -> None:
    async with open_core() as core:
        actor = await _running(core, ALWAYS)
        await _exit(fakes, actor, 1)
        await actor.ref.ask(message)
        await trio.sleep(100)
        assert len(fakes.faults.called("driver.start")) == 1


async def test_a_start_by_hand_comes_before_the_timer_and_is_not_doubled(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core() as core:
        actor = await _running(core, ALWAYS)
        await _exit(fakes, actor, 1)
        await actor.ref.ask(Start())
        await trio.sleep(100)
        assert len(fakes.faults.called("driver.start")) == 2
        assert actor.state.running


async def test_a_restart_that_cannot_start_is_the_last(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        actor = await _running(core, ALWAYS)
        fakes.faults.fail("driver.start", CommandNotFound("it has gone"))
        await _exit(fakes, actor, 1)
        await trio.sleep(100)
        assert (actor.state.status, actor.state.exit_code) == (Status.EXITED, 127)


async def test_it_is_not_removed_between_two_runs_unless_by_force(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core() as core:
        actor = await _running(core, ALWAYS)
        await _exit(fakes, actor, 1)
        with pytest.raises(Exception, match="cannot remove a running container"):
            await actor.ref.ask(Remove())


@given(st.integers(1, 10_000))
def test_the_delay_grows_and_is_bounded(attempt: int) -> None:
    assert 0.1 <= restart_delay(attempt) <= restart_delay(attempt + 1) <= RESTART_MOST


@given(st.sampled_from(["no", "always", "unless-stopped", "on-failure"]), st.integers(0, 255), st.integers(0, 9))
def test_nothing_restarts_what_the_user_stopped(name: str, code: int, count: int) -> None:
    state = ContainerState(status=Status.EXITED, exit_code=code, restart_count=count, stopped_by_user=True)
    assert not wants_restart(RestartPolicy(name=name), state)


def test_a_calm_run_counts_anew() -> None:
    state = ContainerState(started=10**9, finished=11 * 10**9, restart_count=7)
    assert restart_attempt(state) == 1
    assert restart_attempt(ContainerState(started=10**9, finished=11 * 10**9 - 1, restart_count=7)) == 8
