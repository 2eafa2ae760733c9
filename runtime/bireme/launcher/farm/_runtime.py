"""What is alike for all runtimes: the cgroup they work in, how they are executed, what they leave."""

from __future__ import annotations

import os

from bireme import _syscalls as sys_
from bireme.launcher._protocol import DRIVER, MISSING, Failure
from bireme.launcher.farm import _stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from bireme.launcher.requests import RuntimeRequest

PAYLOAD = f"{_stage.CGROUPS}/payload"

_LONGEST_LOG = 1 << 20
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/"}


def make_payload() -> int:
    """The cgroup that everything the runtime starts is born in: its descriptor."""
    os.mkdir(PAYLOAD)
    if not os.path.exists(f"{PAYLOAD}/cgroup.kill"):
        raise Failure(MISSING, f"other drivers than native need Linux 5.14 or newer, this is {os.uname().release}")
    if not os.path.exists("/proc/thread-self/children"):
        raise Failure(MISSING, "other drivers than native need a kernel with CONFIG_PROC_CHILDREN")
    return os.open(PAYLOAD, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def finish_off(payload: int) -> None:
    """Kill whatever the runtime has started, and reap it."""
    fd = os.open("cgroup.kill", os.O_WRONLY | os.O_CLOEXEC, dir_fd=payload)
    os.write(fd, b"1")
    os.close(fd)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


def find(runtime: RuntimeRequest) -> str:
    """The path of its program, which is there."""
    if not os.access(runtime["program"], os.X_OK):
        raise Failure(MISSING, f"{runtime['name']} cannot be executed: there is no program {runtime['program']}")
    return runtime["program"]


def spawn(arguments: list[str], payload: int) -> int:
    """Execute it, without any descriptor of ours but standard input, output and error."""
    pid, pidfd = sys_.clone3(0, cgroup=payload)
    if pid == 0:
        _become(arguments)
    os.close(pidfd)
    return pid


def _become(arguments: list[str]) -> NoReturn:
    try:
        sys_.close_range(3, cloexec=True)
        os.execve(arguments[0], arguments, _ENVIRONMENT)
    finally:
        os._exit(127)


def wait(pid: int) -> int:
    """Its exit code, 128 and more if it was killed."""
    _, status = os.waitpid(pid, 0)
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def settle(pid: int, runtime: RuntimeRequest, *, host_pid: bool) -> None:
    """Wait until ``pid``, the container's first process, is our only child: until all of the runtime has ended.

    ``host_pid``: the container's other processes fall to us too, so that it is enough to be its parent.
    """
    try:
        while pid not in children(os.getpid()):
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
            if found is not None and found.si_pid != pid:
                os.waitpid(found.si_pid, 0)
        for other in () if host_pid else children(os.getpid()) - {pid}:
            os.waitpid(other, 0)
    except ChildProcessError:
        raise Failure(DRIVER, f"{runtime['name']} has started no process of ours") from None


def children(pid: int) -> set[int]:
    """Of a process of one thread: those that it has not reaped."""
    return set(map(int, read(f"/proc/{pid}/task/{pid}/children").split()))


def write(path: str, text: str) -> None:
    """A file of ours."""
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)


def read(path: str) -> str:
    """The end of a file that a runtime has written; nothing if it has not."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LONGEST_LOG))
            return file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
