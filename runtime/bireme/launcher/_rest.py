"""What containers leave in their cgroups is ended here: of those that share the PIDs of the host.

A PID namespace of its own ends with its first process, and the kernel kills all that is in it. Where there is none,
the container's cgroup says what belongs to it, whoever its parent is and whatever session it has made: a process leaves
its cgroup by being moved only, and nothing in a container may do that. So all of the cgroup is killed once the first
process has ended, and what waits for the end of the container waits until nobody lives there any more.

``cgroup.kill`` (Linux 5.14) kills also what is being forked meanwhile. An older kernel is asked to stop the processes,
which then fork no more, and each is killed through a descriptor that was opened while it was in the group: its number
may belong to somebody else by the time it is used. Either is repeated until the group is empty.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import time

from bireme.launcher import _cgroups
from bireme.launcher._loop import PRIORITY, Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from bireme.launcher._cgroups import Group

AGAIN = 0.02
"""Seconds after which what still lives is killed once more."""
PATIENCE = 10.0
"""Seconds that killed processes are waited for where nothing else can be done meanwhile."""
_BATCH = 512
"""Processes that an older kernel has killed at a time: each takes a descriptor."""


class Rest:
    """Groups in which processes have been killed that have not ended yet."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._waiting: dict[int, Group] = {}
        """By the descriptor of the events of the group."""

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def end(self, group: Group, then: Callable[[], None]) -> None:
        """Kill everything in a group, and call ``then`` as soon as nothing lives there: perhaps at once."""
        try:
            events = open_events(group.parent, group.name)
        except FileNotFoundError:
            then()
            return

        def check() -> None:
            if not is_populated(events):
                self._loop.forget(events)
                del self._waiting[events]
                os.close(events)
                then()

        self._waiting[events] = group
        self._loop.watch(events, check, PRIORITY)
        if is_populated(events):
            kill(group.parent, group.name)
        check()

    def again(self) -> None:
        """Kill what has not ended yet: of a group that the container has made in its own meanwhile, for example."""
        for group in self._waiting.values():
            kill(group.parent, group.name)


def open_events(parent: int, name: str) -> int:
    """Descriptor of a group's ``cgroup.events``, which has priority when it has changed since it was read."""
    return os.open(f"{name}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC, dir_fd=parent)


def is_populated(events: int) -> bool:
    """Whether a process lives in a group or below; a zombie does not. ``events``: its open ``cgroup.events``."""
    try:
        return "populated 1" in os.pread(events, 1 << 12, 0).decode()
    except OSError as error:
        if error.errno == errno.ENODEV:  # somebody has removed the group, which he can do only when it is empty
            return False
        raise


def kill(parent: int, name: str) -> None:
    """Send SIGKILL to every process of a group and below, in whatever PID namespace, as far as that is possible."""
    try:
        _cgroups.write(parent, f"{name}/cgroup.kill", "1")
    except OSError:
        with contextlib.suppress(OSError):
            kill_each(parent, name)


def kill_each(parent: int, name: str) -> None:
    """As ``kill``, on a kernel that has no word for it: as many as there are descriptors for, to be called again."""
    _cgroups.write(parent, f"{name}/cgroup.freeze", "1")
    group = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=parent)
    opened: dict[str, int] = {}
    try:
        for pid in _cgroups.processes(group):
            with contextlib.suppress(ProcessLookupError):
                opened[pid] = os.pidfd_open(int(pid))
            if len(opened) == _BATCH:
                break
        for pid in opened.keys() & set(_cgroups.processes(group)):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(opened[pid], signal.SIGKILL)
    finally:
        os.close(group)
        for fd in opened.values():
            os.close(fd)


def end_all(parent: int, name: str, seconds: float = PATIENCE) -> bool:
    """Kill everything in a group and below, and wait. False if something still lives after that time."""
    try:
        events = open_events(parent, name)
    except FileNotFoundError:
        return True
    poll = select.poll()
    poll.register(events, select.POLLPRI)
    deadline = time.monotonic() + seconds
    try:
        while is_populated(events):
            if time.monotonic() > deadline:
                return False
            kill(parent, name)
            poll.poll(AGAIN * 1000)
    finally:
        os.close(events)
    return True
