"""A plain loop over ``bwrap``: a sandbox that is no container. Each keeps one process of bwrap's beside it."""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from bench.peers.session import Session, Site, Times
from bench.peers.shares import timed
from bench.places import SLEEP, spread
from bench.processes import Failed, command_line, descendants, told

_THREADS = 16


@contextmanager
def opened(site: Site) -> Iterator[Session]:
    """Nothing runs in between."""
    with ThreadPoolExecutor(_THREADS) as pool:
        sandboxes = _Sandboxes(site, pool)
        yield Session(
            version=told(["bwrap", "--version"]).strip(),
            start=sandboxes.start,
            run={"command": sandboxes.life},
            running=sandboxes.running,
            processes=sandboxes.processes,
        )


class _Sandboxes:
    def __init__(self, site: Site, pool: ThreadPoolExecutor) -> None:
        self._site = site
        self._pool = pool
        self._volumes = spread(site.place / "volumes")
        self._numbers = itertools.count()
        self._alive: list[subprocess.Popen[bytes]] = []

    def start(self, count: int, parallel: int) -> Times:
        try:
            return self._start_many(count, parallel)
        finally:
            self._end_all()

    def _start_many(self, count: int, parallel: int) -> Times:
        volumes = [self._volume() for _ in range(count)]
        return timed(self._pool, volumes, parallel, lambda volume: self._alive.append(self._started(volume)))

    def _started(self, volume: Path) -> subprocess.Popen[bytes]:
        """Running: the sandbox's shell has said so, and becomes the command."""
        process = self._open(volume, ["sh", "-c", f"echo; exec {' '.join(SLEEP)}"], subprocess.PIPE)
        assert process.stdout is not None
        if not process.stdout.read(1):
            raise Failed(f"bwrap ended with {process.wait()}")
        process.stdout.close()
        return process

    def _open(self, volume: Path, command: Sequence[str], stdout: int) -> subprocess.Popen[bytes]:
        fd = os.open(self._site.seccomp, os.O_RDONLY)
        arguments = [
            "bwrap", "--unshare-all", "--die-with-parent", "--hostname", "bench", "--bind", str(self._site.layer), "/",
            "--proc", "/proc", "--dev", "/dev", "--bind", str(volume), "/data", "--seccomp", str(fd), "--", *command,
        ]  # fmt: skip
        try:
            return subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=stdout, pass_fds=[fd], env={"PATH": os.environ["PATH"]}
            )
        finally:
            os.close(fd)

    def _volume(self) -> Path:
        volume = self._volumes / str(next(self._numbers))
        volume.mkdir()
        return volume

    def life(self) -> float:
        volume = self._volume()
        begin = time.perf_counter()
        status = self._open(volume, ["true"], subprocess.DEVNULL).wait()
        seconds = time.perf_counter() - begin
        volume.rmdir()
        if status:
            raise Failed(f"bwrap ended with {status}")
        return seconds

    @contextmanager
    def running(self, count: int) -> Iterator[None]:
        try:
            self._start_many(count, 2)
            yield
        finally:
            self._end_all()

    def processes(self) -> list[int]:
        found = [pid for process in self._alive for pid in descendants(process.pid)]
        return [pid for pid in found if command_line(pid).startswith("bwrap")]

    def _end_all(self) -> None:
        for process in self._alive:
            process.kill()
        for process in self._alive:
            process.wait()
        self._alive.clear()
