"""Processes added to a running container: made ready first, started once, their output pumped, their end remembered."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

import trio

from bireme.storage import LogEntry
from bireme_actors import (
    BiremeError,
    ByteSource,
    CommandNotExecutable,
    CommandNotFound,
    Conflict,
    ContainerActor,
    Event,
    EventSink,
    ExitStatus,
    NotFound,
    Process,
    ProcessSpec,
    new_id,
)
from bireme_actors import Exec as ExecMessage

_KEPT = 1000
"""Ended processes that can still be inspected, the newest."""

_CHUNK = 1 << 16
_AHEAD = 16
"""Chunks read ahead of whoever takes the output; then the process waits."""


class Exec:
    """One added process. ``exit`` is None until it has ended."""

    def __init__(self, actor: ContainerActor, spec: ProcessSpec, events: EventSink, services: trio.Nursery) -> None:
        self.id = new_id()
        self.spec = spec
        self.exit: ExitStatus | None = None
        self.started = False
        self._actor = actor
        self._events = events
        self._services = services
        self._process: Process | None = None
        self._ended = trio.Event()
        self._size: tuple[int, int] | None = None
        self._send, self._receive = trio.open_memory_channel[LogEntry](_AHEAD)
        self._emit("exec_create: " + " ".join(spec.args))

    @property
    def container(self) -> str:
        """The container's id."""
        return self._actor.config.id

    @property
    def running(self) -> bool:
        return self._process is not None and self.exit is None

    @property
    def pid(self) -> int:
        """In the host's numbering; 0 before the start."""
        return self._process.pid if self._process is not None else 0

    async def start(self) -> None:
        """Run it. Raises Conflict (started before, container not running), CommandNotFound, DriverError.

        Cancelled: it is not started, or goes on unattended.
        """
        if self.started:
            raise Conflict(f"exec {self.id} has already run; create another one")
        self.started = True
        try:
            self._process = await self._actor.ref.ask(ExecMessage(self.spec))
        except BiremeError as error:
            self._failed(error)
            raise
        self._emit("exec_start: " + " ".join(self.spec.args))
        self._services.start_soon(self._live, self._process)
        if self._size is not None:
            await self._process.resize(*self._size)

    def _failed(self, error: BiremeError) -> None:
        code = 127 if isinstance(error, CommandNotFound) else 126 if isinstance(error, CommandNotExecutable) else 128
        self.exit = ExitStatus(code, error=str(error))
        self._send.close()
        self._ended.set()

    async def _live(self, process: Process) -> None:
        async with self._send, trio.open_nursery() as nursery:
            for stream, source in (("stdout", process.stdout), ("stderr", process.stderr)):
                if source is not None:
                    nursery.start_soon(self._pump, stream, source)
            status = await process.wait()
            nursery.cancel_scope.deadline = trio.current_time() + 2.0
        self.exit = status
        self._ended.set()
        self._emit("exec_die", exitCode=str(int(status)))

    async def _pump(self, stream: str, source: ByteSource) -> None:
        """Read to the end, also when nobody takes it any more: the process must not wait for a reader who has gone."""
        try:
            while data := await source.receive_some(_CHUNK):
                try:
                    await self._send.send(LogEntry(stream, time.time_ns(), bytes(data)))
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    continue
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        finally:
            with trio.CancelScope(shield=True):
                await source.aclose()

    async def output(self) -> AsyncGenerator[LogEntry]:
        """What it prints, until it ends; for one reader. When the reader leaves, the rest is dropped."""
        async with self._receive:
            async for entry in self._receive:
                yield entry

    def discard_output(self) -> None:
        """Nobody is going to read."""
        self._receive.close()

    async def send(self, data: bytes) -> None:
        """Write to its input; dropped if it takes none (any more)."""
        if self._process is not None and self._process.stdin is not None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self._process.stdin.send_all(data)

    async def send_eof(self) -> None:
        """End its input (a terminal has no such end)."""
        if self._process is not None and self._process.stdin is not None and not self.spec.tty:
            await self._process.stdin.aclose()

    async def wait(self) -> ExitStatus:
        """Its end, for any number of waiters. Cancelling leaves it as it is."""
        await self._ended.wait()
        assert self.exit is not None
        return self.exit

    async def kill(self, signum: int) -> None:
        """Send a signal; nothing happens before the start and after the end."""
        if self._process is not None:
            await self._process.kill(signum)

    async def resize(self, rows: int, columns: int) -> None:
        """Set the terminal's size; before the start it is kept for then. Raises Conflict after the end."""
        self._size = (rows, columns)
        if self.exit is not None:
            raise Conflict(f"exec {self.id} is not running")
        if self._process is not None:
            await self._process.resize(rows, columns)

    def inspect(self) -> dict[str, object]:
        """Docker's JSON of it."""
        arguments = list(self.spec.args)
        process = {
            "tty": self.spec.tty,
            "entrypoint": arguments[0],
            "arguments": arguments[1:],
            "privileged": self.spec.privileged,
        }
        if self.spec.user:
            process["user"] = self.spec.user
        return {
            "ID": self.id,
            "Running": self.running,
            "ExitCode": None if self.exit is None else int(self.exit),
            "ProcessConfig": process,
            "OpenStdin": self.spec.open_stdin,
            "OpenStderr": True,
            "OpenStdout": True,
            "CanRemove": False,
            "ContainerID": self.container,
            "DetachKeys": "",
            "Pid": self.pid,
        }

    def _emit(self, action: str, **attributes: str) -> None:
        config = self._actor.config
        known = {**config.labels, "execID": self.id, "image": config.image, "name": config.name, **attributes}
        self._events.emit(Event(kind="container", action=action, id=config.id, time=time.time_ns(), attributes=known))


class Execs:
    """Every added process that can still be asked about."""

    def __init__(self, events: EventSink, services: trio.Nursery) -> None:
        self._events = events
        self._services = services
        self._known: dict[str, Exec] = {}

    def create(self, actor: ContainerActor, spec: ProcessSpec) -> Exec:
        """Make one ready; the oldest ended ones are forgotten."""
        created = Exec(actor, spec, self._events, self._services)
        self._known[created.id] = created
        if len(self._known) > _KEPT:
            ended = [known.id for known in self._known.values() if known.exit is not None]
            for identifier in ended[: len(self._known) - _KEPT]:
                del self._known[identifier]
        return created

    def get(self, identifier: str) -> Exec:
        """By id or its unambiguous beginning. Raises NotFound."""
        exact = self._known.get(identifier)
        if exact is not None:
            return exact
        fitting = [known for key, known in self._known.items() if identifier and key.startswith(identifier)]
        if len(fitting) != 1:
            raise NotFound(f"No such exec instance: {identifier}")
        return fitting[0]

    def of(self, container: str) -> tuple[str, ...]:
        """Ids of those that run in a container."""
        return tuple(known.id for known in self._known.values() if known.container == container and known.running)

    def hear(self, event: Event) -> None:
        """A container that is gone takes these with it."""
        if event.action == "destroy" and event.kind == "container":
            for identifier in [known.id for known in self._known.values() if known.container == event.id]:
                del self._known[identifier]


async def collect(execution: Exec, stdout: bytearray | None, stderr: bytearray | None) -> None:
    """Read all output into the buffers."""
    async with aclosing(execution.output()) as entries:
        async for entry in entries:
            target = stdout if entry.stream == "stdout" else stderr
            if target is not None:
                target += entry.data
