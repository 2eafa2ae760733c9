"""A container that swaps directories for links in a volume it shares, while others start on it with volumes below.

The classes of CVE-2021-30465 and CVE-2018-15664: between the look at a path and the mount at it (or the copy to it),
the path becomes another. Two attackers work on the shared volume: a container with a shell, and, faster than a shell,
a process that exchanges the two names atomically as often as it can, which a container's own program could do as well.
The links point to the root, to the kernel's file systems, far up, and to a directory of the host by its whole path.
Every start and every copy may be refused or may succeed inside; nothing may ever be seen of it on the host.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

import bireme

ROUNDS = int(os.environ.get("BIREME_RACE_ROUNDS", "1000"))
AT_ONCE = 6
COPY_EVERY = 5

SHELL = """
while :; do
  for target in / /proc /sys /dev ../../../../.. ../../../../../../proc "$0"; do
    ln -s "$target" /shared/n; mv /shared/a /shared/o; mv /shared/n /shared/a; rm /shared/a; mv /shared/o /shared/a
  done
done
"""
"""Directory, nothing, link, nothing, directory again."""

EXCHANGE = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
here = os.open(sys.argv[1], os.O_PATH)
targets = ["/", "/proc", "/sys", "/dev", "../../../../..", "../../../../../proc", sys.argv[2]]
print("ready", flush=True)
os.mkdir("x", dir_fd=here)
while True:
    for target in targets:
        os.symlink(target, "y", dir_fd=here)
        for _ in range(50):
            libc.renameat2(here, b"x", here, b"y", 2)
        os.unlink("y", dir_fd=here)
"""
"""``x`` is a directory and a link in turns, 50 times for each target."""

NAME = "fs"
"""Of the volume below the swapped name: ``/proc`` and ``/sys`` have directories of this name."""

VICTIM = f"grep /volumes/ /proc/self/mountinfo | cut -d' ' -f5; for d in /shared/?/{NAME}; do echo > $d/mark; done; :"

pytestmark = [pytest.mark.root, pytest.mark.system, pytest.mark.timeout(180)]


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A directory of the host that nothing may ever be mounted on or written to."""
    path = tmp_path / "canary"
    path.mkdir()
    (path / NAME).mkdir()
    (path / NAME / "kept").write_text("kept")
    return path


def state(path: Path) -> list[tuple[str, int, int]]:
    """All there is at and below a path, with the times of change."""
    return sorted((str(one), one.lstat().st_ctime_ns, one.lstat().st_ino) for one in (path, *path.rglob("*")))


def mounts_of(place: Path) -> list[str]:
    """The host's mounts that have to do with a directory."""
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(place) in line]


@contextlib.contextmanager
def exchanging(volume: Path, canary: Path) -> Iterator[None]:
    """The fast attacker, at work for the length of the block."""
    command = [sys.executable, "-I", "-c", EXCHANGE, str(volume), str(canary)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield
            assert process.poll() is None, "the attacker has given up"
        finally:
            process.kill()


class Race:
    """The rounds, and what came of them."""

    def __init__(self, runtime: bireme.Runtime, attacker: bireme.Container) -> None:
        self.runtime = runtime
        self.attacker = attacker
        self.outcomes: Counter[str] = Counter()
        self.places: Counter[str] = Counter()

    async def round(self, number: int) -> None:
        try:
            if number % COPY_EVERY:
                await self._start("ax"[number % 2])
            else:
                await self._copy("ax"[number % 2])
        except (bireme.InvalidConfig, bireme.DriverError, bireme.NotFound, bireme.Conflict, bireme.StorageError):
            self.outcomes["refused"] += 1

    async def _start(self, name: str) -> None:
        done = await self.runtime.run(
            "busybox", ["sh", "-c", VICTIM], volumes=[f"/shared/{name}/{NAME}"], volumes_from=[self.attacker]
        )
        self.outcomes["started"] += 1
        self.places.update((done.stdout or b"").decode().split())

    async def _copy(self, name: str) -> None:
        await self.attacker.put_archive(f"/shared/{name}/", Bytes(_archive()))
        self.outcomes["copied"] += 1


class Bytes:
    """A source of bytes that are there already."""

    def __init__(self, content: bytes) -> None:
        self._rest = io.BytesIO(content)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        return self._rest.read(max_bytes or -1)

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


def _archive() -> bytes:
    with tarfile.open(fileobj=(buffer := io.BytesIO()), mode="w") as tar:
        info = tarfile.TarInfo(f"{NAME}/copied")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"in\n"))
    return buffer.getvalue()


async def test_nothing_ever_leaves_the_root(tmp_path: Path, canary: Path) -> None:
    before = state(canary)
    race = await _race(tmp_path / "root", canary)
    assert sum(race.outcomes.values()) == ROUNDS
    assert race.outcomes["started"] > 0, race.outcomes
    assert state(canary) == before
    assert mounts_of(tmp_path) == []
    assert NAME not in os.listdir("/")
    assert race.places["/shared"] == race.outcomes["started"]
    kernel = [place for place in race.places if place.startswith(("/proc", "/sys"))]
    assert kernel == [], "a volume was mounted in a file system of the kernel's"


async def _race(root: Path, canary: Path) -> Race:
    """Two attackers and all rounds; an engine of their own."""
    async with bireme.open_runtime(root=root) as runtime:
        shell = ["sh", "-c", f"mkdir /shared/a; {SHELL}", str(canary)]
        async with runtime.open_container("busybox", shell, volumes=["/shared"]) as attacker:
            race = Race(runtime, attacker)
            with exchanging(attacker.volumes["/shared"], canary):
                await _play(race)
    return race


async def _play(race: Race) -> None:
    """All rounds, some at once."""
    limit = trio.CapacityLimiter(AT_ONCE)

    async def one(number: int) -> None:
        async with limit:
            await race.round(number)

    async with trio.open_nursery() as nursery:
        for number in range(ROUNDS):
            nursery.start_soon(one, number)
