"""Which of the launcher's children have ended, heard of by SIGCHLD.

A descriptor for each child (pidfd_open(2)) would do too, but every new process is given a copy of all that is open and
has to close it again: the thousandth start would be dearer than the first. So a child has one only until it has been
started. The signal is blocked and read from a descriptor, so that it interrupts nothing; every child unblocks it. It
names one child, though several may have ended: that one is told of first, then all are asked for, which takes the
kernel the longer the more of them there are.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct

from bireme import _syscalls as sys_

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from bireme.launcher._loop import Loop
    from bireme.launcher._processes import Record


_SENDER = struct.Struct("=12xI")
"""Of what is read from a descriptor of signalfd(2): the PID of whom the signal is about."""


class Reaper:
    """Every child that has not been reaped; those that nobody has recorded as well."""

    def __init__(self, loop: Loop, ended: Callable[[Record], None]) -> None:
        """``ended`` is called for each process that has ended; it is to have it reaped."""
        self._ended = ended
        self._alive: dict[int, Record] = {}
        sys_.default_signal(signal.SIGCHLD, sys_.SA_NOCLDSTOP)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        self._signals = sys_.signalfd([signal.SIGCHLD])
        loop.watch(self._signals, self._hear)

    def add(self, record: Record) -> None:
        """Hear of the end of a process, which may be over."""
        self._alive[record.pid] = record

    def reap(self, record: Record) -> int:
        """Wait for a process that has ended or is sure to: its wait status."""
        _, status = os.waitpid(record.pid, 0)
        del self._alive[record.pid]
        record.alive = False
        record.close_pidfd()
        return status

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            (pid,) = _SENDER.unpack_from(os.read(self._signals, sys_.SIGNALFD_SIGINFO))
            self._look_at(pid)
        self.look()

    def _look_at(self, pid: int) -> None:
        """Anybody may send that signal, and who has ended may have been reaped since: so ask."""
        record = self._alive.get(pid)
        if record is not None and _find_ended(os.P_PID, pid) is not None:
            self._ended(record)

    def look(self) -> None:
        """Ask for those that have ended, and reap what falls to us, of a helper that was killed or of a container
        without an init: nobody else will.

        But of a helper that is at work the container's first process may fall to us before it has named it: nothing is
        reaped then that is not known, and it may hide others that have ended.
        """
        while (pid := _find_ended(os.P_ALL, 0)) is not None:
            record = self._alive.get(pid)
            if record is not None:
                self._ended(record)
            elif not any(record.helper for record in self._alive.values()):
                os.waitpid(pid, 0)
            elif not self._look_one_by_one():
                return

    def _look_one_by_one(self) -> bool:
        """Whether one of those known had ended."""
        found = [record for record in self._alive.values() if _find_ended(os.P_PID, record.pid) is not None]
        for record in found:
            if record.alive:
                self._ended(record)
        return bool(found)


def unblock() -> None:
    """In a child: SIGCHLD as everybody expects it."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _find_ended(kind: int, number: int) -> int | None:
    """A child that has ended, among all or with this PID; it is not reaped."""
    try:
        found = os.waitid(kind, number, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return found.si_pid if found is not None else None
