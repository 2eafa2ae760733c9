"""The engine's side of the launcher: requests and answers, started processes, exits.

Theory of operation. One task reads the socket. An answer wakes the task that asked; an exit is noted in the process it
belongs to, where any number of tasks wait for it. Whoever is cancelled while a start is under way has it aborted and
waits, shielded and for a bounded time, until the launcher says that nothing is left. If the launcher ends, every ask
fails and every process has ended with it; whoever asks for something new then gets another launcher. The reader is a
service: cancellation from outside does not reach it before those who need its answers to clean up have left.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import msgspec
import trio

from bireme.launcher import _protocol, _spawn
from bireme.launcher._launched import Ask, Launched, close_descriptors
from bireme.launcher.requests import (
    ArchiveRequest,
    ContainerFacts,
    ExecRequest,
    ExitFacts,
    Facts,
    LimitsRequest,
    Message,
    Settings,
    StartRequest,
)
from bireme_actors import (
    BiremeError,
    CommandNotExecutable,
    CommandNotFound,
    Conflict,
    DriverError,
    InvalidConfig,
    MissingRequirement,
    NotFound,
    StorageError,
)

__all__ = ["ERRORS", "Launched", "Launcher", "open_launcher"]

ERRORS: Mapping[str, type[BiremeError]] = {
    _protocol.NOT_FOUND: CommandNotFound,
    _protocol.NOT_EXECUTABLE: CommandNotExecutable,
    _protocol.INVALID: InvalidConfig,
    _protocol.MISSING: MissingRequirement,
    _protocol.NO_PATH: NotFound,
    _protocol.CONFLICT: Conflict,
    _protocol.STORAGE: StorageError,
    _protocol.DRIVER: DriverError,
    _protocol.ABORTED: DriverError,
}
"""What becomes of the launcher's kinds of error: the only such table."""

_log = logging.getLogger("bireme")
_encoder = msgspec.json.Encoder()

ABORT_SECONDS = 10.0
"""How long a cancelled request waits until nothing of it is left."""
END_SECONDS = 15.0
"""How long a launcher may take to end its containers before it is killed."""
_DEATH_SECONDS = 5.0
"""How long the kernel may take to end what a dead launcher leaves."""
_SIGKILL = 9
_NO_ANSWER = 0
"""The number of a request that is not answered."""
_BURST = 64
"""Messages taken in before other tasks get their turn."""


