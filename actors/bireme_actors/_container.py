"""The container actor: one container's life, from created to removed.

Theory of operation. The lifecycle table decides what may happen; a handler moves the state and leaves the slow part to
a child task. While the command is being started nothing else can be decided, so what arrives then is *deferred* and
looked at again as soon as it runs or has failed; removing by force gives the start up. Everything else is immediate:
``kill`` does not wait for a ``stop``'s grace, ``inspect`` reads ``view`` and asks nobody, waiting is done on ``exits``
by any number of tasks.

What is to follow an exit (a removal, a restart that was asked for) is noted when it is asked and done by the exit.
Once the first process has ended its output is drained into the log first, for a bounded time, and the exit is told
second: who has seen the exit finds all of the output.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import trio

from bireme_actors import _messages as m
from bireme_actors import _states
from bireme_actors._actor import Actor, protected
from bireme_actors._container_ports import ContainerPorts
from bireme_actors._errors import BiremeError, Conflict, NotModified
from bireme_actors._events import container_event
from bireme_actors._lifecycle import CONTAINER, Trigger, step
from bireme_actors._mailbox import Reply
from bireme_actors._model import ContainerConfig, ContainerState, ContainerView, Status
from bireme_actors._ports import RunningContainer
from bireme_actors._record import Record
from bireme_actors._restart import restart_attempt, restart_delay, wants_restart
from bireme_actors._run import Run
from bireme_actors._streams import Stdin, watch
from bireme_actors._waiting import Exits

STOP_SECONDS = 10.0
"""Grace between the stop signal and SIGKILL where nothing else is said; Docker's."""


