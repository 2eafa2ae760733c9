"""What a launcher lacks that shares the PIDs of the host, since it is not process 1 of a namespace of its own.

- What a container's processes leave behind falls to the launcher as to an init (PR_SET_CHILD_SUBREAPER), also the first
  process that another runtime has made.
- Signals with which a terminal or an administrator ends other programs do nothing to it. It handles them, rather than
  ignore them, so that what it executes has their default actions.
- The kernel kills no container when the launcher is killed. That is left to the *guard*, a clone of it that waits for
  its end in a cgroup of our own, where nobody who ends a service with all its processes looks for it.
"""

from __future__ import annotations

import os
import select
import signal

from bireme import _syscalls as sys_

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import NoReturn

    from bireme.launcher._cgroups import Cgroups

_NOTHING_TO_US = (
    *(signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE, signal.SIGALRM),
)


def take_orphans() -> None:
    """Become the parent of what loses its own among our descendants, and outlive the usual signals."""
    sys_.prctl(sys_.PR_SET_CHILD_SUBREAPER, 1)
    for number in _NOTHING_TO_US:
        signal.signal(number, _do_nothing)
        signal.siginterrupt(number, False)


def _do_nothing(signum: int, frame: object) -> None:
    pass


def start_guard(engine: socket.socket, cgroups: Cgroups) -> int:
    """The PID of the guard, which ends when it is killed, with everything else in our cgroups.

    It keeps the lock on ROOT as we do: whoever comes after us waits until it is done.
    """
    launcher = os.pidfd_open(os.getpid())
    group = cgroups.make_guards_group()
    pid, pidfd = sys_.clone3(0, cgroup=group)
    if pid == 0:
        _guard(launcher, engine, cgroups)
    for fd in (launcher, group, pidfd):
        os.close(fd)
    return pid


def _guard(launcher: int, engine: socket.socket, cgroups: Cgroups) -> NoReturn:
    try:
        sys_.set_name("bireme-guard")
        for number in _NOTHING_TO_US:
            signal.signal(number, signal.SIG_IGN)
        engine.close()
        poll = select.poll()
        poll.register(launcher, select.POLLIN)
        while not poll.poll():
            pass
        cgroups.end_containers()
    finally:
        os._exit(0)


def end_guard(pid: int) -> None:
    """Kill and reap it."""
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        return
