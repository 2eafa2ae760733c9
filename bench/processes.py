"""Processes that are started, waited for, counted and ended, with as little of Python in between as can be had."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_CLONE_NEWNS, _CLONE_FS = 0x20000, 0x200
_MS_REC, _MS_PRIVATE = 0x4000, 1 << 18
_MNT_DETACH = 2
_UNIFIED = "/sys/fs/cgroup/unified"
_libc = ctypes.CDLL(None, use_errno=True)

CALL_SECONDS = 120.0
"""The longest that a system may take for one thing that it is asked to do; the slowest of them takes some seconds."""


class Failed(Exception):
    """A system could not do what it was asked for."""


def call(command: Sequence[str], environ: Mapping[str, str] | None = None, *, output: int | None = None) -> None:
    """Run a program to its end, standard output and input nowhere. Raises Failed.

    By posix_spawn, which shares the memory instead of copying its page tables: the cheapest way there is from Python.
    """
    errors = os.memfd_create("errors")
    out = (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0) if output is None else (os.POSIX_SPAWN_DUP2, output, 1)
    actions = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0), out, (os.POSIX_SPAWN_DUP2, errors, 2)]
    try:
        pid = os.posix_spawn(_found(command[0]), [*command], environ or os.environ, file_actions=actions)
        status = _ended(pid, command)
        if status:
            text = os.pread(errors, 4000, 0).decode("utf-8", "replace").strip()
            raise Failed(f"{command[0]}: {text[-600:] or f'status {status >> 8 or status}'}")
    finally:
        os.close(errors)


def _ended(pid: int, command: Sequence[str]) -> int:
    """Its status once it has ended; killed if that takes too long, which is a Failed."""
    pidfd = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        in_time = poll.poll(CALL_SECONDS * 1000)
        if not in_time:
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    finally:
        os.close(pidfd)
    if not in_time:
        raise Failed(f"{' '.join(command[:8])}: it did not end within {CALL_SECONDS:.0f} seconds")
    return status


_paths: dict[str, str] = {}


def _found(name: str) -> str:
    if name not in _paths:
        path = shutil.which(name)
        if path is None:
            raise Failed(f"{name} is not installed")
        _paths[name] = path
    return _paths[name]


def told(command: Sequence[str], environ: Mapping[str, str] | None = None) -> str:
    """What a program prints. Raises Failed."""
    done = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command[:8])}: {done.stderr.strip()[-600:] or done.returncode}")
    return done.stdout


# Mount namespaces


class MountNamespace:
    """A mount namespace without ``unified``, in which some threads, and the programs they start, live.

    crun, and so podman, refuses cgroup v1 and v2 side by side; it is content where v2 cannot be seen. Elsewhere this
    is a copy of the caller's. What is mounted in it goes with it.
    """

    def __init__(self) -> None:
        with ThreadPoolExecutor(1) as pool:
            self._fd = pool.submit(self._make).result()

    def _make(self) -> int:
        _check(_libc.unshare(_CLONE_FS | _CLONE_NEWNS))
        _check(_libc.mount(None, b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None))
        if os.path.ismount(_UNIFIED):
            _check(_libc.umount2(_UNIFIED.encode(), _MNT_DETACH))
        return os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)

    def _enter(self) -> None:
        _check(_libc.unshare(_CLONE_FS))
        _check(_libc.setns(self._fd, _CLONE_NEWNS))

    def pool(self, threads: int) -> ThreadPoolExecutor:
        """Threads that live there."""
        return ThreadPoolExecutor(threads, initializer=self._enter)

    def close(self) -> None:
        os.close(self._fd)


def _check(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


# What runs


def own_group() -> str:
    """This process's cgroup in the hierarchy that deals out the processors, ``/`` at its top.

    Engines put their containers below it: then all that is measured has the same claim to the processors.
    """
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, names, path = line.split(":", 2)
        if "cpu" in names.split(",") or (number == "0" and not Path("/sys/fs/cgroup/cpu").exists()):
            return path
    return "/"


def descendants(pid: int) -> list[int]:
    """The process and everything below it."""
    found, waiting = [], [pid]
    while waiting:
        current = waiting.pop()
        found.append(current)
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{current}/task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
    return found


def with_argument(text: str) -> Iterator[int]:
    """Processes with ``text`` somewhere in their command line."""
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid() and text in command_line(int(entry)):
            yield int(entry)


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
    except OSError:
        return ""


def proportional(pid: int) -> int:
    """Proportional set size in bytes; 0 for a process that has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


# The end


def end(process: subprocess.Popen[bytes], signum: int = signal.SIGTERM, patience: float = 20.0) -> None:
    """Ask a process to end, then make it."""
    if process.poll() is None:
        process.send_signal(signum)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
    if process.poll() is None:
        process.kill()
        process.wait()


def wait_until_gone(pids: Sequence[int], patience: float = 20.0) -> None:
    """Kill what has not ended by then."""
    deadline = time.monotonic() + patience
    for pid in pids:
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.01)
