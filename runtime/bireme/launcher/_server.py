"""The launcher's work: it answers the engine's requests and tells it of exits.

Embedded, the launcher ends with its engine and takes all containers along. Detached (it then listens on a socket), it
keeps copies of the containers' streams, so that no output is lost and no writer is killed, and hands everything to
the next engine; without any engine it ends when no container runs and no output waits to be read.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket

from bireme import _syscalls as sys_
from bireme.launcher import _cgroups, _protocol, sandbox
from bireme.launcher._clones import Clones
from bireme.launcher._link import Link, Voice
from bireme.launcher._loop import Loop
from bireme.launcher._plain import NotPlain, PlainSetup
from bireme.launcher._processes import STREAMS, Record
from bireme.launcher._protocol import ABORTED, CONFLICT, DRIVER, MISSING, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, NoReturn

    from bireme.launcher._plain import Attempt
    from bireme.launcher.requests import ArchiveRequest, ContainerFacts, ExecRequest, Facts, Message, StartRequest

_ENDING = (errno.ESRCH, errno.ENOMEM)
"""What joining a PID namespace fails with when its first process is ending."""


class Server:
    """A launcher's requests, and the engines that make them."""

    def __init__(
        self, facts: Facts, host: sandbox.Host, cgroups: _cgroups.Cgroups, proc: int, plain: PlainSetup | None
    ) -> None:
        self._facts = facts
        self._host = host
        self._cgroups = cgroups
        self._own_pid_namespace = os.open("self/ns/pid", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
        self._loop = Loop()
        self._voice = Voice()
        self._listener: socket.socket | None = None
        self._filters: dict[str, bytes] = {}
        self._plain = plain
        self._clones = Clones(self._loop, cgroups, proc, self._voice, self._end_if_idle)
        self._starts = 0
        self._operations: dict[str, Callable[[int, Any, list[int]], None]] = {
            "start": self._start,
            "exec": self._exec,
            "archive": self._archive,
            "abort": self._abort,
            "kill": self._kill,
            "freeze": self._freeze,
            "limit": self._limit,
            "close-stdin": self._close_stdin,
            "cleanup": self._cleanup,
            "seccomp": self._seccomp,
            "containers": self._list_containers,
            "quit": self._quit,
        }

    def run(self, engine: socket.socket, listener: socket.socket | None) -> None:
        """Serve until the end: of the engine, or, with a ``listener``, of everything there was to do."""
        self._listener = listener
        if listener is not None:
            self._clones.keeps_streams = True
            listener.setblocking(False)
            self._loop.watch(listener.fileno(), self._accept)
        self._connect(engine)
        self._loop.run()
        self._clones.end_all()

    # Engines

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            sock, _ = self._listener.accept()
        except OSError:  # who called has hung up
            return
        if self._voice.link is None:
            self._loop.go_on()  # the last engine may just have left
            self._connect(sock)
            return
        with contextlib.suppress(OSError, _protocol.Disconnected):
            _protocol.send(sock, {"event": "busy"})
        sock.close()

    def _connect(self, sock: socket.socket) -> None:
        self._voice.link = Link(sock, self._loop, self._handle, self._engine_gone)
        self._facts["seccomp"] = sorted(self._filters)
        self._voice.tell({"event": "hello", "facts": self._facts})

    def _engine_gone(self) -> None:
        self._voice.link = None
        if self._listener is None:
            self._loop.stop()
            return
        self._clones.abandon()
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        """Detached and without an engine: stay only for what runs or waits to be read."""
        if self._voice.link is None and self._listener is not None and not self._clones.has_work():
            self._loop.stop()

    def _quit(self, request_id: int, message: Message, descriptors: list[int]) -> None:
        """End now, with all containers; the engine sees the end of file."""
        self._loop.stop()

    # Requests

    def _handle(self, message: Message, descriptors: list[int]) -> None:
        request_id: int = message["id"]
        try:
            with self._refusing(request_id, message.get("op")):
                operation = self._operations[message["op"]]
                operation(request_id, message.get("request", {}), descriptors)
        finally:
            for fd in descriptors:
                os.close(fd)

    @contextlib.contextmanager
    def _refusing(self, request_id: int, operation: object) -> Iterator[None]:
        """What goes wrong inside is the answer to the request."""
        try:
            yield
        except Failure as failure:
            self._voice.refuse(request_id, failure.kind, failure.message)
        except OSError as error:
            self._voice.refuse(
                request_id, DRIVER, f"{operation}: {error.strerror}: {error.filename or ''}".rstrip(": ")
            )
        except (LookupError, TypeError, ValueError) as error:
            self._voice.refuse(request_id, DRIVER, f"the launcher does not understand {operation!r}: {error!r}")

    def _seccomp(self, request_id: int, message: Message, descriptors: list[int]) -> None:
        """Keep a filter under its name."""
        with open(descriptors[0], "rb", closefd=False) as file:
            file.seek(0)
            self._filters[message["name"]] = file.read()
        self._voice.answer(request_id, {})

    def _filter(self, name: str) -> bytes | None:
        if not name:
            return None
        if name not in self._filters:
            raise Failure(DRIVER, f"the launcher has no seccomp filter {name}")
        return self._filters[name]

    # Processes

    def _start(self, request_id: int, request: StartRequest, descriptors: list[int]) -> None:
        def begin() -> None:
            with self._refusing(request_id, "start"):
                self._begin(request_id, request)

        self._clones.turns.take(request_id, begin)

    def _begin(self, request_id: int, request: StartRequest) -> None:
        container = request["container"]
        if container in self._clones.containers:
            raise Failure(CONFLICT, f"container {container[:12]} is running, or not cleaned up yet")
        seccomp = self._filter(request["process"]["seccomp"])
        self._starts += 1
        name = f"{container[:32]}.{self._starts}"
        group = self._cgroups.create(name, request["limits"], privileged=request["privileged"])
        with self._removing_if_it_fails(group):
            self._start_in(group, request_id, request, seccomp)

    @contextlib.contextmanager
    def _removing_if_it_fails(self, group: _cgroups.Group) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._clones.remove_group(group)
            raise

    def _start_in(self, group: _cgroups.Group, request_id: int, request: StartRequest, seccomp: bytes | None) -> None:
        """The fast way, if that will do."""
        plain = self._plain
        if plain is None or "runtime" in request:
            self._start_stepwise(group, request_id, request, seccomp)
            return
        flags, _ = self._way_to_start(request)

        def make(stdio: tuple[int, int, int]) -> Attempt:
            return plain.start(request, flags, group, stdio, seccomp)

        def instead() -> None:
            with self._refusing(request_id, "start"), self._removing_if_it_fails(group):
                self._start_stepwise(group, request_id, request, seccomp)

        try:
            record = self._clones.attempt(request_id, request["container"], request["process"], make, instead)
        except NotPlain:
            self._start_stepwise(group, request_id, request, seccomp)
        else:
            self._take_in(record, group, request)

    def _start_stepwise(
        self, group: _cgroups.Group, request_id: int, request: StartRequest, seccomp: bytes | None
    ) -> None:
        flags, inside = self._way_to_start(request)
        container, process = request["container"], request["process"]
        record = self._clones.spawn(request_id, container, process, group, seccomp, flags, inside)
        record.helper = "runtime" in request
        self._take_in(record, group, request)

    def _take_in(self, record: Record, group: _cgroups.Group, request: StartRequest) -> None:
        """A container's first process is there."""
        record.group = group
        record.exit_file = request["exit_file"]
        self._clones.containers[record.container] = record

    def _way_to_start(self, request: StartRequest) -> tuple[int, Callable[[sandbox.Child], NoReturn]]:
        """The flags of the clone and what it does: it becomes the container, or has another runtime make it."""
        flags, runtime = sandbox.namespaces(request, self._host), request.get("runtime")
        if runtime is None:
            return flags, lambda child: sandbox.start(request, child, self._host)
        from bireme.launcher import farm  # only for those who ask for it

        if "freeze" not in self._facts["cgroups"]:
            raise Failure(MISSING, f"{runtime['name']} needs the cgroup2 file system here: mount it")
        return sys_.CLONE_NEWNS, lambda child: farm.start(request, runtime, child, self._host)

    def _exec(self, request_id: int, request: ExecRequest, descriptors: list[int]) -> None:
        first = self._clones.running(request["container"])
        seccomp = self._filter(request["process"]["seccomp"])
        group = first.group
        assert group is not None, "every container has one"

        def inside(child: sandbox.Child) -> NoReturn:
            sandbox.join(request, child, pidfd, self._host)

        try:
            with first.opened() as pidfd, group.opened():
                sys_.setns(pidfd, sys_.CLONE_NEWPID)
                self._clones.spawn(request_id, first.container, request["process"], group, seccomp, 0, inside)
        except OSError as error:
            if error.errno in _ENDING:
                raise Failure(CONFLICT, f"container {first.container[:12]} is not running") from None
            raise
        finally:
            sys_.setns(self._own_pid_namespace, sys_.CLONE_NEWPID)

    def _archive(self, request_id: int, request: ArchiveRequest, descriptors: list[int]) -> None:
        """Have a child of its own work on files, in the view of the container."""
        running = self._clones.containers.get(request["container"])
        if running is not None and not (running.alive and running.started):
            running = None
        with running.opened() if running is not None else contextlib.nullcontext(-1) as pidfd:
            _, status = self._clones.clone(request_id, "", 0, None)
            if status is not None:
                from bireme.launcher import archive  # the launcher itself stays lean

                archive.work(request, status, descriptors, pidfd, self._host)

    # What is done to processes

    def _abort(self, request_id: int, message: Message, descriptors: list[int]) -> None:
        """Give up a request: what it has cloned is killed, whether it has been answered or not."""
        if self._clones.turns.withdraw(message["id"]):
            self._voice.refuse(message["id"], ABORTED, "given up before it began")
        for record in list(self._clones.records.values()):
            if record.request_id == message["id"]:
                self._clones.send_signal(record, signal.SIGKILL)
        self._voice.answer(request_id, {})

    def _kill(self, request_id: int, message: Message, descriptors: list[int]) -> None:
        record = self._clones.records.get(message["process"])
        if record is not None:
            self._clones.send_signal(record, message["signal"])
        self._voice.answer(request_id, {})

    def _close_stdin(self, request_id: int, message: Message, descriptors: list[int]) -> None:
        """The engine has closed its end of a container's input; so does the launcher."""
        record = self._clones.records.get(message["process"])
        if record is not None and "stdin" in record.streams:
            os.close(record.streams.pop("stdin"))
        self._voice.answer(request_id, {})

    def _freeze(self, request_id: int, message: Message, descriptors: list[int]) -> None:
        self._clones.freeze(request_id, message["container"], frozen=message["frozen"])

    def _limit(self, request_id: int, message: Message, descriptors: list[int]) -> None:
        """Change the bounds of a container that runs."""
        group = self._clones.running(message["container"]).group
        if group is not None:
            self._cgroups.update(group, message["limits"])
        self._voice.answer(request_id, {})

    def _cleanup(self, request_id: int, message: Message, descriptors: list[int]) -> None:
        """Forget a container that has ended."""
        record = self._clones.containers.get(message["container"])
        if record is not None:
            if record.alive:
                raise Failure(CONFLICT, f"container {record.container[:12]} is still running")
            self._clones.drop(record)
        self._voice.answer(request_id, {})

    def _list_containers(self, request_id: int, message: Message, descriptors: list[int]) -> None:
        """Tell a new engine of every container, each in a message of its own, descriptors with it."""
        for record in self._clones.containers.values():
            if record.started:
                names = [name for name in STREAMS if name in record.streams]
                facts = _container_facts(record, names)
                self._voice.tell({"event": "container", "facts": facts}, [record.streams[name] for name in names])
        self._voice.answer(request_id, {})


def _container_facts(record: Record, names: list[str]) -> ContainerFacts:
    return {
        "container": record.container,
        "process": record.number,
        "pid": record.host_pid,
        "started": record.started,
        "tty": record.tty,
        "frozen": record.frozen,
        "streams": names,
        "exit": record.exit,
    }
