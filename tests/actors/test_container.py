"""The verbs of one container: start, exit, stop, kill, restart, exec and the streams."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from bireme_actors import (
    ActorStopped,
    Ask,
    CommandNotExecutable,
    CommandNotFound,
    Conflict,
    ContainerActor,
    DriverError,
    Exec,
    ExitStatus,
    IllegalTransition,
    Kill,
    NotModified,
    Pause,
    ProcessSpec,
    Reconfigure,
    Remove,
    Resize,
    Restart,
    RestartPolicy,
    Start,
    Status,
    Stop,
    StorageError,
    Supervisor,
    Unpause,
    WaitCondition,
)
from bireme_actors.testing import EPOCH, FakeProcess, Fakes, sample_config
from tests.actors.conftest import AskLater, Later, OpenCore

TERM, KILL = signal.SIGTERM, signal.SIGKILL
STUBBORN = frozenset({int(KILL)})


async def started(core: Supervisor, fakes: Fakes, *args: str, **changes: Any) -> tuple[ContainerActor, FakeProcess]:
    """A container that runs, and its process."""
    actor = await core.create(sample_config(*args, **changes))
    await actor.ref.ask(Start())
    return actor, fakes.process(actor.config.id)


def actions(fakes: Fakes, actor: ContainerActor) -> list[str]:
    return fakes.events.actions(actor.config.id)


# Start and exit.


async def test_a_life_from_created_to_removed(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        actor = await core.create(sample_config("app", name="db", labels={"team": "blue"}))
        assert actor.state.status is Status.CREATED
        await actor.ref.ask(Start())
        process = fakes.process(actor.config.id)
        assert (actor.state.status, actor.state.pid, actor.process) == (Status.RUNNING, process.pid, process)
        await trio.sleep(2)
        process.exit(3, oom_killed=True)
        await wait_all_tasks_blocked()
        state = actor.state
        assert (state.status, state.pid, state.exit_code, state.oom_killed) == (Status.EXITED, 0, 3, True)
        assert (state.started, state.finished) == (EPOCH, EPOCH + 2 * 10**9)
        assert actor.process is None
        await actor.ref.ask(Remove())
        assert actions(fakes, actor) == ["create", "start", "oom", "die", "destroy"]
        die = next(event for event in fakes.events.events if event.action == "die")
        assert die.attributes == {"team": "blue", "image": "busybox:latest", "name": "db", "exitCode": "3"}
        with pytest.raises(ActorStopped):
            await actor.ref.ask(Start())


async def test_starting_what_runs_is_not_modified(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        actor, _ = await started(core, fakes)
        with pytest.raises(NotModified, match="already running"):
            await actor.ref.ask(Start())
        assert fakes.faults.called("driver.start") == [actor.config.id]


async def test_a_container_starts_again_with_a_clean_state(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        actor, process = await started(core, fakes)
        process.exit(137, signum=9, oom_killed=True)
        await wait_all_tasks_blocked()
        await actor.ref.ask(Start())
        state = actor.state
        assert (state.exit_code, state.exit_signal, state.oom_killed, state.finished) == (0, None, False, 0)


@pytest.mark.parametrize(
    ("error", "code"), [(CommandNotFound("no"), 127), (CommandNotExecutable("no"), 126), (DriverError("no"), 128)]
)
@pytest.mark.parametrize("ran_before", [False, True])
async def test_a_start_that_fails_is_told_and_can_be_tried_again(
    fakes: Fakes, open_core: OpenCore, clock: MockClock, error: DriverError, code: int, ran_before: bool
) -> None:
    async with open_core() as core:
        actor = await core.create(sample_config())
        if ran_before:
            await actor.ref.ask(Start())
            fakes.process(actor.config.id).exit(0)
            await wait_all_tasks_blocked()
        fakes.faults.fail("driver.start", error)
        with pytest.raises(type(error), match="no"):
            await actor.ref.ask(Start())
        expected = (Status.EXITED if ran_before else Status.CREATED, code, "no")
        assert (actor.state.status, actor.state.exit_code, actor.state.error) == expected
        await actor.ref.ask(Start())
        assert actor.state.status is Status.RUNNING


async def test_an_abandoned_start_goes_on(fakes: Fakes, open_core: OpenCore, ask: AskLater, clock: MockClock) -> None:
    fakes.faults.delay("driver.start", 5)
    async with open_core() as core:
        actor = await core.create(sample_config())
        pending = ask(actor, Start())
        await wait_all_tasks_blocked()
        pending.scope.cancel()
        await trio.sleep(6)
        assert actor.state.status is Status.RUNNING
        assert core.statistics()["pending"] == 0


async def test_what_arrives_during_a_start_is_done_after_it(
    fakes: Fakes, open_core: OpenCore, ask: AskLater, clock: MockClock
) -> None:
    fakes.faults.delay("driver.start", 5)
    async with open_core() as core:
        actor = await core.create(sample_config())
        messages: tuple[Ask[Any], ...] = (Start(), Start(), Kill(10), Remove(), Kill(12), Stop(TERM, 10), Kill(1))
        pending = []
        for message in messages:
            pending.append(ask(actor, message))
            await wait_all_tasks_blocked()
        assert not any(asked.done for asked in pending)
        await trio.sleep(6)
        kinds = [type(asked.error) for asked in pending]
        none = type(None)
        assert kinds == [none, NotModified, none, Conflict, none, none, none]


async def test_a_removal_by_force_gives_a_start_up_that_hangs(
    fakes: Fakes, open_core: OpenCore, ask: AskLater, clock: MockClock
) -> None:
    fakes.faults.hold("driver.start")
    async with open_core() as core:
        actor = await core.create(sample_config())
        start = ask(actor, Start())
        await wait_all_tasks_blocked()
        polite = ask(actor, Remove())
        await wait_all_tasks_blocked()
        assert not polite.done
        await actor.ref.ask(Remove(force=True))
        await wait_all_tasks_blocked()
        assert isinstance(start.error, Conflict)
        assert polite.error is None


async def test_auto_remove_takes_it_after_the_exit_with_its_volumes(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core() as core:
        actor = await core.create(sample_config("true", auto_remove=True, volumes=("/data",)))
        removed = actor.exits.watch(WaitCondition.REMOVED, actor.state)
        await actor.ref.ask(Start())
        assert await removed.wait() == 0
        assert not fakes.leftovers()
        assert core.statistics()["containers"] == core.statistics()["volumes"] == 0


async def test_auto_remove_takes_it_after_a_start_that_failed_whatever_else_was_asked(
    fakes: Fakes, open_core: OpenCore, ask: AskLater, clock: MockClock
) -> None:
    fakes.faults.delay("driver.start", 1)
    async with open_core() as core:
        actor = await core.create(sample_config("nosuchcmd", auto_remove=True, volumes=("/data",)))
        messages: tuple[Ask[Any], ...] = (Start(), Start(), Stop(TERM, 1), Remove())
        pending = []
        for message in messages:
            pending.append(ask(actor, message))
            await wait_all_tasks_blocked()
        await trio.sleep(3)
        assert [type(asked.error) for asked in pending] == [CommandNotFound, IllegalTransition, NotModified, type(None)]
        assert actor.state.status is Status.REMOVED
        assert not fakes.leftovers()


# Stop and kill.


async def test_stop_sends_its_signal_and_is_answered_at_the_exit(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core() as core:
        actor, process = await started(core, fakes)
        await actor.ref.ask(Stop(TERM, 10))
        assert (process.signals, actor.state.exit_code, actor.state.exit_signal) == ([TERM], 143, TERM)
        assert actor.state.stopped_by_user
        assert actions(fakes, actor) == ["create", "start", "kill", "die", "stop"]
        with pytest.raises(NotModified, match="not running"):
            await actor.ref.ask(Stop(TERM, 10))


async def test_stop_kills_after_its_grace(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        actor, process = await started(core, fakes)
        process.obeys = STUBBORN
        began = trio.current_time()
        await actor.ref.ask(Stop(TERM, 10))
        assert trio.current_time() - began == pytest.approx(10)
        assert (process.signals, actor.state.exit_code) == ([TERM, KILL], 137)


async def test_stop_without_a_limit_waits_for_ever(
    fakes: Fakes, open_core: OpenCore, ask: AskLater, clock: MockClock
) -> None:
    async with open_core() as core:
        actor, process = await started(core, fakes)
        process.obeys = STUBBORN
        pending = ask(actor, Stop(TERM, None))
        await trio.sleep(10_000)
        assert (pending.done, actor.state.status) == (False, Status.STOPPING)
        await actor.ref.ask(Kill(KILL))
        await wait_all_tasks_blocked()
        assert pending.error is None


async def test_kill_does_not_queue_behind_the_grace_of_a_stop(
    fakes: Fakes, open_core: OpenCore, ask: AskLater, clock: MockClock
) -> None:
    async with open_core() as core:
        actor, process = await started(core, fakes)
        process.obeys = STUBBORN
        stop = ask(actor, Stop(TERM, 1000))
        await wait_all_tasks_blocked()
        began = trio.current_time()
        await actor.ref.ask(Kill(KILL))
        assert await actor.exits.watch(WaitCondition.NOT_RUNNING, actor.state).wait() == 137
        assert trio.current_time() == began
        await wait_all_tasks_blocked()
        assert stop.error is None


async def test_a_second_stop_can_be_less_patient(
    fakes: Fakes, open_core: OpenCore, ask: AskLater, clock: MockClock
) -> None:
    async with open_core() as core:
        actor, process = await started(core, fakes)
        process.obeys = STUBBORN
        patient = ask(actor, Stop(TERM, 1000))
        await wait_all_tasks_blocked()
        began = trio.current_time()
        await actor.ref.ask(Stop(TERM, 1))
        assert trio.current_time() - began == pytest.approx(1)
        await wait_all_tasks_blocked()
        assert patient.done


async def test_an_abandoned_stop_goes_on(fakes: Fakes, open_core: OpenCore, ask: AskLater, clock: MockClock) -> None:
    async with open_core() as core:
        actor, process = await started(core, fakes)
        process.obeys = STUBBORN
        pending = ask(actor, Stop(TERM, 10))
        await wait_all_tasks_blocked()
        pending.scope.cancel()
        await trio.sleep(11)
        assert actor.state.exit_code == 137
        assert core.statistics()["pending"] == 0


async def test_a_signal_that_cannot_be_sent_is_an_error_of_who_asked(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core() as core:
        actor, process = await started(core, fakes)
        messages: tuple[Ask[None], ...] = (Kill(TERM), Stop(TERM, 5), Remove(force=True))
        for message in messages:
            fakes.faults.fail("process.kill", DriverError("no launcher"))
            with pytest.raises(DriverError, match="no launcher"):
                await actor.ref.ask(message)
        process.exit(0)
        await wait_all_tasks_blocked()
        assert actor.state.status is Status.EXITED, "the removal that failed does not come later"


async def test_kill_of_what_does_not_run_is_refused(open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        actor = await core.create(sample_config())
        messages: tuple[Ask[Any], ...] = (Kill(KILL), Pause(), Resize(1, 1), Exec(ProcessSpec(args=("true",))))
        for message in messages:
            with pytest.raises(Conflict, match="is not running"):
                await actor.ref.ask(message)
        with pytest.raises(Conflict, match="is not paused"):
            await actor.ref.ask(Unpause())


# Pause.


async def test_pause_and_unpause(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        actor, process = await started(core, fakes)
        await actor.ref.ask(Pause())
        assert (actor.state.status, process.frozen, actor.state.running) == (Status.PAUSED, True, True)
        messages: tuple[Ask[Any], ...] = (Pause(), Exec(ProcessSpec(args=("true",))))
        for message in messages:
            with pytest.raises(Conflict, match="paused"):
                await actor.ref.ask(message)
        await actor.ref.ask(Unpause())
        assert (actor.state.status, process.frozen) == (Status.RUNNING, False)
        assert actions(fakes, actor) == ["create", "start", "pause", "unpause"]


@pytest.mark.parametrize("obeys", [True, False])
async def test_stop_of_a_paused_container_thaws_it(
    fakes: Fakes, open_core: OpenCore, clock: MockClock, obeys: bool
) -> None:
    async with open_core() as core:
        actor, process = await started(core, fakes)
        if not obeys:
            process.obeys = STUBBORN
        await actor.ref.ask(Pause())
        with trio.fail_after(20):
            await actor.ref.ask(Stop(TERM, 10))
        assert actor.state.exit_code == (143 if obeys else 137)


async def test_stop_of_a_paused_container_ends_it_although_its_signal_cannot_be_sent(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core() as core:
        actor, _ = await started(core, fakes)
        await actor.ref.ask(Pause())
        fakes.faults.fail("process.kill", DriverError("no launcher"))
        with pytest.raises(DriverError):
            await actor.ref.ask(Stop(TERM, 10))
        await trio.sleep(11)
        assert (actor.state.status, actor.state.exit_code) == (Status.EXITED, 137)


@pytest.mark.parametrize("message", [Kill(KILL), Remove(force=True)])
async def test_what_ends_a_paused_container_thaws_it(
    fakes: Fakes, open_core: OpenCore, clock: MockClock, message: Kill | Remove
) -> None:
    async with open_core() as core:
        actor, _ = await started(core, fakes)
        await actor.ref.ask(Pause())
        with trio.fail_after(5):
            await actor.ref.ask(message)
            assert await actor.exits.watch(WaitCondition.NOT_RUNNING, actor.state).wait() == 137


async def test_a_stop_signal_sent_to_a_paused_container_unpauses_it(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core() as core:
        actor, process = await started(core, fakes)
        process.obeys = STUBBORN
        await actor.ref.ask(Pause())
        await actor.ref.ask(Kill(signal.SIGHUP))
        assert (actor.state.status, process.signals) == (Status.PAUSED, [])
        await actor.ref.ask(Kill(TERM))
        assert (actor.state.status, process.signals) == (Status.RUNNING, [signal.SIGHUP, TERM])
        assert not process.frozen


@pytest.mark.parametrize("message", [Stop(TERM, 5), Kill(KILL), Remove(force=True)])
async def test_what_ends_it_while_it_is_being_frozen_finds_it_thawed(
    fakes: Fakes, open_core: OpenCore, ask: AskLater, clock: MockClock, message: Ask[None]
) -> None:
    fakes.faults.delay("process.set_frozen", 1)
    async with open_core() as core:
        actor, process = await started(core, fakes)
        process.obeys = STUBBORN
        pause = ask(actor, Pause())
        await wait_all_tasks_blocked()
        with trio.fail_after(30):
            await actor.ref.ask(message)
            assert await actor.exits.watch(WaitCondition.NOT_RUNNING, actor.state).wait() == 137
        assert pause.done
        assert actor.state.status in (Status.EXITED, Status.REMOVING, Status.REMOVED)


async def test_stop_during_a_pause_refuses_the_pause(
    fakes: Fakes, open_core: OpenCore, ask: AskLater, clock: MockClock
) -> None:
    fakes.faults.delay("process.set_frozen", 1)
    async with open_core() as core:
        actor, process = await started(core, fakes)
        process.obeys = STUBBORN
        pause = ask(actor, Pause())
        await wait_all_tasks_blocked()
        ask(actor, Stop(TERM, 1000))
        await trio.sleep(10)
        assert isinstance(pause.error, Conflict)
        assert (actor.state.status, process.frozen, process.signals) == (Status.STOPPING, False, [TERM])
        await actor.ref.ask(Kill(KILL))


async def test_an_exit_during_a_pause_refuses_the_pause(
    fakes: Fakes, open_core: OpenCore, ask: AskLater, clock: MockClock
) -> None:
    fakes.faults.delay("process.set_frozen", 1)
    async with open_core() as core:
        actor, process = await started(core, fakes)
        pause = ask(actor, Pause())
        await wait_all_tasks_blocked()
        process.exit(0)
        await trio.sleep(2)
        assert isinstance(pause.error, Conflict)
        assert actor.state.status is Status.EXITED
        assert "pause" not in actions(fakes, actor)


async def test_two_pauses_at_once_are_one(fakes: Fakes, open_core: OpenCore, ask: AskLater, clock: MockClock) -> None:
    fakes.faults.delay("process.set_frozen", 1)
    async with open_core() as core:
        actor, process = await started(core, fakes)
        pauses = [ask(actor, Pause()) for _ in range(2)]
        await trio.sleep(5)
        assert sorted(type(pause.error).__name__ for pause in pauses) == ["IllegalTransition", "NoneType"]
        assert (actor.state.status, process.frozen) == (Status.PAUSED, True)


async def test_pausing_what_is_being_stopped_does_not_freeze_it(
    fakes: Fakes, open_core: OpenCore, ask: AskLater, clock: MockClock
) -> None:
    async with open_core() as core:
        actor, process = await started(core, fakes)
        process.obeys = STUBBORN
        ask(actor, Stop(TERM, 10))
        await wait_all_tasks_blocked()
        with pytest.raises(Conflict, match="is stopping: cannot pause it"):
            await actor.ref.ask(Pause())
        assert not process.frozen
        assert not fakes.faults.called("process.set_frozen")


# Restart, asked for.


async def test_restart_stops_and_starts(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        actor, process = await started(core, fakes)
        await actor.ref.ask(Restart(TERM, 10))
        assert process.ended
        assert fakes.process(actor.config.id) is not process
        assert actor.state.status is Status.RUNNING
        assert not actor.state.stopped_by_user
        assert actions(fakes, actor) == ["create", "start", "kill", "die", "stop", "start", "restart"]


async def test_restart_of_what_does_not_run_starts_it(open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        actor = await core.create(sample_config())
        await actor.ref.ask(Restart(TERM, 10))
        assert actor.state.status is Status.RUNNING


async def test_restart_keeps_a_container_that_is_to_be_removed_at_its_exit(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core() as core:
        actor, _ = await started(core, fakes, auto_remove=True)
        await actor.ref.ask(Restart(TERM, 10))
        assert actor.state.status is Status.RUNNING
        fakes.process(actor.config.id).exit(0)
        await wait_all_tasks_blocked()
        assert not core.views()


async def test_restart_of_a_command_that_ends_at_once_is_answered(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core() as core:
        actor = await core.create(sample_config("true", auto_remove=True))
        removed = actor.exits.watch(WaitCondition.REMOVED, actor.state)
        await actor.ref.ask(Restart(TERM, 10))
        assert await removed.wait() == 0


async def test_many_restarts_at_once_are_one(
    fakes: Fakes, open_core: OpenCore, ask: AskLater, clock: MockClock
) -> None:
    async with open_core() as core:
        actor, process = await started(core, fakes)
        process.obeys = STUBBORN
        pending = [ask(actor, Restart(TERM, 5)) for _ in range(5)]
        await trio.sleep(6)
        assert [asked.result() for asked in pending] == [None] * 5
        assert len(fakes.faults.called("driver.start")) == 2


async def test_a_restart_overtaken_by_a_removal_is_refused(
    fakes: Fakes, open_core: OpenCore, ask: AskLater, clock: MockClock
) -> None:
    async with open_core() as core:
        actor, process = await started(core, fakes)
        process.obeys = STUBBORN
        restart = ask(actor, Restart(TERM, 1000))
        await wait_all_tasks_blocked()
        await actor.ref.ask(Remove(force=True))
        await wait_all_tasks_blocked()
        assert isinstance(restart.error, Conflict)


async def test_a_restart_that_cannot_start_tells_why(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        actor, _ = await started(core, fakes)
        fakes.faults.fail("driver.start", CommandNotFound("it has gone"))
        with pytest.raises(CommandNotFound, match="it has gone"):
            await actor.ref.ask(Restart(TERM, 10))
        assert (actor.state.status, actor.state.exit_code) == (Status.EXITED, 127)


# Exec and resize.


async def test_exec_hands_over_the_process(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        actor, _ = await started(core, fakes)
        added = await actor.ref.ask(Exec(ProcessSpec(args=("sh", "-c", "echo hi; exit 4"))))
        assert added.stdout is not None
        assert await added.stdout.receive_some() == b"hi\n"
        assert await added.wait() == 4
        with pytest.raises(CommandNotFound):
            await actor.ref.ask(Exec(ProcessSpec(args=("nosuchcmd",))))


async def test_what_an_abandoned_exec_added_is_ended(
    fakes: Fakes, open_core: OpenCore, ask: AskLater, clock: MockClock
) -> None:
    fakes.faults.delay("process.exec", 5)
    async with open_core() as core:
        actor, process = await started(core, fakes)
        pending = ask(actor, Exec(ProcessSpec(args=("sleep", "1000"), open_stdin=True)))
        await wait_all_tasks_blocked()
        pending.scope.cancel()
        await trio.sleep(6)
        (added,) = process.added
        assert added.ended
        assert added.output.closed
        assert added.errors.closed
        assert added.input.closed
        assert actor.state.status is Status.RUNNING


async def test_resize_reaches_the_terminal(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        actor, process = await started(core, fakes, tty=True)
        await actor.ref.ask(Resize(40, 132))
        assert process.size == (40, 132)
        fakes.faults.fail("process.resize", DriverError("no"))
        with pytest.raises(DriverError):
            await actor.ref.ask(Resize(1, 1))


# Streams.


async def test_all_output_is_in_the_log_before_the_exit_is_told(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core() as core:
        actor, process = await started(core, fakes)
        log = fakes.logs.open_log(actor.config.id)
        process.output.feed(b"out")
        process.errors.feed(b"err")
        process.exit(0)
        await actor.exits.watch(WaitCondition.NOT_RUNNING, actor.state).wait()
        assert (log.output("stdout"), log.output("stderr"), log.runs) == (b"out", b"err", 1)
        assert process.output.closed
        assert process.errors.closed


async def test_output_that_somebody_else_keeps_open_is_waited_for_a_moment_only(
    fakes: Fakes, open_core: OpenCore, later: Later, clock: MockClock
) -> None:
    async with open_core() as core:
        actor, process = await started(core, fakes)
        process.exit(0, keep_output=True)
        waiting = later(actor.exits.watch(WaitCondition.NOT_RUNNING, actor.state).wait)
        await trio.sleep(1)
        process.output.feed(b"late")
        assert not waiting.done
        await trio.sleep(1.5)
        assert waiting.result() == 0
        assert fakes.logs.open_log(actor.config.id).output() == b"late"
        assert process.output.closed


async def test_nobody_finds_it_running_whose_output_has_ended(
    fakes: Fakes, open_core: OpenCore, clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who did would follow the output for ever."""
    async with open_core() as core:
        actor, process = await started(core, fakes)
        running: list[bool] = []
        monkeypatch.setattr(
            fakes.logs.open_log(actor.config.id), "end", lambda: running.append(actor.state.running)
        )
        process.exit(0)
        await actor.exits.watch(WaitCondition.NOT_RUNNING, actor.state).wait()
        assert running == [False]


