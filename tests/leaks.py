"""What a test can leave behind on the host: processes, mounts, cgroups, descriptors.

Theory of operation. The host is shared, so a plain count proves nothing: what counts is what can be traced to this
session. A process is ours if it is a child of the session, inherited the session's mark in its environment, or has the
session's temporary directory on its command line or in its mount table (a container's environment is its own, but its
mounts come from there). Mounts are ours if they lie in that directory. A cgroup is a leak once no process is in it.

What ends by the kernel's hand, as the processes of a killed PID namespace do, is gone a moment after it was killed:
the check waits for that, bounded, and only where something is left.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

MARK = "BIREME_TEST_SESSION"
PATIENCE = 10.0
"""Seconds to wait for what has been killed to be gone."""
_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Traces:
    """``processes`` maps (PID, start time) to a description, ``descriptors`` a number to what it is open on."""

    processes: dict[tuple[int, str], str]
    mounts: frozenset[str]
    cgroups: frozenset[str]
    descriptors: dict[int, str]

    def since(self, before: Traces) -> list[str]:
        """What is here now and was not before, a line each."""
        lines = [f"process {pid}: {text}" for (pid, start), text in self.processes.items()
                 if (pid, start) not in before.processes]
        lines += [f"mount {line}" for line in sorted(self.mounts - before.mounts)]
        lines += [f"cgroup {path}" for path in sorted(self.cgroups - before.cgroups)]
        lines += [f"descriptor {fd}: {what}" for fd, what in self.descriptors.items() if fd not in before.descriptors]
        return lines


@dataclass(frozen=True, slots=True)
class Session:
    """What tells this session's traces from those of others."""

    mark: str
    directory: str
    """Part of a path that only this session's temporary directories have."""

    def traces(self) -> Traces:
        """All there is of this session now."""
        gc.collect()
        return Traces(
            processes=dict(self._processes()),
            mounts=frozenset(self._mounts()),
            cgroups=frozenset(empty_cgroups()),
            descriptors=dict(open_descriptors()),
        )

    def leftovers(self, before: Traces, patience: float = PATIENCE) -> list[str]:
        """What is left of what came after ``before``, once everything that was killed has had the time to go."""
        deadline = time.monotonic() + patience
        while True:
            now = self.traces()
            lines = now.since(before)
            left = deadline - time.monotonic()
            if not lines or left <= 0:
                return lines
            _wait_for_one([pid for pid, start in now.processes if (pid, start) not in before.processes], min(left, 1.0))

    def _processes(self) -> Iterator[tuple[tuple[int, str], str]]:
        for pid in _pids():
            with contextlib.suppress(OSError):
                parent, start = _parent_and_start(pid)
                command = _read(pid, "cmdline").replace("\0", " ").strip()
                if parent == os.getpid() or self._ours(pid, command):
                    yield (pid, start), command or _read(pid, "comm").strip()

    def _ours(self, pid: int, command: str) -> bool:
        if pid == os.getpid():
            return False
        return (
            self.directory in command
            or f"{MARK}={self.mark}" in _read(pid, "environ").split("\0")
            or self.directory in _read(pid, "mountinfo")
        )

    def _mounts(self) -> Iterator[str]:
        for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines():
            if self.directory in line:
                yield line


def open_descriptors() -> Iterator[tuple[int, str]]:
    """The descriptors of this process and what each is open on."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            yield int(name), os.readlink(f"/proc/self/fd/{name}")


def empty_cgroups() -> Iterator[str]:
    """The cgroups that this runtime makes, of which no process is a member, but for those of launchers that live.

    Other sessions have launchers too; each has the name of its top group on its command line.
    """
    tops = list(_top_groups())
    launchers = "".join(_command(pid) for pid in _pids()) if tops else ""
    for top in tops:
        if top.name not in launchers and not any(_members(Path(directory)) for directory, _, _ in os.walk(top)):
            yield str(top)


def _top_groups() -> Iterator[Path]:
    """Groups come and go meanwhile: ``os.walk`` passes over what is gone."""
    for directory, names, _ in os.walk(_CGROUPS):
        ours = [name for name in names if name.startswith("bireme")]
        names[:] = [name for name in names if name not in ours]
        yield from (Path(directory, name) for name in ours)


def _command(pid: int) -> str:
    try:
        return _read(pid, "cmdline")
    except OSError:
        return ""


def _members(directory: Path) -> str:
    try:
        return (directory / "cgroup.procs").read_text()
    except OSError:
        return ""


def _wait_for_one(pids: Collection[int], seconds: float) -> None:
    """Until the first of them has ended, or for a moment where there is none."""
    poll = select.poll()
    opened = []
    for pid in pids:
        with contextlib.suppress(OSError):
            opened.append(os.pidfd_open(pid))
            poll.register(opened[-1], select.POLLIN)
    try:
        if opened:
            poll.poll(seconds * 1000)
        threading.Event().wait(0.02)
    finally:
        for fd in opened:
            os.close(fd)


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir(_PROC) if name.isdigit())


def _parent_and_start(pid: int) -> tuple[int, str]:
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return (int(fields[1]), fields[19]) if fields else (0, "")


def _read(pid: int, name: str) -> str:
    return (_PROC / str(pid) / name).read_text(errors="replace")
