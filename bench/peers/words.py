"""Whoever speaks the words of Docker's command line: ``docker``, ``podman``, ``bireme``."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from bench.peers.session import Life, Times
from bench.peers.shares import timed
from bench.places import SLEEP
from bench.processes import Failed, call, end

_FILL = "head -c 1048576 /dev/zero | tr '\\0' x | fold -w 99 > /tmp/lines; for i in $(seq {}); do cat /tmp/lines; done"
_CHUNK = 1 << 16
_PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Words:
    """A command line. Programs are started from the threads of ``pool``, whose mount namespace they share."""

    command: Sequence[str]
    environ: Mapping[str, str]
    pool: ThreadPoolExecutor
    options: Sequence[str] = ("--network", "none")
    """For ``run``."""
    removal: Sequence[str] = ("rm", "-f", "-v")
    """By force and at once, with the volumes."""

    def life(self) -> float:
        """``run --rm -v /data busybox true``; seconds."""
        return self._timed(["run", "--rm", *self.options, "-v", "/data", "busybox", "true"])

    def _timed(self, arguments: Sequence[str]) -> float:
        return self.pool.submit(self._timed_here, arguments).result()

    def _timed_here(self, arguments: Sequence[str]) -> float:
        begin = time.perf_counter()
        call([*self.command, *arguments], self.environ)
        return time.perf_counter() - begin

    def start(self, names: Sequence[str], parallel: int, *options: str) -> Times:
        """``run -d`` so many containers, so many at a time; seconds from the beginning until each command returned."""
        return timed(self.pool, names, parallel, lambda name: self.run_detached(name, *options))

    def run_detached(self, name: str, *options: str) -> None:
        arguments = ["run", "-d", "--name", name, *self.options, *options, "busybox", *SLEEP]
        call([*self.command, *arguments], self.environ)

    def remove(self, names: Sequence[str], *, at_once: int = 20) -> None:
        for first in range(0, len(names), at_once):
            self.do(*self.removal, *names[first : first + at_once])

    def do(self, *arguments: str) -> None:
        self.pool.submit(call, [*self.command, *arguments], self.environ).result()

    def tell(self, *arguments: str) -> str:
        """What the command prints."""
        output = os.memfd_create("output")
        try:
            self.pool.submit(call, [*self.command, *arguments], self.environ, output=output).result()
            return os.pread(output, 1 << 20, 0).decode()
        finally:
            os.close(output)

    @contextmanager
    def executing(self, name: str = "bench-exec") -> Iterator[Mapping[str, Life]]:
        """``exec CONTAINER true``."""
        self.pool.submit(self.run_detached, name).result()
        try:
            yield {"command": lambda: self._timed(["exec", name, "true"])}
        finally:
            self.remove([name])

    def logs(self, mebibytes: int, stuck: bool) -> float:
        """MiB a second through ``logs -f``; with ``stuck``, a second container's follower has stopped reading."""
        if not stuck:
            return self._follow("bench-log", mebibytes)
        self._write("bench-stuck", mebibytes)
        follower = self._open_follower("bench-stuck")
        try:
            assert follower.stdout is not None
            follower.stdout.read(_CHUNK)
            return self._follow("bench-log", mebibytes)
        finally:
            end(follower, signal.SIGKILL)
            self.remove(["bench-stuck"])

    def _write(self, name: str, mebibytes: int) -> None:
        self.do("run", "-d", "--name", name, *self.options, "busybox", "sh", "-c", _FILL.format(mebibytes))

    def _follow(self, name: str, mebibytes: int) -> float:
        begin = time.perf_counter()
        self._write(name, mebibytes)
        follower = self._open_follower(name)
        try:
            size = _read(follower, mebibytes << 20)
            return size / (time.perf_counter() - begin) / (1 << 20)
        finally:
            end(follower, signal.SIGKILL)
            self.remove([name])

    def _open_follower(self, name: str) -> subprocess.Popen[bytes]:
        command = [*self.command, "logs", "-f", name]
        return self.pool.submit(
            subprocess.Popen, command, env=self.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ).result()  # fmt: skip


def _read(process: subprocess.Popen[bytes], wanted: int) -> int:
    """Read what a program prints until there is so much. Raises Failed if it ends, or says nothing for long."""
    assert process.stdout is not None
    fd = process.stdout.fileno()
    size = 0
    while size < wanted:
        if not select.select([fd], [], [], _PATIENCE)[0]:
            raise Failed(f"logs -f gave {size} of {wanted} bytes, and nothing for {_PATIENCE:.0f} seconds")
        chunk = os.read(fd, _CHUNK)
        if not chunk:
            raise Failed(f"logs -f ended after {size} of {wanted} bytes")
        size += len(chunk)
    return size


def names(prefix: str, count: int) -> list[str]:
    """Names of containers."""
    return [f"{prefix}-{number}" for number in range(count)]