async def test_a_terminal_has_one_stream(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        actor, process = await started(core, fakes, tty=True)
        process.output.feed(b"all of it")
        process.exit(0)
        await actor.exits.watch(WaitCondition.NOT_RUNNING, actor.state).wait()
        assert fakes.logs.open_log(actor.config.id).entries == [("stdout", b"all of it")]


# Reconfigure.


async def test_changes_at_once_do_not_undo_each_other(
    fakes: Fakes, open_core: OpenCore, ask: AskLater, clock: MockClock
) -> None:
    fakes.faults.delay("containers.update", 1)
    async with open_core() as core:
        actor = await core.create(sample_config())
        policy = RestartPolicy(name="always")
        changes = [lambda c: replace(c, restart=policy), lambda c: replace(c, hostname="h")]
        pending = [ask(actor, Reconfigure(change)) for change in changes]
        await trio.sleep(5)
        assert [asked.result() for asked in pending] == [None, None]
        assert (actor.config.restart, actor.config.hostname) == (policy, "h")
        assert fakes.containers.records[actor.config.id].config == actor.config


async def test_a_change_the_disk_refuses_is_none(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        actor = await core.create(sample_config())
        before = actor.config
        fakes.faults.fail("containers.update", StorageError("disk full"))
        with pytest.raises(StorageError):
            await actor.ref.ask(Reconfigure(sample_config()))
        assert actor.config is before


async def test_each_state_is_on_disk_before_anybody_hears_of_it(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core() as core:
        actor, process = await started(core, fakes)
        record = fakes.containers.records
        for message in (Pause(), Unpause()):
            await actor.ref.ask(message)
            assert record[actor.config.id].state == actor.state
        exited = actor.exits.watch(WaitCondition.NEXT_EXIT, actor.state)
        process.exit(5)
        assert await exited.wait() == 5
        assert record[actor.config.id].state == actor.state


async def test_of_what_goes_with_its_program_only_the_removal_is_written(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core() as core:
        actor, process = await started(core, fakes, ephemeral=True)
        process.exit(5)
        await wait_all_tasks_blocked()
        assert not fakes.faults.called("containers.save_state")
        await actor.ref.ask(Remove(volumes=True))
        assert len(fakes.faults.called("containers.save_state")) == 1


async def test_a_disk_that_refuses_a_state_does_not_stop_the_container(
    fakes: Fakes, open_core: OpenCore, clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    fakes.faults.fail("containers.save_state", StorageError("disk full"))
    async with open_core() as core:
        actor, _ = await started(core, fakes)
        await wait_all_tasks_blocked()
        assert actor.state.status is Status.RUNNING
        assert "disk full" in caplog.text


def test_an_exit_status_is_its_code() -> None:
    status = ExitStatus(137, signal=9, oom_killed=True)
    assert status == 137
    assert f"{status}" == "137"
    assert repr(status) == "ExitStatus(137, signal=9, oom_killed=True)"