class Launcher:
    """A launcher that runs and listens; made by ``open_launcher``, alive inside its block only."""

    def __init__(
        self, connection: _spawn.Connection, nursery: trio.Nursery, spawn: Callable[[], Awaitable[_spawn.Connection]]
    ) -> None:
        """``spawn`` starts another launcher, should this one end before its time."""
        self.facts: Facts = connection.facts
        self._connection = connection
        self._nursery = nursery
        self._spawn = spawn
        self._reviving = trio.Lock()
        self._filters: dict[str, bytes] = {}
        """What has been handed over, for another launcher."""
        self._reading = trio.CancelScope(shield=True)
        self._over = trio.Event()
        self._asks: dict[int, Ask] = {}
        self._last_ask = 0
        self._writers: dict[str, trio.Lock] = {}
        """Containers that start or are written to from outside, each with whom that keeps waiting."""
        self._sending = trio.Lock()
        self._processes: dict[int, tuple[str, Launched]] = {}
        """Those whose exit has not been told, each with its container."""
        self._first: dict[str, int] = {}
        """Of each container that runs the first of them."""
        self._found: list[tuple[ContainerFacts, Launched]] = []
        self._gone = ""
        """Why the launcher cannot be asked any more."""
        self._closing = False
        self._asked_to_end = False

    def __repr__(self) -> str:
        return f"<Launcher pid {self.facts['pid']}: {self.statistics()}>"

    def statistics(self) -> dict[str, int]:
        """How many requests are under way and how many processes run."""
        return {"asks": len(self._asks), "processes": len(self._processes)}

    # What can be asked

    async def start(self, request: StartRequest) -> Launched:
        """Start a container; returns once its command has been executed.

        Raises CommandNotFound, CommandNotExecutable, InvalidConfig, MissingRequirement, Conflict, DriverError.
        Cancelled or failed: no process, mount or cgroup of it is left.
        """
        await self._ensure()
        async with self.sole_writer(request["container"]):
            return await self._launch("start", request["container"], request)

    async def exec(self, request: ExecRequest) -> Launched:
        """Add a process to a running container. Raises and is cancelled like ``start``."""
        return await self._launch("exec", request["container"], request)

    async def archive(self, request: ArchiveRequest, descriptors: Sequence[int] = ()) -> dict[str, object]:
        """Work on the files of a container; the caller keeps its descriptors. Cancelled: the work is broken off.

        One that does not run starts after what is unpacked into it.
        Raises NotFound (no such path), InvalidConfig, StorageError, DriverError.
        """
        await self._ensure()
        if request["action"] != "unpack" or request["container"] in self._first:
            return await self._archive(request, descriptors)
        async with self.sole_writer(request["container"]):
            return await self._archive(request, descriptors)

    async def _archive(self, request: ArchiveRequest, descriptors: Sequence[int]) -> dict[str, object]:
        ask = self._new_ask("archive")
        return dict(await self._until_done(ask, request, descriptors))

    @asynccontextmanager
    async def sole_writer(self, container: str) -> AsyncIterator[None]:
        """Nobody else mounts its writable layer meanwhile: a second mount empties the first one's work directory.

        No checkpoint where nobody does.
        """
        lock = self._writers.get(container)
        if lock is None:
            lock = self._writers[container] = trio.Lock()
            lock.acquire_nowait()
        else:
            await lock.acquire()
        try:
            yield
        finally:
            lock.release()
            if not lock.locked():
                del self._writers[container]

    async def kill(self, process: int, signum: int) -> None:
        """Send a signal; nothing happens if the process has ended."""
        await self._ask("kill", {"process": process, "signal": signum})

    async def freeze(self, container: str, frozen: bool) -> None:
        """Stop or resume all processes of a container; returns when they have. Raises Conflict, DriverError."""
        await self._ask("freeze", {"container": container, "frozen": frozen})

    async def limit(self, container: str, limits: LimitsRequest) -> None:
        """Change bounds of a container that runs; 0 leaves one as it is. Raises Conflict, InvalidConfig, DriverError.

        Cancelled: it may have had its effect.
        """
        await self._ask("limit", {"container": container, "limits": limits})

    async def close_stdin(self, process: int) -> None:
        """Let go of the launcher's own copy of a process's input, after the engine has closed its own."""
        await self._ask("close-stdin", {"process": process})

    async def cleanup(self, container: str) -> None:
        """Have a container that has ended forgotten, before anything that is asked later. Idempotent.

        No checkpoint unless the socket is full. Raises Conflict while it runs. Cancelled: it is not forgotten.
        """
        if container in self._first:
            raise Conflict(f"container {container[:12]} is still running")
        if not self._gone:  # else all that it knew has gone too
            await self._send(Ask(_NO_ANSWER, "cleanup"), {"container": container})

    def later(self, task: Callable[[], Awaitable[object]]) -> None:
        """Have done what nobody waits for; it raises nothing, and has ended when the block has been left."""
        self._nursery.start_soon(task)

    async def seccomp(self, name: str, program: bytes) -> None:
        """Hand over a filter (BPF) under the name that requests refer to it by."""
        await self._ensure()
        await self._hand_over(name, program)
        self._filters[name] = program

    async def _hand_over(self, name: str, program: bytes) -> None:
        fd = os.memfd_create("bireme-seccomp", os.MFD_CLOEXEC)
        try:
            os.write(fd, program)
            await self._ask("seccomp", {"name": name}, (fd,))
        finally:
            os.close(fd)
        if name not in self.facts["seccomp"]:
            self.facts["seccomp"].append(name)

    async def containers(self) -> list[tuple[ContainerFacts, Launched]]:
        """Every container that runs, or has ended and was not cleaned up; to be asked once, by an engine that starts.

        The streams are those the containers have had all along; what nobody has read is still in them.
        """
        await self._ask("containers", {})
        found, self._found = self._found, []
        return found

    async def quit(self) -> None:
        """End the launcher and all containers, within a bounded time, by force if need be; cancellation waits."""
        await self.aclose(end=True)

    # Another launcher

    async def _ensure(self) -> None:
        """If the launcher has ended before its time, start another. Raises what that raises. Cancelled: it is not."""
        if self._closing or not (self._gone or self._reviving.locked()):
            return
        async with self._reviving:
            if not self._gone or self._closing:
                return
            await self._over.wait()
            reason, connection = self._gone, await self._spawn()
            self._take_over(connection)
            _log.warning("%s, and took its containers along; another one runs: pid %d", reason, self.facts["pid"])
            with _shield(END_SECONDS):
                for name, program in self._filters.items():
                    await self._hand_over(name, program)

    def _take_over(self, connection: _spawn.Connection) -> None:
        self._connection.release()
        self._connection = connection
        self.facts.update(connection.facts)
        self._gone, self._over, self._reading = "", trio.Event(), trio.CancelScope(shield=True)
        self._nursery.start_soon(self.read)

    def release(self) -> None:
        """Let go of all descriptors; the last call."""
        self._connection.release()

    async def beside(self, settings: Settings, connection: _spawn.Connection | None = None) -> Launcher:
        """Another launcher, to be ended and released before this one; on a ``connection``, else it is started.

        Raises MissingRequirement, Conflict, DriverError. Cancelled: it is not there.
        """
        spawn = partial(_spawn.spawn, settings)
        other = Launcher(connection or await spawn(), self._nursery, spawn)
        self._nursery.start_soon(other.read)
        return other

    # Asking

    def _new_ask(self, operation: str, container: str = "") -> Ask:
        self._last_ask += 1
        return Ask(self._last_ask, operation, container)

    async def _ask(self, operation: str, request: Mapping[str, Any], descriptors: Sequence[int] = ()) -> object:
        """One request and its answer. Cancelled: it may have had its effect."""
        ask = self._new_ask(operation)
        await self._send(ask, request, descriptors)
        await ask.done.wait()
        return ask.outcome()

    async def _send(self, ask: Ask, request: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send one request, with a checkpoint only if it has to wait for its turn. Cancelled: it was not sent."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if not self._sending.locked() and self._sent(ask, request, descriptors):
            return
        async with self._sending:
            while not self._sent(ask, request, descriptors):
                await trio.lowlevel.wait_writable(self._connection.sock.fileno())

    def _sent(self, ask: Ask, request: Mapping[str, Any], descriptors: Sequence[int]) -> bool:
        """Whether the socket has taken it. Raises DriverError if nobody will ever read it."""
        if not self._gone:
            try:
                message = {"id": ask.number, "op": ask.operation, "request": request}
                _protocol.send_encoded(self._connection.sock, _encoded(message), descriptors)
            except BlockingIOError:
                return False
            except _protocol.Disconnected:
                pass
            else:
                if ask.number != _NO_ANSWER:
                    self._asks[ask.number] = ask
                return True
        raise DriverError(self._gone or "the launcher has ended")

    async def _launch(self, operation: str, container: str, request: Mapping[str, Any]) -> Launched:
        ask = self._new_ask(operation, container)
        launched: Launched = await self._until_done(ask, request, ())
        return launched

    async def _until_done(self, ask: Ask, request: Mapping[str, Any], descriptors: Sequence[int]) -> Any:
        """A request that is undone if its asker is cancelled."""
        await self._send(ask, request, descriptors)
        try:
            await ask.done.wait()
        except trio.Cancelled:
            with _shield(ABORT_SECONDS):
                await self._undo(ask)
            ask.wanted = ask.done.is_set()
            raise
        return ask.outcome()

    async def _undo(self, ask: Ask) -> None:
        """Abort, and wait until nothing is left."""
        try:
            if not ask.done.is_set():
                await self._ask("abort", {"id": ask.number})
            await ask.done.wait()
            if isinstance(ask.result, Launched):
                await self._unlaunch(ask.container, ask.result, ask.operation)
        except DriverError:
            return  # the launcher has ended, and with it what it had started

    async def _unlaunch(self, container: str, launched: Launched, operation: str) -> None:
        await launched.aclose()
        await self.kill(launched.process, _SIGKILL)
        await launched.wait()
        if operation == "start":
            await self.cleanup(container)

    # Hearing

    async def read(self) -> None:
        """The service task: take in messages until the launcher ends, or ``aclose`` hangs up."""
        with self._reading:
            try:
                while True:
                    self._take_in()
                    await trio.lowlevel.wait_readable(self._connection.sock.fileno())
            except _protocol.Disconnected:
                self._gone = self._gone or f"the launcher (pid {self.facts['pid']}) has ended"
            await self._died()
        self._give_up(self._gone or "the engine has hung up on the launcher")
        self._over.set()

    def _take_in(self) -> None:
        for _ in range(_BURST):
            try:
                message, descriptors = _protocol.receive(self._connection.sock)
            except BlockingIOError:
                return
            if "id" in message:
                self._answered(message, descriptors)
            elif message.get("event") == "exit":
                self._exited(message["exit"])
            elif message.get("event") == "container":
                self._found.append((message["facts"], self._adopt(message["facts"], descriptors)))
            close_descriptors(descriptors)

    def _answered(self, message: Message, descriptors: list[int]) -> None:
        ask = self._asks.pop(message["id"], None)
        if ask is None:
            return
        if "error" in message:
            error = message["error"]
            ask.fail(ERRORS.get(error["kind"], DriverError)(error["message"]))
            return
        if not ask.container:
            ask.succeed(message["ok"])
            return
        facts = message["ok"]
        ask.succeed(self._register(ask.container, facts, descriptors, first=ask.operation == "start"))
        if not ask.wanted:
            self._nursery.start_soon(self._late, ask)

    async def _late(self, ask: Ask) -> None:
        """A start whose asker was cancelled and has waited for long enough comes about after all."""
        with _shield(ABORT_SECONDS):
            await self._undo(ask)

    def _register(
        self, container: str, facts: Mapping[str, Any], descriptors: list[int], *, first: bool
    ) -> Launched:
        streams = dict(zip(facts["streams"], descriptors, strict=True))
        descriptors.clear()
        launched = Launched(facts["process"], facts["pid"], facts["started"], streams)
        launched.plain = facts.get("plain", False)
        self._processes[launched.process] = container, launched
        if first:
            self._first[container] = launched.process
        return launched

    def _adopt(self, facts: ContainerFacts, descriptors: list[int]) -> Launched:
        known = self._processes.get(facts["process"])
        if known is not None:
            return known[1]
        launched = self._register(facts["container"], facts, descriptors, first=True)
        if facts["exit"] is not None:
            self._exited(facts["exit"])
        return launched

    def _exited(self, facts: ExitFacts) -> None:
        found = self._processes.pop(facts["process"], None)
        if found is not None:
            container, launched = found
            if self._first.get(container) == launched.process:
                del self._first[container]
            launched.note_exit(facts)

    # The end

    async def _died(self) -> None:
        """The launcher has hung up: wait until the kernel has ended it all, remove what it had no time to remove."""
        with trio.CancelScope(shield=True):
            await self._connection.wait_ended(_DEATH_SECONDS)
            words = self._connection.last_words()
            if words:
                self._gone = f"{self._gone}: {words}"
            if not self._asked_to_end or words:
                await self._connection.sweep()

    def _give_up(self, reason: str) -> None:
        """Fail every ask, end every process."""
        self._gone = reason
        asks, self._asks = self._asks, {}
        for ask in asks.values():
            ask.fail(DriverError(reason))
        processes, self._processes, self._first = self._processes, {}, {}
        if self._reading.cancelled_caught:
            return
        for container, launched in processes.values():
            launched.note_death(container)

    async def aclose(self, *, end: bool) -> None:
        """Hang up; ``end``: and wait until the launcher and its containers have ended, by force if need be."""
        self._closing = True
        if self._over.is_set():
            return
        if not end:
            self._reading.cancel()
            await self._over.wait()
            return
        self._asked_to_end = True
        with _shield(END_SECONDS):
            with suppress(DriverError):
                await self._send(self._new_ask("quit"), {})
            await self._over.wait()
            return
        self._asked_to_end = False
        self._connection.kill()
        with _shield(END_SECONDS):
            await self._over.wait()


def _encoded(message: Message) -> bytes:
    """What msgspec refuses (a name that is not UTF-8, a kind of ``str``) takes the standard library's way, six times
    as long.
    """
    try:
        return _encoder.encode(message)
    except (TypeError, UnicodeEncodeError):
        return _protocol.encode(message)


def _shield(seconds: float) -> trio.CancelScope:
    """To finish what has to be finished, within bounds."""
    return trio.CancelScope(shield=True, deadline=trio.current_time() + seconds)


@asynccontextmanager
async def open_launcher(
    root: str, run_dir: str, *, detached: bool, stepwise: bool = False
) -> AsyncIterator[Launcher]:
    """The launcher of a ROOT for the length of the block.

    Embedded, it is started, and on leaving it ends with all its containers, within a bounded time. ``detached``: one
    that listens in ``run_dir`` is used, else started; on leaving it goes on for as long as it has something to do.
    ``stepwise``: every container is set up in a process of its own, the slow way that only unusual ones need.
    What the block raises leaves unwrapped. Raises MissingRequirement, Conflict, DriverError.
    """
    settings = _spawn.settings_for(root, run_dir, detached=detached, stepwise=stepwise)
    connection = await _spawn.connect(settings) if detached else None
    if connection is None:
        connection = await _spawn.spawn(settings)
    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        launcher = Launcher(connection, nursery, partial(_spawn.spawn, settings))
        nursery.start_soon(launcher.read)
        try:
            yield launcher
        except BaseException as error:  # noqa: BLE001 - raised again once the launcher has been let go
            failure = error
        with trio.CancelScope(shield=True):
            await launcher.aclose(end=not detached)
    launcher.release()
    if failure is not None:
        raise failure
