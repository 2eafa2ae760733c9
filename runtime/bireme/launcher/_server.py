"""The launcher's work: it answers the engine's requests and tells it of exits.

States of a process: cloned (``status`` open), started (``started`` set, request answered), ended (``pidfd`` -1).
A start that fails is answered only after its process has been reaped and its cgroup removed: an error means that
nothing is left. An exit is noted in the container's directory before it is told.

Embedded, the launcher ends with its engine and takes all containers along. Detached (it then listens on a socket), it
keeps copies of the containers' streams, so that no output is lost and no writer is killed, and hands everything to
the next engine; without any engine it ends when no container runs and no output waits to be read.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import socket
import time

from bireme import _syscalls as sys_
from bireme.launcher import _cgroups, _protocol, sandbox
from bireme.launcher._link import Link
from bireme.launcher._loop import PRIORITY, Loop
from bireme.launcher._processes import STREAMS, Pipes, Record
from bireme.launcher._protocol import ABORTED, CONFLICT, DRIVER, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

    from bireme.launcher.requests import (
        ArchiveRequest,
        ContainerFacts,
        ExecRequest,
        ExitFacts,
        Facts,
        Message,
        ProcessRequest,
        StartRequest,
    )

_ENDING = (errno.ESRCH, errno.ENOMEM)
"""What joining a PID namespace fails with when its first process is ending."""
_NAMESPACES = sys_.CLONE_NEWPID | sys_.CLONE_NEWNS | sys_.CLONE_NEWIPC | sys_.CLONE_NEWUTS


class Server:
    """All the state of a launcher."""

    def __init__(self, facts: Facts, host: sandbox.Host, cgroups: _cgroups.Cgroups, proc: int) -> None:
        self._facts = facts
        self._host = host
        self._cgroups = cgroups
        self._proc = proc
        self._own_pid_namespace = os.open("self/ns/pid", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
        self._loop = Loop()
        self._link: Link | None = None
        self._listener: socket.socket | None = None
        self._filters: dict[str, bytes] = {}
        self._records: dict[int, Record] = {}
        """Every process not reaped, and containers until the engine has cleaned up after them."""
        self._containers: dict[str, Record] = {}
        self._last_number = 0
        self._operations: dict[str, Callable[[int, Any, list[int]], None]] = {
            "start": self._start,
            "exec": self._exec,
            "archive": self._archive,
            "abort": self._abort,
            "kill": self._kill,
            "freeze": self._freeze,
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
            listener.setblocking(False)
            self._loop.watch(listener.fileno(), self._accept)
        self._connect(engine)
        self._loop.run()
        self._end_all()

    # Engines

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            return
        if self._link is not None:
            _protocol.send(sock, {"event": "busy"})
            sock.close()
            return
        self._connect(sock)

    def _connect(self, sock: socket.socket) -> None:
        self._link = Link(sock, self._loop, self._handle, self._engine_gone)
        self._facts["seccomp"] = sorted(self._filters)
        self._link.send({"event": "hello", "facts": self._facts})

    def _engine_gone(self) -> None:
        self._link = None
        if self._listener is None:
            self._loop.stop()
            return
        for record in list(self._records.values()):
            record.request_id = 0
            if record.group is None or not record.started:
                self._send_signal(record, signal.SIGKILL)
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        """Detached and without an engine: stay only for what runs or waits to be read."""
        if self._link is not None or self._listener is None:
            return
        if not any(record.alive or _has_output(record) for record in self._records.values()):
            self._loop.stop()

    def _quit(self, request_id: int, message: Message, descriptors: list[int]) -> None:
        """End now, with all containers; the engine sees the end of file."""
        self._loop.stop()

    def _end_all(self) -> None:
        """Kill, reap, remove the cgroups. The kernel ends whatever a killed launcher leaves.

        The youngest first: a container's first process cannot end before those that joined it have been reaped.
        """
        for record in self._records.values():
            self._send_signal(record, signal.SIGKILL)
        for record in reversed(list(self._records.values())):
            if record.alive:
                self._reap(record)
        for _ in range(200):
            if self._cgroups.retry():
                break
            time.sleep(0.005)
        self._cgroups.close()

    # Requests

    def _handle(self, message: Message, descriptors: list[int]) -> None:
        request_id: int = message["id"]
        try:
            operation = self._operations[message["op"]]
            operation(request_id, message.get("request", {}), descriptors)
        except Failure as failure:
            self._refuse(request_id, failure.kind, failure.message)
        except OSError as error:
            self._refuse(request_id, DRIVER, f"{message['op']}: {error.strerror}: {error.filename or ''}".rstrip(": "))
        except (LookupError, TypeError, ValueError) as error:
            self._refuse(request_id, DRIVER, f"the launcher does not understand {message.get('op')!r}: {error!r}")
        finally:
            for fd in descriptors:
                os.close(fd)

    def _answer(self, request_id: int, result: object, descriptors: Sequence[int] = ()) -> None:
        if self._link is not None and request_id:
            self._link.send({"id": request_id, "ok": result}, descriptors)

    def _refuse(self, request_id: int, kind: str, text: str) -> None:
        if self._link is not None and request_id:
            self._link.send({"id": request_id, "error": {"kind": kind, "message": text}})

    def _seccomp(self, request_id: int, message: Message, descriptors: list[int]) -> None:
        """Keep a filter under its name."""
        with open(descriptors[0], "rb", closefd=False) as file:
            file.seek(0)
            self._filters[message["name"]] = file.read()
        self._answer(request_id, {})

    def _filter(self, name: str) -> bytes | None:
        if not name:
            return None
        if name not in self._filters:
            raise Failure(DRIVER, f"the launcher has no seccomp filter {name}")
        return self._filters[name]

    # Processes

    def _start(self, request_id: int, request: StartRequest, descriptors: list[int]) -> None:
        container = request["container"]
        if container in self._containers:
            raise Failure(CONFLICT, f"container {container[:12]} is running, or not cleaned up yet")
        seccomp = self._filter(request["process"]["seccomp"])
        name = f"{container[:32]}.{self._last_number + 1}"
        group = self._cgroups.create(name, request["limits"], privileged=request["privileged"])
        flags = _NAMESPACES | (0 if request["host_network"] else sys_.CLONE_NEWNET)

        def inside(child: sandbox.Child) -> NoReturn:
            sandbox.start(request, child, self._host)

        try:
            record = self._spawn(request_id, container, request["process"], group, seccomp, flags, inside)
        except BaseException:
            self._remove_group(group)
            raise
        record.group = group
        record.exit_file = request["exit_file"]
        self._containers[container] = record

    def _exec(self, request_id: int, request: ExecRequest, descriptors: list[int]) -> None:
        first = self._running(request["container"])
        seccomp = self._filter(request["process"]["seccomp"])

        def inside(child: sandbox.Child) -> NoReturn:
            sandbox.join(request, child, first.pidfd, self._host)

        try:
            sys_.setns(first.pidfd, sys_.CLONE_NEWPID)
            self._spawn(request_id, first.container, request["process"], first.group, seccomp, 0, inside)
        except OSError as error:
            if error.errno in _ENDING:
                raise Failure(CONFLICT, f"container {first.container[:12]} is not running") from None
            raise
        finally:
            sys_.setns(self._own_pid_namespace, sys_.CLONE_NEWPID)

    def _running(self, container: str) -> Record:
        record = self._containers.get(container)
        if record is None or not record.alive or not record.started:
            raise Failure(CONFLICT, f"container {container[:12]} is not running")
        return record

    def _spawn(
        self,
        request_id: int,
        container: str,
        process: ProcessRequest,
        group: _cgroups.Group | None,
        seccomp: bytes | None,
        flags: int,
        inside: Callable[[sandbox.Child], NoReturn],
    ) -> Record:
        pipes = Pipes(process)
        cgroup = group.fd if group is not None and group.fd >= 0 else None
        try:
            record, status = self._clone(request_id, container, flags, cgroup)
            if status is not None:
                stdin, stdout, stderr = pipes.inner
                inside(sandbox.Child(status, (stdin, stdout, stderr), seccomp, group.entered if group else ()))
        finally:
            pipes.close_inner()
        record.streams = pipes.outer
        record.tty = process["tty"]
        return record

    def _clone(
        self, request_id: int, container: str, flags: int, cgroup: int | None
    ) -> tuple[Record, socket.socket | None]:
        """A new process: its record in the launcher, the socket to report on in the child."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            pid, pidfd = sys_.clone3(flags, cgroup=cgroup)
        except OSError:
            ours.close()
            theirs.close()
            raise
        self._last_number += 1
        record = Record(self._last_number, request_id, container, pid, pidfd)
        if pid == 0:
            return record, theirs
        theirs.close()
        ours.setblocking(False)
        record.status = ours
        self._records[record.number] = record
        self._loop.watch(ours.fileno(), lambda: self._hear(record))
        self._loop.watch(pidfd, lambda: self._exited(record))
        return record, None

    def _hear(self, record: Record) -> None:
        """Take in what a child reports; at the end of file it has been executed, or will be reaped."""
        while record.status is not None:
            try:
                message, descriptors = _protocol.receive(record.status)
            except BlockingIOError:
                return
            except _protocol.Disconnected:
                self._loop.forget(record.status.fileno())
                record.status.close()
                record.status = None
                if record.ready and record.failure is None:
                    self._started(record)
                return
            self._note(record, message, descriptors)

    def _note(self, record: Record, message: Message, descriptors: list[int]) -> None:
        if sandbox.READY in message:
            record.ready = True
        elif sandbox.TERMINAL in message:
            record.streams["terminal"] = descriptors.pop()
        elif "result" in message:
            record.result = message["result"]
        elif "error" in message:
            record.failure = message["error"]
        for fd in descriptors:
            os.close(fd)

    def _started(self, record: Record) -> None:
        record.started = time.time_ns()
        record.host_pid = self._find_host_pid(record.pidfd)
        names = [name for name in STREAMS if name in record.streams]
        facts = {"process": record.number, "pid": record.host_pid, "started": record.started, "streams": names}
        self._answer(record.request_id, facts, [record.streams[name] for name in names])
        record.request_id = 0
        if self._listener is None or record.group is None:
            record.close_streams()

    def _find_host_pid(self, pidfd: int) -> int:
        fd = os.open(f"self/fdinfo/{pidfd}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)
        try:
            text = os.read(fd, 4096).decode()
        finally:
            os.close(fd)
        return int(text.partition("\nPid:")[2].split(None, 1)[0])

    # Exits

    def _exited(self, record: Record) -> None:
        self._hear(record)
        code, signum = self._reap(record)
        if record.group is not None or record.started:
            self._process_ended(record, code, signum)
        else:
            self._helper_ended(record, signum)
        self._end_if_idle()

    def _reap(self, record: Record) -> tuple[int, int]:
        """Wait for a process that has ended or is sure to: ``(exit code, signal or 0)``."""
        _, status = os.waitpid(record.pid, 0)
        self._loop.forget(record.pidfd)
        os.close(record.pidfd)
        record.pidfd = -1
        self._forget_freezing(record, "it has ended")
        if os.WIFSIGNALED(status):
            return 128 + os.WTERMSIG(status), os.WTERMSIG(status)
        return os.WEXITSTATUS(status), 0

    def _process_ended(self, record: Record, code: int, signum: int) -> None:
        finished = time.time_ns()
        first = record.group is not None
        oom_killed = self._group_ended(record) if record.group is not None else False
        if not record.started:
            self._failed(record, signum)
            return
        record.exit = {
            "process": record.number,
            "container": record.container,
            "code": code,
            "signal": signum,
            "oom_killed": oom_killed,
            "started": record.started,
            "finished": finished,
        }
        if record.exit_file:
            self._write_exit(record.exit_file, record.exit)
        if not first:
            del self._records[record.number]
        if self._link is not None:
            self._link.send({"event": "exit", "exit": record.exit})

    def _group_ended(self, record: Record) -> bool:
        """Remove a container's cgroup; whether memory ran out in it."""
        group = record.group
        if group is None:
            return False
        oom_killed = self._cgroups.oom_killed(group)
        self._remove_group(group)
        return oom_killed

    def _remove_group(self, group: _cgroups.Group) -> None:
        if not self._cgroups.remove(group):
            self._loop.call_later(0.01, self._retry_groups)

    def _retry_groups(self) -> None:
        if not self._cgroups.retry():
            self._loop.call_later(0.02, self._retry_groups)

    def _write_exit(self, path: str, facts: ExitFacts) -> None:
        """Note an exit. A lost note loses no exit while an engine listens: the event that follows tells it too."""
        beside = f"{path}.{facts['process']}"
        with contextlib.suppress(OSError):
            try:
                fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
                with open(fd, "wb") as file:
                    file.write(json.dumps(facts).encode())
                os.rename(beside, path)
            except OSError:
                os.unlink(beside)

    def _failed(self, record: Record, signum: int) -> None:
        """A process that never was executed has been reaped."""
        failure = record.failure
        if failure is None:
            reason = f"was killed by signal {signum}" if signum else "ended"
            failure = {"kind": ABORTED, "message": f"the process {reason} before it was executed"}
        self._refuse(record.request_id, failure["kind"], failure["message"])
        self._drop(record)

    def _helper_ended(self, record: Record, signum: int) -> None:
        """A process that works on files, or an ``exec`` that failed."""
        if record.result is not None and record.failure is None:
            self._answer(record.request_id, record.result)
            self._drop(record)
        else:
            self._failed(record, signum)

    def _drop(self, record: Record) -> None:
        record.close_streams()
        del self._records[record.number]
        if self._containers.get(record.container) is record:
            del self._containers[record.container]

    # What is done to processes

    def _send_signal(self, record: Record, signum: int) -> None:
        if record.alive:
            signal.pidfd_send_signal(record.pidfd, signum)

    def _abort(self, request_id: int, message: Message, descriptors: list[int]) -> None:
        """Give up a request: what it has cloned is killed, whether it has been answered or not."""
        for record in list(self._records.values()):
            if record.request_id == message["id"]:
                self._send_signal(record, signal.SIGKILL)
        self._answer(request_id, {})

    def _kill(self, request_id: int, message: Message, descriptors: list[int]) -> None:
        record = self._records.get(message["process"])
        if record is not None:
            self._send_signal(record, message["signal"])
        self._answer(request_id, {})

    def _close_stdin(self, request_id: int, message: Message, descriptors: list[int]) -> None:
        """The engine has closed its end of a container's input; so does the launcher."""
        record = self._records.get(message["process"])
        if record is not None and "stdin" in record.streams:
            os.close(record.streams.pop("stdin"))
        self._answer(request_id, {})

    def _freeze(self, request_id: int, message: Message, descriptors: list[int]) -> None:
        record = self._running(message["container"])
        frozen: bool = message["frozen"]
        if record.group is None or record.group.fd < 0:
            raise Failure(DRIVER, "this host has no cgroup that can be frozen: mount the cgroup2 file system")
        self._forget_freezing(record, "another request came after it")
        record.freezing = os.open("cgroup.events", os.O_RDONLY | os.O_CLOEXEC, dir_fd=record.group.fd)
        record.freeze_id = request_id

        def check() -> None:
            if _cgroups.is_frozen(record.freezing) == frozen:
                record.frozen = frozen
                record.freeze_id = 0
                self._forget_freezing(record, "")
                self._answer(request_id, {})

        self._loop.watch(record.freezing, check, PRIORITY)
        _cgroups.freeze(record.group, frozen)
        check()

    def _forget_freezing(self, record: Record, reason: str) -> None:
        """Watch no longer; who still waits for the freezer is told the ``reason``."""
        if record.freezing < 0:
            return
        self._loop.forget(record.freezing)
        os.close(record.freezing)
        record.freezing = -1
        if record.freeze_id:
            self._refuse(record.freeze_id, CONFLICT, f"container {record.container[:12]} was not frozen: {reason}")
            record.freeze_id = 0

    def _cleanup(self, request_id: int, message: Message, descriptors: list[int]) -> None:
        """Forget a container that has ended."""
        record = self._containers.get(message["container"])
        if record is not None:
            if record.alive:
                raise Failure(CONFLICT, f"container {record.container[:12]} is still running")
            self._drop(record)
        self._answer(request_id, {})

    def _list_containers(self, request_id: int, message: Message, descriptors: list[int]) -> None:
        """Tell a new engine of every container, each in a message of its own, descriptors with it."""
        for record in self._containers.values():
            if record.started and self._link is not None:
                names = [name for name in STREAMS if name in record.streams]
                facts = _container_facts(record, names)
                self._link.send({"event": "container", "facts": facts}, [record.streams[name] for name in names])
        self._answer(request_id, {})

    def _archive(self, request_id: int, request: ArchiveRequest, descriptors: list[int]) -> None:
        """Have a child of its own work on files, in the view of the container."""
        running = self._containers.get(request["container"])
        pidfd = running.pidfd if running is not None and running.alive and running.started else -1
        _, status = self._clone(request_id, "", 0, None)
        if status is not None:
            from bireme.launcher import archive  # the launcher itself stays lean

            archive.work(request, status, descriptors, pidfd, self._host)


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


def _has_output(record: Record) -> bool:
    """Whether a kept stream holds output that no engine has read."""
    poll = select.poll()
    for name, fd in record.streams.items():
        if name != "stdin":
            poll.register(fd, select.POLLIN)
    return any(events & select.POLLIN for _, events in poll.poll(0))
