"""The container actor: one container's life, from created to removed.

Theory of operation. The lifecycle table decides what may happen; a handler moves the state and leaves the slow part to
a child task. While the command is being started nothing else can be decided, so what arrives then is *deferred* and
looked at again as soon as it runs or has failed. Everything else is immediate: ``kill`` does not wait for a ``stop``'s
grace, ``inspect`` reads ``view`` and asks nobody, waiting is done on ``exits`` by any number of tasks.

Once the first process has ended its output is drained into the log first, for a bounded time, and the exit is told
second: who has seen the exit finds all of the output.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import trio

from bireme_actors import _messages as m
from bireme_actors._actor import Actor
from bireme_actors._errors import (
    BiremeError,
    CommandNotExecutable,
    CommandNotFound,
    Conflict,
    NotModified,
)
from bireme_actors._lifecycle import CONTAINER, Trigger, step
from bireme_actors._mailbox import Reply
from bireme_actors._model import ContainerConfig, ContainerState, ContainerView, Event, ExitStatus, Status
from bireme_actors._ports import (
    Clock,
    ContainerDriver,
    EventSink,
    LogStore,
    RecordStore,
    RootfsStore,
    RunningContainer,
)
from bireme_actors._streams import DRAIN_SECONDS, Stdin, pump
from bireme_actors._waiting import Exits

_log = logging.getLogger("bireme")

STOP_SECONDS = 10.0
"""Grace between the stop signal and SIGKILL where nothing else is said; Docker's."""

RESTART_FIRST, RESTART_MOST, RESTART_CALM = 0.1, 60.0, 10.0
"""Seconds before the first automatic restart, doubled at each up to the most; a run of the calm length resets it."""