class ContainerActor(Actor):
    """One container. Others read ``config``, ``state``, ``view`` and ``exits``, and write to ``stdin``."""

    def __init__(
        self,
        config: ContainerConfig,
        ports: ContainerPorts,
        state: ContainerState | None = None,
        process: RunningContainer | None = None,
    ) -> None:
        """``state`` and ``process`` are given for a container of an earlier engine."""
        super().__init__(f"container {config.id}")
        self.config = config
        self.state = state if state is not None else ContainerState()
        self.exits = Exits()
        self.stdin = Stdin()
        self.record = Record(config.id, ports.containers)
        self._ports = ports
        self._run = None if process is None else Run(process, frozen=self.state.status is Status.PAUSED)
        self._start_scope: trio.CancelScope | None = None
        self._deferred: list[tuple[object, Reply[Any]]] = []
        self._starts: list[Reply[None]] = []
        self._stops: list[Reply[None]] = []
        self._restarts: list[Reply[None]] = []
        self._removals: list[Reply[None]] = []
        self._remove_next: m.Remove | None = None
        self._closing = False

    @property
    def view(self) -> ContainerView:
        """The frozen snapshot."""
        return ContainerView(self.config, self.state)

    @property
    def process(self) -> RunningContainer | None:
        """The running container, None while it does not run."""
        return None if self._run is None else self._run.process

    def statistics(self) -> dict[str, int]:
        """``queued`` messages, ``pending`` asks, ``waiters`` for the exit or the removal."""
        return {**self.mailbox.statistics(), "waiters": self.exits.waiters}

    def started(self) -> None:
        """Go on where an earlier engine has stopped."""
        if self._run is not None:
            self.spawn(self._watch, self._run.process)
        elif self.state.status is Status.REMOVING:
            self.spawn(self._remove_everything, self.state.removing_volumes)
        elif self.state.status is Status.EXITED and self.config.auto_remove:
            self._begin_removal(volumes=True)

    def handle(self, message: object, reply: Reply[Any]) -> None:
        if self.state.status is Status.STARTING and isinstance(message, _DEFERRED):
            self._defer(message, reply)
            return
        match message:
            case m.Start():
                self._start([reply], restart_count=0)
            case m.Started():
                self._has_started(message.process)
            case m.StartFailed():
                self._start_failed(message.error)
            case m.Exited():
                self._exited(message)
            case m.Stop():
                self._stop(message, reply)
            case m.Kill():
                self._kill(message.signum, reply)
            case m.Remove():
                self._remove(message, reply)
            case m.RemoveDone():
                self._removed(message.error)
            case _:
                self._handle_rare(message, reply)

    def _handle_rare(self, message: object, reply: Reply[Any]) -> None:
        match message:
            case m.Restart():
                self._restart(message, reply)
            case m.RestartDue():
                self._restart_due(message.attempt)
            case m.Pause():
                self._freeze(Trigger.PAUSE, reply)
            case m.Unpause():
                self._freeze(Trigger.UNPAUSE, reply)
            case m.Exec():
                self.spawn(self._running("exec").exec, message, reply)
            case m.Resize():
                self.spawn(self._running("resize").resize, message, reply)
            case m.Reconfigure():
                self._reconfigure(message, reply)
            case _:
                raise TypeError(f"{self.mailbox.name} does not understand {message!r}")

    def _defer(self, message: object, reply: Reply[Any]) -> None:
        self._deferred.append((message, reply))
        if isinstance(message, m.Remove) and message.force and self._start_scope is not None:
            self._start_scope.cancel()

    def _retry_deferred(self) -> None:
        deferred, self._deferred = self._deferred, []
        for message, reply in deferred:
            self._dispatch(message, reply)

    # Start.

    def _start(self, replies: Iterable[Reply[None]], **changes: Any) -> None:
        if self.state.running:
            raise NotModified(f"container {self.config.name} is already running")
        self._step(Trigger.START, **changes)
        self._starts.extend(replies)
        self._start_scope = trio.CancelScope()
        self.spawn(self._live, self._start_scope)

    @protected
    async def _live(self, scope: trio.CancelScope) -> None:
        """One run, from the start to the exit."""
        error: BiremeError = Conflict(f"container {self.config.name} was not started: it is removed by force")
        process: RunningContainer | None = None
        with scope:
            try:
                process = await self._ports.driver.start(self.config)
            except BiremeError as failure:
                error = failure
        if process is None:
            await self.report(m.StartFailed(error))
        else:
            await self.report(m.Started(process))
            await self._watch(process)

    @protected
    async def _watch(self, process: RunningContainer) -> None:
        log = self._ports.logs.open_log(self.config.id)
        status = await watch(process, log, self.stdin, self.spawn)
        await self.report(m.Exited(status))

    def _has_started(self, process: RunningContainer) -> None:
        self._step(Trigger.STARTED, **_states.started(process))
        self._start_scope = None
        self._run = Run(process)
        self._emit("start")
        if self._restarts:
            self._emit("restart")
        self._answer(self._starts)
        self._answer(self._restarts)
        self._retry_deferred()

    def _start_failed(self, error: BiremeError) -> None:
        trigger = Trigger.EXITED if self.state.finished else Trigger.NEVER_STARTED
        self._step(trigger, **_states.not_started(self.state, error, self._ports.clock()))
        self._start_scope = None
        self._answer(self._starts, error)
        self._answer(self._restarts, error)
        self.exits.exited(self.state.exit_status())
        self._ports.logs.open_log(self.config.id).end()
        if self.config.auto_remove:
            self._begin_removal(volumes=True)
        self._retry_deferred()

    # The exit, and what follows from it.

    def _exited(self, message: m.Exited) -> None:
        status = message.status
        self._run = None
        self._step(Trigger.EXITED, **_states.exited(status, self._ports.clock()))
        # In one step with the state: who follows the output of what runs is sure to be told of its end.
        self._ports.logs.open_log(self.config.id).end()
        if status.oom_killed:
            self._emit("oom")
        self._emit("die", exitCode=str(int(status)))
        self.exits.exited(self.state.exit_status())
        if self._stops or self._restarts:
            self._emit("stop")
        self._answer(self._stops)
        self._after_exit()

    def _after_exit(self) -> None:
        if self._remove_next is not None:
            gone = Conflict(f"container {self.config.name} was removed before it could start again")
            self._answer(self._restarts, gone)
            self._begin_removal(self._remove_next.volumes)
        elif self._restarts:
            self._start((), restart_count=0)
        elif not self._closing and wants_restart(self.config.restart, self.state):
            self._restart_later()
        elif self.config.auto_remove:
            self._begin_removal(volumes=True)

    def _restart_later(self) -> None:
        attempt = restart_attempt(self.state)
        self._step(Trigger.RESTART_LATER, restart_count=attempt)
        self.spawn(self._delay_restart, attempt)

    @protected
    async def _delay_restart(self, attempt: int) -> None:
        await trio.sleep(restart_delay(attempt))
        await self.report(m.RestartDue(attempt))

    def _restart_due(self, attempt: int) -> None:
        if self.state.status is Status.RESTARTING and self.state.restart_count == attempt:
            self._start(())

    def _restart(self, message: m.Restart, reply: Reply[None]) -> None:
        if self._run is None:
            self._start((), restart_count=0)
            self._restarts.append(reply)
        else:
            self._end(self._run, message.signum, message.timeout)
            self._restarts.append(reply)

    # Signals.

    def _stop(self, message: m.Stop, reply: Reply[None]) -> None:
        self._closing |= not message.by_user
        if self.state.status is Status.RESTARTING:
            self._give_up_restarting(by_user=message.by_user)
            reply.set(None)
        elif self._run is None:
            raise NotModified(f"container {self.config.name} is not running")
        else:
            self._end(self._run, message.signum, message.timeout, by_user=message.by_user)
            self._stops.append(reply)

    def _give_up_restarting(self, *, by_user: bool = True) -> None:
        self._step(Trigger.STOP, stopped_by_user=by_user)
        self.exits.exited(self.state.exit_status())

    def _end(self, run: Run, signum: int, grace: float | None, *, by_user: bool = True) -> None:
        if self.state.status is not Status.STOPPING:
            self._step(Trigger.STOP)
        if by_user:
            self._set(stopped_by_user=True)
        self.spawn(self._end_process, run, signum, grace)

    @protected
    async def _end_process(self, run: Run, signum: int, grace: float | None) -> None:
        await self._send(run, signum, True, self._stops, self._restarts)
        if grace is not None:
            with trio.move_on_after(max(grace, 0)) as scope:
                await run.process.wait()
            if scope.cancelled_caught:
                await self._send(run, signal.SIGKILL, True, self._stops, self._restarts)

    async def _send(self, run: Run, signum: int, thaw: bool, *on_failure: list[Reply[None]]) -> bool:
        try:
            await run.process.kill(signum)
            if thaw and await run.thaw():
                self._thawed(run)
        except BiremeError as error:
            for replies in on_failure:
                self._answer(replies, error)
            return False
        self._emit("kill", signal=str(int(signum)))
        return True

    def _thawed(self, run: Run) -> None:
        if self._run is run and self.state.status is Status.PAUSED:
            self._step(Trigger.UNPAUSE)
            self._emit("unpause")

    def _kill(self, signum: int, reply: Reply[None]) -> None:
        fatal = signum in (signal.SIGKILL, self.config.stop_signal)
        if fatal and self.state.status is Status.RESTARTING:
            self._give_up_restarting()
            reply.set(None)
            return
        run = self._running("kill", paused_too=True)
        if fatal:
            self._set(stopped_by_user=True)
        self.spawn(self._send_asked, run, signum, fatal, reply)

    @protected
    async def _send_asked(self, run: Run, signum: int, thaw: bool, reply: Reply[None]) -> None:
        asked = [reply]
        await self._send(run, signum, thaw, asked)
        self._answer(asked)

    # Pause, reconfigure.

    def _freeze(self, trigger: Trigger, reply: Reply[None]) -> None:
        if trigger is Trigger.UNPAUSE and self.state.status is not Status.PAUSED:
            raise Conflict(f"Container {self.config.id} is not paused")
        run = self._running("pause", paused_too=trigger is Trigger.UNPAUSE)
        self.spawn(self._set_frozen, run, trigger, reply)

    @protected
    async def _set_frozen(self, run: Run, trigger: Trigger, reply: Reply[None]) -> None:
        try:
            async with run.freezing:
                self._may_go_on(run, trigger)
                await run.set_frozen(trigger is Trigger.PAUSE)
                self._may_go_on(run, trigger)  # if not, whoever ends it waits for its turn to thaw it
                self._step(trigger)
        except BiremeError as error:
            reply.fail(error)
        else:
            self._emit(trigger.value)
            reply.set(None)

    def _may_go_on(self, run: Run, trigger: Trigger) -> None:
        if self._run is not run:
            raise Conflict(f"Container {self.config.id} is not running")
        self._after(trigger)

    def _reconfigure(self, message: m.Reconfigure, reply: Reply[None]) -> None:
        if self.state.status in (Status.REMOVING, Status.REMOVED, Status.DEAD):
            raise Conflict(f"container {self.config.name} is {self.state.status}: it cannot be changed any more")
        self.spawn(self._write_config, message, reply)

    @protected
    async def _write_config(self, message: m.Reconfigure, reply: Reply[None]) -> None:
        try:
            self.config = await self.record.update(lambda: message.applied_to(self.config))
        except BiremeError as error:
            reply.fail(error)
        else:
            reply.set(None)

    # Remove.

    def _remove(self, message: m.Remove, reply: Reply[None]) -> None:
        under_way = self._remove_next is not None or self.state.status is Status.REMOVING
        if not under_way and not message.force:
            self._refuse_to_remove_running()
        if self._run is not None:
            volumes = message.volumes or (self._remove_next is not None and self._remove_next.volumes)
            self._remove_next = m.Remove(force=True, volumes=volumes)
            self.spawn(self._kill_and_remove, self._run)
        elif not under_way:
            self._begin_removal(message.volumes)
        self._removals.append(reply)

    def _refuse_to_remove_running(self) -> None:
        status = self.state.status
        if self.state.running or status is Status.RESTARTING:
            kind, way = ("paused", "Unpause and then stop") if status is Status.PAUSED else ("running", "Stop")
            raise Conflict(
                f"You cannot remove a {kind} container {self.config.id}. "
                f"{way} the container before attempting removal or force remove"
            )

    @protected
    async def _kill_and_remove(self, run: Run) -> None:
        killed = await self._send(run, signal.SIGKILL, True, self._removals)
        if not killed and self._run is run:
            self._remove_next = None

    def _begin_removal(self, volumes: bool) -> None:
        self._step(Trigger.REMOVE, removing_volumes=volumes)
        self.spawn(self._remove_everything, volumes)

    @protected
    async def _remove_everything(self, volumes: bool) -> None:
        error: BiremeError | None = None
        try:
            await self._ports.remove(self.config, volumes)
            await self.record.forget()
        except BiremeError as failure:
            error = failure
        await self.report(m.RemoveDone(error))

    def _removed(self, error: BiremeError | None) -> None:
        self._remove_next = None
        if error is not None:
            self._step(Trigger.REMOVE_FAILED, error=str(error))
            self._answer(self._removals, error)
            return
        self._step(Trigger.REMOVED)
        self._ports.gone(self.config.id)
        self._emit("destroy")
        self._answer(self._removals)
        self.exits.removed(self.state.exit_status())
        self.stop()

    # Helpers.

    def _running(self, verb: str, *, paused_too: bool = False) -> Run:
        if self._run is None:
            cannot = f"Cannot kill container: {self.config.id}: " if verb == "kill" else ""
            raise Conflict(f"{cannot}Container {self.config.id} is not running")
        if self.state.status is Status.PAUSED and not paused_too:
            hint = "already paused" if verb == "pause" else f"paused, unpause the container before {verb}"
            raise Conflict(f"Container {self.config.id} is {hint}")
        return self._run

    def _after(self, trigger: Trigger) -> Status:
        return step(CONTAINER, f"container {self.config.name}", self.state.status, trigger)

    def _step(self, trigger: Trigger, **changes: Any) -> None:
        self._set(status=self._after(trigger), **changes)

    def _set(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)
        if self.state.status in (_SAVED_OF_EPHEMERAL if self.config.ephemeral else _SAVED):
            self.record.save(self.state)

    def _emit(self, action: str, **attributes: str) -> None:
        self._ports.events.emit(container_event(self.config, action, self._ports.clock(), **attributes))

    @staticmethod
    def _answer(replies: list[Reply[None]], error: BiremeError | None = None) -> None:
        for reply in replies:
            reply.settle(error, None)
        replies.clear()


_DEFERRED = (m.Start, m.Stop, m.Kill, m.Pause, m.Unpause, m.Restart, m.Remove, m.Exec, m.Resize)

_SAVED = frozenset(Status) - {Status.STARTING, Status.REMOVED, Status.DEAD}

_SAVED_OF_EPHEMERAL = frozenset({Status.REMOVING})
"""Whoever finds a container of a program that has died removes it, whatever it was doing; not a volume it was to keep.
"""
