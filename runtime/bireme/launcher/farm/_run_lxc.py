"""Running LXC until the container runs: then its monitor, which would only wait for the end, is killed.

``lxc-start`` stays in the foreground, since in the background it takes the container's standard streams away. What it
logs tells when the command has been executed: the log is a FIFO, read as it is written.
"""

from __future__ import annotations

import os
import resource
import select
import signal

from bireme import _syscalls as sys_
from bireme.launcher import _program, _terminal, sandbox
from bireme.launcher._protocol import INVALID, Failure
from bireme.launcher.farm import _complaints, _lxc, _runtime, _stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from bireme.launcher.requests import RuntimeRequest, StartRequest

_CONFIG, _LOG = f"{_stage.BUNDLE}/config", f"{_stage.HOME}/log"
_LONGEST_COMMAND = 1024
"""LXC cuts the lines of its log."""


def run(request: StartRequest, runtime: RuntimeRequest, stage: _stage.Stage, payload: int) -> tuple[int, int]:
    """The pid of the container's first process, and its terminal, else -1."""
    if len(request["process"]["args"][0]) > _LONGEST_COMMAND:
        raise Failure(INVALID, f"the command's name is too long for lxc: {_LONGEST_COMMAND} characters are possible")
    os.mkdir(_lxc.MOUNT_PLACE)
    if not request["host_network"]:
        sys_.unshare(sys_.CLONE_NEWNET)
        sandbox.bring_up_loopback()
    _runtime.write(_CONFIG, _lxc.config(request, runtime, stage))
    if runtime["seccomp"] is not None:
        _runtime.write(_lxc.PROFILE, _lxc.profile(runtime["seccomp"]))
    terminal = _make_terminal(request, stage) if request["process"]["tty"] else -1
    log = _Log()
    monitor = _runtime.spawn([*_arguments(request, runtime), "--", *request["process"]["args"]], payload)
    pid = log.follow(monitor, lambda: _lxc.started(log.text))
    if not pid:
        said, command = _complaints.first_of_lxc(log.text), request["process"]["args"][0]
        raise _complaints.failure(runtime["name"], runtime["program"], command, said)
    pid = _take_over(pid, monitor, log, payload)
    _runtime.settle(pid, runtime, host_pid=request["host_pid"])
    return pid, terminal


def _arguments(request: StartRequest, runtime: RuntimeRequest) -> list[str]:
    arguments = [_runtime.find(runtime), *runtime["options"], "--quiet", "--foreground"]
    arguments += ["--name", request["container"], "--lxcpath", _stage.STATE, "--rcfile", _CONFIG]
    return [*arguments, "--logfile", _LOG, "--logpriority", "INFO"]


def _make_terminal(request: StartRequest, stage: _stage.Stage) -> int:
    """Of a devpts of its own: LXC's terminal would need the monitor to live."""
    sys_.mount("devpts", "/dev/pts", "devpts", sys_.MS_NOSUID | sys_.MS_NOEXEC, "newinstance,ptmxmode=0600,mode=0620")
    process = request["process"]
    master, slave = _terminal.open_pair(process.get("rows", 0), process.get("columns", 0))
    _program.take_stdio((slave, slave, slave), stage.identity.uid)
    os.close(slave)
    return master


class _Log:
    """What LXC logs, read as it is written."""

    def __init__(self) -> None:
        os.mkfifo(_LOG)
        self._fd = os.open(_LOG, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.text = ""

    def follow(self, monitor: int, found: Callable[[], int]) -> int:
        """Read until what is looked for has been ``found``; 0 if LXC has ended without."""
        pidfd = os.pidfd_open(monitor)
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.register(pidfd, select.POLLIN)
        try:
            while True:
                ready = {fd for fd, _ in poll.poll()}
                if self._fd in ready:
                    self.text += os.read(self._fd, 1 << 16).decode("utf-8", "replace")
                    if number := found():
                        return number
                elif pidfd in ready:
                    return 0
        finally:
            os.close(pidfd)


def _take_over(pid: int, monitor: int, log: _Log, payload: int) -> int:
    """End the monitor, unless it has been told of the end of the container's first process already.

    It is stopped to find that out. If it has, it goes on, and its log tells how that process ended; one that ends the
    same way takes its place.
    """
    os.kill(monitor, signal.SIGSTOP)
    os.waitid(os.P_PID, monitor, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    if pid in _runtime.children(monitor):
        os.kill(monitor, signal.SIGKILL)
        return pid
    os.kill(monitor, signal.SIGCONT)
    log.follow(monitor, lambda: 0)
    return _stand_in(*_lxc.ended(log.text), payload)


def _stand_in(code: int, signum: int, payload: int) -> int:
    """A process that ends like this."""
    pid, pidfd = sys_.clone3(0, cgroup=payload)
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if signum:
            os.kill(os.getpid(), signum)
        os._exit(code)
    os.close(pidfd)
    return pid