@dataclass(frozen=True, slots=True)
class ContainerPorts:
    """What a container needs of the outside."""

    driver: ContainerDriver
    rootfs: RootfsStore
    records: RecordStore
    logs: LogStore
    events: EventSink
    clock: Clock
    release_volumes: Callable[[ContainerConfig, bool], Awaitable[None]]
    """Let go of a container's volumes; True: and remove those that nobody else holds."""


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
        self._ports = ports
        self._process = process
        self._deferred: list[tuple[object, Reply[Any]]] = []
        self._starts: list[Reply[None]] = []
        self._stops: list[Reply[None]] = []
        self._removals: list[Reply[None]] = []
        self._remove_next: m.Remove | None = None
        self._restarting = False
        self._unsaved = False
        self._saving = False

    @property
    def view(self) -> ContainerView:
        """The frozen snapshot."""
        return ContainerView(self.config, self.state)

    @property
    def process(self) -> RunningContainer | None:
        """The running container, None while it does not run."""
        return self._process

    def started(self) -> None:
        if self._process is not None:
            self._runs(self._process)

    def handle(self, message: object, reply: Reply[Any]) -> None:
        if self.state.status is Status.STARTING and isinstance(message, _DEFERRED):
            self._deferred.append((message, reply))
            return
        match message:
            case m.Start():
                self._start(reply)
            case m.Started():
                self._has_started(message.process)
            case m.StartFailed():
                self._start_failed(message.error)
            case m.Exited():
                self._exited(message.status)
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
                self.spawn(self._restart, message, reply)
            case m.RestartDue():
                self._restart_due(message.attempt)
            case m.Pause():
                self._freeze(True, reply)
            case m.Unpause():
                self._freeze(False, reply)
            case m.Exec():
                self.spawn(self._exec, self._running("exec"), message, reply)
            case m.Resize():
                self.spawn(self._resize, self._running("resize"), message, reply)
            case m.Reconfigure():
                self.spawn(self._reconfigure, message, reply)
            case _:
                raise TypeError(f"{self.mailbox.name} does not understand {message!r}")

    # Start.

    def _start(self, reply: Reply[None]) -> None:
        if self.state.running:
            raise NotModified(f"container {self.config.name} is already running")
        self._step(Trigger.START)
        self._starts.append(reply)
        self.spawn(self._run_driver)

    async def _run_driver(self) -> None:
        try:
            process = await self._ports.driver.start(self.config)
        except BiremeError as error:
            await self.ref.tell(m.StartFailed(error))
        else:
            await self.ref.tell(m.Started(process))

    def _has_started(self, process: RunningContainer) -> None:
        self._step(
            Trigger.STARTED,
            pid=process.pid,
            started=process.started,
            finished=0,
            exit_code=0,
            exit_signal=None,
            oom_killed=False,
            error="",
            stopped_by_user=False,
        )
        self._runs(process)
        self._emit("start")
        self._answer(self._starts)
        self._retry_deferred()

    def _runs(self, process: RunningContainer) -> None:
        self._process = process
        self.stdin.connect(process.stdin)
        self.spawn(self._watch, process)

    async def _watch(self, process: RunningContainer) -> None:
        log = self._ports.logs.open_log(self.config.id)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pump, process, log)
            status = await process.wait()
            nursery.cancel_scope.deadline = trio.current_time() + DRAIN_SECONDS
        log.end()
        await self.ref.tell(m.Exited(status))

    def _start_failed(self, error: BiremeError) -> None:
        code = 127 if isinstance(error, CommandNotFound) else 126 if isinstance(error, CommandNotExecutable) else 128
        trigger = Trigger.EXITED if self.state.finished else Trigger.NEVER_STARTED
        finished = self._ports.clock() if self.state.finished else 0
        self._step(trigger, exit_code=code, error=str(error), finished=finished)
        self._answer(self._starts, error)
        self.exits.exited(self.state.exit_status())
        self._ports.logs.open_log(self.config.id).end()
        self._retry_deferred()
        if self.config.auto_remove and self.state.status is not Status.REMOVING:
            self._begin_removal(volumes=True)

    def _retry_deferred(self) -> None:
        deferred, self._deferred = self._deferred, []
        for message, reply in deferred:
            self._dispatch(message, reply)

    # The exit, and what follows from it.

    def _exited(self, status: ExitStatus) -> None:
        self._process = None
        self.stdin.disconnect()
        self._step(
            Trigger.EXITED,
            pid=0,
            exit_code=int(status),
            exit_signal=status.signal,
            oom_killed=status.oom_killed,
            finished=status.finished,
            error=status.error,
        )
        if status.oom_killed:
            self._emit("oom")
        self._emit("die", exitCode=str(int(status)))
        self.exits.exited(self.state.exit_status())
        if self._stops:
            self._emit("stop")
        self._answer(self._stops)
        self._after_exit(status)

    def _after_exit(self, status: ExitStatus) -> None:
        if self._remove_next is not None:
            self._begin_removal(self._remove_next.volumes)
        elif self._restarting:
            return
        elif self._wants_restart(status):
            self._restart_later(status)
        elif self.config.auto_remove:
            self._begin_removal(volumes=True)

    def _wants_restart(self, status: ExitStatus) -> bool:
        policy = self.config.restart
        if self.state.stopped_by_user:
            return False
        if policy.name == "on-failure":
            tries_left = policy.maximum_retries == 0 or self.state.restart_count < policy.maximum_retries
            return int(status) != 0 and tries_left
        return policy.name in ("always", "unless-stopped")

    def _restart_later(self, status: ExitStatus) -> None:
        calm = status.finished - status.started >= RESTART_CALM * 1e9
        attempt = 1 if calm else self.state.restart_count + 1
        delay = min(RESTART_MOST, RESTART_FIRST * 2.0 ** min(attempt - 1, 30))
        self._step(Trigger.RESTART_LATER, restart_count=attempt)
        self.spawn(self._delay_restart, attempt, delay)

    async def _delay_restart(self, attempt: int, delay: float) -> None:
        await trio.sleep(delay)
        await self.ref.tell(m.RestartDue(attempt))

    def _restart_due(self, attempt: int) -> None:
        if self.state.status is Status.RESTARTING and self.state.restart_count == attempt:
            self._start(Reply(set()))

    async def _restart(self, message: m.Restart, reply: Reply[None]) -> None:
        self._restarting = True
        try:
            with suppress(NotModified):
                await self.ref.ask(m.Stop(message.signum, message.timeout))
            with suppress(NotModified):
                await self.ref.ask(m.Start())
        except BiremeError as error:
            reply.fail(error)
        else:
            self._emit("restart")
            reply.set(None)
        finally:
            self._restarting = False

    # Signals.

    def _stop(self, message: m.Stop, reply: Reply[None]) -> None:
        if self.state.status is Status.RESTARTING:
            self._step(Trigger.STOP, stopped_by_user=True)
            reply.set(None)
            return
        if self._process is None:
            raise NotModified(f"container {self.config.name} is not running")
        frozen = self.state.status is Status.PAUSED
        if self.state.status is not Status.STOPPING:
            self._step(Trigger.STOP, stopped_by_user=True)
        self._stops.append(reply)
        self.spawn(self._end_process, self._process, message, frozen)

    async def _end_process(self, process: RunningContainer, message: m.Stop, frozen: bool) -> None:
        await self._send(process, message.signum, frozen, self._stops)
        if message.timeout is not None:
            with trio.move_on_after(message.timeout) as grace:
                await process.wait()
            if grace.cancelled_caught:
                await self._send(process, signal.SIGKILL, False, self._stops)

    async def _send(self, process: RunningContainer, signum: int, thaw: bool, on_failure: list[Reply[None]]) -> None:
        try:
            await process.kill(signum)
            if thaw:
                await process.set_frozen(False)
        except BiremeError as error:
            self._answer(on_failure, error)
        else:
            self._emit("kill", signal=str(int(signum)))

    def _kill(self, signum: int, reply: Reply[None]) -> None:
        process = self._running("kill", paused_too=True)
        fatal = signum in (signal.SIGKILL, self.config.stop_signal)
        thaw = fatal and self.state.status is Status.PAUSED
        if fatal:
            self._set(stopped_by_user=True)
        self.spawn(self._send_asked, process, signum, thaw, reply)

    async def _send_asked(self, process: RunningContainer, signum: int, thaw: bool, reply: Reply[None]) -> None:
        asked = [reply]
        await self._send(process, signum, thaw, asked)
        self._answer(asked)

    # Pause, exec, resize, reconfigure.

    def _freeze(self, frozen: bool, reply: Reply[None]) -> None:
        if not frozen and self.state.status is not Status.PAUSED:
            raise Conflict(f"Container {self.config.id} is not paused")
        process = self._running("pause", paused_too=not frozen)
        self.spawn(self._set_frozen, process, frozen, reply)

    async def _set_frozen(self, process: RunningContainer, frozen: bool, reply: Reply[None]) -> None:
        try:
            await process.set_frozen(frozen)
            if self._process is process:
                self._step(Trigger.PAUSE if frozen else Trigger.UNPAUSE)
        except BiremeError as error:
            reply.fail(error)
        else:
            self._emit("pause" if frozen else "unpause")
            reply.set(None)

    async def _exec(self, process: RunningContainer, message: m.Exec, reply: Reply[Any]) -> None:
        try:
            reply.set(await process.exec(message.process))
        except BiremeError as error:
            reply.fail(error)

    async def _resize(self, process: RunningContainer, message: m.Resize, reply: Reply[None]) -> None:
        try:
            await process.resize(message.rows, message.columns)
        except BiremeError as error:
            reply.fail(error)
        else:
            reply.set(None)

    async def _reconfigure(self, message: m.Reconfigure, reply: Reply[None]) -> None:
        try:
            await self._ports.records.update(message.config)
        except BiremeError as error:
            reply.fail(error)
        else:
            self.config = message.config
            reply.set(None)

    # Remove.

    def _remove(self, message: m.Remove, reply: Reply[None]) -> None:
        status = self.state.status
        if status is not Status.REMOVING and not message.force and (self.state.running or status is Status.RESTARTING):
            adverb = "Unpause and then stop" if status is Status.PAUSED else "Stop"
            raise Conflict(
                f"You cannot remove a {'paused' if status is Status.PAUSED else 'running'} container {self.config.id}. "
                f"{adverb} the container before attempting removal or force remove"
            )
        self._removals.append(reply)
        if self._process is not None:
            self._remove_next = message
            self.spawn(self._send, self._process, signal.SIGKILL, status is Status.PAUSED, self._removals)
        elif status is not Status.REMOVING:
            self._begin_removal(message.volumes)

    def _begin_removal(self, volumes: bool) -> None:
        self._step(Trigger.REMOVE, removing_volumes=volumes)
        self.spawn(self._remove_everything, volumes)

    async def _remove_everything(self, volumes: bool) -> None:
        error: BiremeError | None = None
        ports, config = self._ports, self.config
        try:
            await ports.records.save_state(config.id, self.state)
            ports.logs.close_log(config.id)
            await ports.driver.cleanup(config)
            await ports.release_volumes(config, volumes)
            await ports.rootfs.remove(config.id)
            await ports.records.remove(config.id)
        except BiremeError as failure:
            error = failure
        await self.ref.tell(m.RemoveDone(error))

    def _removed(self, error: BiremeError | None) -> None:
        if error is not None:
            self._step(Trigger.REMOVE_FAILED, error=str(error))
            self._answer(self._removals, error)
            return
        self._step(Trigger.REMOVED)
        self._emit("destroy")
        self._answer(self._removals)
        self.exits.removed(self.state.exit_status())
        self.stop()

    # Helpers.

    def _running(self, verb: str, *, paused_too: bool = False) -> RunningContainer:
        if self._process is None:
            if verb == "kill":
                raise Conflict(f"Cannot kill container: {self.config.id}: Container {self.config.id} is not running")
            raise Conflict(f"Container {self.config.id} is not running")
        if self.state.status is Status.PAUSED and not paused_too:
            hint = "already paused" if verb == "pause" else f"paused, unpause the container before {verb}"
            raise Conflict(f"Container {self.config.id} is {hint}")
        return self._process

    def _step(self, trigger: Trigger, **changes: Any) -> None:
        after = step(CONTAINER, f"container {self.config.name}", self.state.status, trigger)
        self._set(status=after, **changes)

    def _set(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)
        if self.state.status in _SAVED:
            self._unsaved = True
            if not self._saving:
                self._saving = True
                self.spawn(self._save)

    async def _save(self) -> None:
        while self._unsaved:
            self._unsaved = False
            try:
                await self._ports.records.save_state(self.config.id, self.state)
            except BiremeError as error:
                _log.warning("the state of container %s is not on disk: %s", self.config.id, error)
        self._saving = False

    def _emit(self, action: str, **attributes: str) -> None:
        known = {**self.config.labels, "image": self.config.image, "name": self.config.name}
        self._ports.events.emit(
            Event(
                kind="container",
                action=action,
                id=self.config.id,
                time=self._ports.clock(),
                attributes={**known, **attributes},
            )
        )

    @staticmethod
    def _answer(replies: list[Reply[None]], error: BiremeError | None = None) -> None:
        for reply in replies:
            reply.settle(error, None)
        replies.clear()


_DEFERRED = (m.Start, m.Stop, m.Kill, m.Pause, m.Unpause, m.Restart, m.Remove, m.Exec, m.Resize)

_SAVED = frozenset({Status.RUNNING, Status.PAUSED, Status.EXITED, Status.RESTARTING, Status.CREATED})
