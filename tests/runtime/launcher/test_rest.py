"""Killing all that is in a cgroup: as the kernel does it, and as it is done where the kernel does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bireme.launcher import _cgroups, _rest
from bireme.launcher._loop import Loop

pytestmark = pytest.mark.root

MANY = """
import os, signal, sys
group, count = sys.argv[1], int(sys.argv[2])
open(f"{group}/cgroup.procs", "w").write("0")
for _ in range(count):
    if os.fork() == 0:
        signal.pause()
print(flush=True)
signal.pause()
"""
BOMB = """
import os, sys
open(f"{sys.argv[1]}/cgroup.procs", "w").write("0")
print(flush=True)
while True:
    if os.fork():
        os._exit(0)
    os.setsid()
"""
"""One process after the other: who reads who it is, finds it gone."""


@pytest.fixture
def top() -> Iterator[Path]:
    """A cgroup of the test's own."""
    place = next((place for place in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))
                  if (place / "cgroup.controllers").exists()), None)  # fmt: skip
    if place is None:
        pytest.skip("no cgroup2 file system is mounted here")
    made = place / f"bireme-test-{os.getpid()}"
    made.mkdir()
    yield made
    (made / "cgroup.kill").write_text("1")
    for directory, _, _ in os.walk(made, topdown=False):
        os.rmdir(directory)


@pytest.fixture
def parent(top: Path) -> Iterator[int]:
    fd = os.open(top.parent, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.fixture(params=[_rest.kill, _rest.kill_each], ids=["kernel", "one by one"])
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, str], None]:
    """Of the two ways one."""
    monkeypatch.setattr(_rest, "kill", request.param)
    return _rest.kill


def fill(program: str, group: Path, *arguments: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", program, str(group), *arguments], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    return process


def processes(top: Path) -> list[str]:
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return list(_cgroups.processes(fd))
    finally:
        os.close(fd)


@pytest.mark.usefixtures("how")
def test_everything_in_a_group_and_below(top: Path, parent: int) -> None:
    below = top / "a/b"
    below.mkdir(parents=True)
    children = [fill(MANY, group, "3") for group in (top, below)]
    assert len(processes(top)) == 8
    assert _rest.end_all(parent, top.name)
    assert [child.wait() for child in children] == [-signal.SIGKILL] * 2
    assert processes(top) == []


@pytest.mark.usefixtures("how")
def test_what_forks_all_the_time(top: Path, parent: int) -> None:
    child = fill(BOMB, top)
    assert _rest.end_all(parent, top.name)
    child.wait()
    assert processes(top) == []


def test_more_than_fit_into_one_reading(top: Path, parent: int) -> None:
    child = fill(MANY, top, "1500")
    assert len(processes(top)) == 1501
    for _ in range(3):
        _rest.kill_each(parent, top.name)
    assert _rest.end_all(parent, top.name)
    assert child.wait() == -signal.SIGKILL


def test_who_has_left_the_group_in_between_is_not_killed(
    top: Path, parent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number may be anybody's."""
    (top / "in").mkdir()
    stays, leaves = fill(MANY, top / "in", "0"), fill(MANY, top / "in", "0")
    read = _cgroups.processes

    def processes_then_move(directory: int) -> Iterator[str]:
        yield from list(read(directory))
        (top.parent / "cgroup.procs").write_text(str(leaves.pid))

    monkeypatch.setattr(_cgroups, "processes", processes_then_move)
    directory = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    _rest.kill_each(directory, "in")
    os.close(directory)
    assert stays.wait() == -signal.SIGKILL
    assert leaves.poll() is None
    leaves.kill()
    leaves.wait()


def test_no_group_is_an_empty_one(top: Path, parent: int) -> None:
    assert _rest.end_all(parent, f"{top.name}-not")
    _rest.kill(parent, f"{top.name}-not")


def test_a_group_that_somebody_removes_is_an_empty_one(top: Path) -> None:
    (top / "in").mkdir()
    directory = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    events = _rest.open_events(directory, "in")
    (top / "in").rmdir()
    assert not _rest.is_populated(events)
    os.close(events)
    loop, called = Loop(), []
    _rest.Rest(loop).end(_cgroups.Group("in", directory, -1), lambda: called.append(1))
    assert called == [1]
    os.close(directory)


def test_what_cannot_be_killed_is_not_waited_for_for_ever(
    top: Path, parent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = fill(MANY, top, "0")
    monkeypatch.setattr(_rest, "kill", lambda parent, name: None)
    began = time.monotonic()
    assert not _rest.end_all(parent, top.name, 0.05)
    assert time.monotonic() - began < 5
    child.kill()
    child.wait()
