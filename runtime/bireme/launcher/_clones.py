"""The launcher's children, from the clone to the exit that has been told.

States of a process: cloned (``status`` open), started (``started`` set, its request answered), ended (not ``alive``).
A start that fails is answered only after its process has been reaped and its cgroup removed: an error means that
nothing is left. An exit is noted in the container's directory before it is told.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import time

from bireme import _syscalls as sys_
from bireme.launcher import _cgroups, _protocol, sandbox
from bireme.launcher._loop import PRIORITY, Loop
from bireme.launcher._processes import STREAMS, Pipes, Record, close_all
from bireme.launcher._protocol import ABORTED, CONFLICT, DRIVER, Failure
from bireme.launcher._reaper import Reaper, unblock
from bireme.launcher._turns import Turns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from bireme.launcher._link import Voice
    from bireme.launcher._plain import Attempt
    from bireme.launcher._rest import Rest
    from bireme.launcher.requests import ExitFacts, Message, ProcessRequest


class Clones:
    """Every process not reaped, and containers until the engine has cleaned up after them."""

    def __init__(
        self, loop: Loop, cgroups: _cgroups.Cgroups, proc: int, voice: Voice, on_exit: Callable[[], None]
    ) -> None:
        """``on_exit`` is called after each process that has ended and been told of."""
        self._loop = loop
        self._cgroups = cgroups
        self._proc = proc
        self._voice = voice
        self._on_exit = on_exit
        self._reaper = Reaper(loop, self._exited)
        self._rest = _open_rest(loop) if cgroups.host_pids else None
        """Where no PID namespace ends what a container leaves."""
        self._last_number = _protocol.HOST_PIDS_NUMBERS if cgroups.host_pids else 0
        self.keeps_streams = False
        """Whether copies of the containers' streams are kept, for an engine that comes after this one."""
        self.turns = Turns(loop)
        self.records: dict[int, Record] = {}
        self.containers: dict[str, Record] = {}

    # Birth

    def spawn(
        self,
        request_id: int,
        container: str,
        process: ProcessRequest,
        group: _cgroups.Group | None,
        seccomp: bytes | None,
        flags: int,
        inside: Callable[[sandbox.Child], NoReturn],
    ) -> Record:
        """A new process that is to be executed ``inside``; what it needs is made, and given back if it fails."""
        pipes = Pipes(process)
        cgroup = group.fd if group is not None and group.fd >= 0 else None
        try:
            record, status = self.clone(request_id, container, flags, cgroup)
            if status is not None:
                stdin, stdout, stderr = pipes.inner
                inside(sandbox.Child(status, (stdin, stdout, stderr), seccomp, group.entered if group else ()))
        except OSError:
            close_all(pipes.outer)
            raise
        finally:
            pipes.close_inner()
        record.streams = pipes.outer
        record.tty = process["tty"]
        return record

    def attempt(
        self,
        request_id: int,
        container: str,
        process: ProcessRequest,
        make: Callable[[tuple[int, int, int]], Attempt],
        instead: Callable[[], None],
    ) -> Record:
        """A new process that ``make`` has begun to set up; it is given the process's ends of the streams.

        ``instead`` is called if that fails: nothing is left of it then but the cgroup.
        """
        pipes = Pipes(process)
        try:
            stdin, stdout, stderr = pipes.inner
            attempt = make((stdin, stdout, stderr))
        except BaseException:
            close_all(pipes.outer)
            raise
        finally:
            pipes.close_inner()
        record = self._note_birth(request_id, container, attempt.pid, attempt.pidfd)
        record.streams = pipes.outer
        record.attempt, record.instead, record.plain = attempt, instead, True
        self._loop.watch(attempt.told, lambda: self._attempt_over(record))
        self._watch(record)
        self.turns.began(record.number)
        return record

    def _attempt_over(self, record: Record) -> None:
        """The process has executed its command, or has ended, or is about to."""
        attempt = record.attempt
        if attempt is None:
            return
        record.attempt = None
        self._loop.forget(attempt.told)
        if attempt.succeeded():
            self.started(record)
        elif not record.doomed and record.instead is not None:
            self._reap(record)
            self.drop(record)
            record.instead()
        self.turns.over(record.number)

    def _note_birth(self, request_id: int, container: str, pid: int, pidfd: int) -> Record:
        self._last_number += 1
        return Record(self._last_number, request_id, container, pid, pidfd)

    def _watch(self, record: Record) -> None:
        self.records[record.number] = record
        self._reaper.add(record)

    def clone(
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
        record = self._note_birth(request_id, container, pid, pidfd)
        if pid == 0:
            unblock()
            if self._cgroups.host_pids:
                sys_.prctl(sys_.PR_SET_PDEATHSIG, signal.SIGKILL)
            return record, theirs
        theirs.close()
        ours.setblocking(False)
        record.status = ours
        self._loop.watch(ours.fileno(), lambda: self._hear(record))
        self._watch(record)
        return record, None

    def _hear(self, record: Record) -> None:
        """Take in what a child reports; at the end of file it has been executed, or will be reaped."""
        while record.status is not None:
            try:
                message, descriptors = _protocol.receive(record.status)
            except BlockingIOError:
                return
            except _protocol.Disconnected:
                self._hang_up(record)
                if record.ready and record.failure is None and not record.helper:
                    self.started(record)
                return
            self._note(record, message, descriptors)

    def _hang_up(self, record: Record) -> None:
        if record.status is not None:
            self._loop.forget(record.status.fileno())
            record.status.close()
            record.status = None

    def _note(self, record: Record, message: Message, descriptors: list[int]) -> None:
        if sandbox.READY in message:
            record.ready = True
            record.heir = message.get(sandbox.ADOPT, 0)
        elif sandbox.TERMINAL in message:
            record.streams["terminal"] = descriptors.pop()
        elif "result" in message:
            record.result = message["result"]
        elif "error" in message:
            record.failure = message["error"]
        for fd in descriptors:
            os.close(fd)

    def started(self, record: Record) -> None:
        """Answer: it has been executed."""
        record.started = time.time_ns()
        if record.group is not None:
            record.group.close_directory()
        record.host_pid = self._find_host_pid(record.pidfd)
        record.close_pidfd()
        names = [name for name in STREAMS if name in record.streams]
        facts = {"process": record.number, "pid": record.host_pid, "started": record.started, "streams": names}
        if record.plain:
            facts["plain"] = True
        self._voice.answer(record.request_id, facts, [record.streams[name] for name in names])
        record.request_id = 0
        if not self.keeps_streams or record.group is None:
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
        self._attempt_over(record)
        self._hear(record)
        if not record.alive:
            return
        if record.helper:
            self._helper_left(record)
            return
        code, signum = self._reap(record)
        if record.group is not None and self._rest is not None:
            self._end_rest(self._rest, record, code, signum)
        elif record.group is not None or record.started:
            self._process_ended(record, code, signum, time.time_ns())
        else:
            self._helper_ended(record, signum)
        self._on_exit()

    def _end_rest(self, rest: Rest, record: Record, code: int, signum: int) -> None:
        """The exit of a container is told once all that it has started has ended."""
        group, finished = record.group, time.time_ns()
        assert group is not None, "every container has one"

        def ended() -> None:
            self._reaper.look()
            self._process_ended(record, code, signum, finished)
            self._on_exit()

        rest.end(group, ended)
        if rest:
            self._loop.call_later(0.02, self._retry_groups)

    def _helper_left(self, record: Record) -> None:
        """The helper has ended; the container's first process, which falls to us, takes its place in the record."""
        record.helper = False
        self._hang_up(record)
        if not record.heir or record.failure is not None:
            self._exited(record)
            return
        self._reap(record)
        record.pid, record.pidfd = record.heir, os.pidfd_open(record.heir)
        record.alive = True
        self._reaper.add(record)
        if record.doomed:
            self.send_signal(record, signal.SIGKILL)
        else:
            self.started(record)

    def _reap(self, record: Record) -> tuple[int, int]:
        """Wait for a process that has ended or is sure to: ``(exit code, signal or 0)``."""
        status = self._reaper.reap(record)
        self._forget_freezing(record, "it has ended")
        if os.WIFSIGNALED(status):
            return 128 + os.WTERMSIG(status), os.WTERMSIG(status)
        return os.WEXITSTATUS(status), 0

    def _process_ended(self, record: Record, code: int, signum: int, finished: int) -> None:
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
            del self.records[record.number]
        self._voice.tell({"event": "exit", "exit": record.exit})

    def _group_ended(self, record: Record) -> bool:
        """Remove a container's cgroup; whether memory ran out in it."""
        group = record.group
        if group is None:
            return False
        oom_killed = self._cgroups.oom_killed(group)
        self.remove_group(group)
        return oom_killed

    def remove_group(self, group: _cgroups.Group) -> None:
        """Now, or as soon as the kernel counts none of its processes any more."""
        if not self._cgroups.remove(group):
            self._loop.call_later(0.01, self._retry_groups)

    def _retry_groups(self) -> None:
        if self._rest:
            self._rest.again()
        if not self._cgroups.retry() or self._rest:
            self._loop.call_later(0.02, self._retry_groups)

    def _write_exit(self, path: str, facts: ExitFacts) -> None:
        """Note an exit. A lost note loses no exit while an engine listens: the event that follows tells it too."""
        beside = f"{path}.{facts['process']}"
        with contextlib.suppress(OSError):
            try:
                fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
                with open(fd, "wb", buffering=0) as file:
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
        self.drop(record)
        self._voice.refuse(record.request_id, failure["kind"], failure["message"])

    def _helper_ended(self, record: Record, signum: int) -> None:
        """A process that works on files, or an ``exec`` that failed."""
        if record.result is not None and record.failure is None:
            self.drop(record)
            self._voice.answer(record.request_id, record.result)
        else:
            self._failed(record, signum)

    def drop(self, record: Record) -> None:
        """Forget a process that has been reaped."""
        record.close_streams()
        del self.records[record.number]
        if self.containers.get(record.container) is record:
            del self.containers[record.container]

    def send_signal(self, record: Record, signum: int) -> None:
        """Nothing happens if the process has been reaped. A helper is asked to undo what it has done."""
        if record.helper:
            signum = signal.SIGTERM
        record.doomed = record.doomed or not record.started
        if record.alive:
            os.kill(record.pid, signum)

    # What is done to those that live

    def running(self, container: str) -> Record:
        """The first process of a container. Raises Failure if it does not run."""
        record = self.containers.get(container)
        if record is None or not record.alive or not record.started:
            raise Failure(CONFLICT, f"container {container[:12]} is not running")
        return record

    def freeze(self, request_id: int, container: str, *, frozen: bool) -> None:
        """Stop or resume a container; answered when the kernel says that it has."""
        record = self.running(container)
        if record.group is None or record.group.parent < 0:
            raise Failure(DRIVER, "this host has no cgroup that can be frozen: mount the cgroup2 file system")
        self._forget_freezing(record, "another request came after it")
        record.freezing = _cgroups.freeze(record.group, frozen)
        record.freeze_id = request_id

        def check() -> None:
            if _cgroups.is_frozen(record.freezing) == frozen:
                record.frozen = frozen
                record.freeze_id = 0
                self._forget_freezing(record, "")
                self._voice.answer(request_id, {})

        self._loop.watch(record.freezing, check, PRIORITY)
        check()

    def _forget_freezing(self, record: Record, reason: str) -> None:
        """Watch no longer; who still waits for the freezer is told the ``reason``."""
        if record.freezing < 0:
            return
        self._loop.forget(record.freezing)
        os.close(record.freezing)
        record.freezing = -1
        if record.freeze_id:
            self._voice.refuse(
                record.freeze_id, CONFLICT, f"container {record.container[:12]} was not frozen: {reason}"
            )
            record.freeze_id = 0

    def abandon(self) -> None:
        """The engine has gone: end what nobody can take over, and answer nobody any more."""
        self.turns.clear()
        for record in list(self.records.values()):
            record.request_id = record.freeze_id = 0
            if record.group is None or not record.started:
                self.send_signal(record, signal.SIGKILL)

    def has_work(self) -> bool:
        """Whether something runs, or output waits that no engine has read."""
        return bool(self._rest) or any(record.alive or _has_output(record) for record in self.records.values())

    def end_all(self) -> None:
        """Kill, reap, remove the cgroups. The kernel ends whatever a killed launcher leaves.

        The youngest first: a container's first process cannot end before those that joined it have been reaped.
        """
        self.turns.clear()
        for record in self.records.values():
            self.send_signal(record, signal.SIGKILL)
        if self._rest is not None:
            self._cgroups.end_all()
        for record in reversed(list(self.records.values())):
            if record.alive:
                self._reap(record)
            if record.helper and record.group is not None:
                self._cgroups.remove(record.group)
        for _ in range(200):
            if self._cgroups.retry():
                break
            time.sleep(0.005)
        self._cgroups.close()


def _open_rest(loop: Loop) -> Rest:
    from bireme.launcher import _rest  # only for those who share the PIDs of the host

    return _rest.Rest(loop)


def _has_output(record: Record) -> bool:
    """Whether a kept stream holds output that no engine has read."""
    poll = select.poll()
    for name, fd in record.streams.items():
        if name != "stdin":
            poll.register(fd, select.POLLIN)
    return any(events & select.POLLIN for _, events in poll.poll(0))
