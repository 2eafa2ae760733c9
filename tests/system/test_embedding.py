"""The runtime inside a program: whatever becomes of the program, it leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest
import trio

import bireme
from tests.house import SOURCE_ROOTS
from tests.leaks import Session, open_descriptors

pytestmark = [pytest.mark.root, pytest.mark.system]

PROGRAM = """\
import sys
import trio
import bireme

async def main():
    async with bireme.open_runtime(root=sys.argv[1]) as runtime:
        containers = [await runtime.create("busybox", ["sleep", "600"], volumes=["/a", "/a/b"]) for _ in range(3)]
        containers.append(await runtime.create("busybox", ["sleep", "600"], volumes_from=[containers[0]]))
        await runtime.start_all(containers)
        print("started", flush=True)
        {ending}

try:
    trio.run(main)
except (KeyboardInterrupt, ZeroDivisionError):
    raise SystemExit(3)
"""

FOREVER = "await trio.sleep_forever()"


def start(root: Path, ending: str) -> subprocess.Popen[str]:
    """A program that embeds the runtime, its containers running."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, SOURCE_ROOTS))}
    command = [sys.executable, "-c", PROGRAM.format(ending=ending), str(root)]
    program = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    assert program.stdout.readline() == "started\n"
    return program


def test_kill_9_leaves_no_process_and_no_mount(tmp_path: Path, leak_session: Session) -> None:
    before = leak_session.traces()
    with start(tmp_path / "root", FOREVER) as program:
        running = leak_session.traces().since(before)
        assert len([line for line in running if "sleep 600" in line]) == 4
        program.send_signal(signal.SIGKILL)
    assert leak_session.leftovers(before) == []


def test_what_kill_9_left_on_the_disk_the_next_runtime_clears(tmp_path: Path) -> None:
    with start(tmp_path / "root", FOREVER) as program:
        program.send_signal(signal.SIGKILL)

    async def count() -> tuple[int, int]:
        async with bireme.open_runtime(root=tmp_path / "root") as runtime:
            return len(runtime.list()), len(runtime.volumes())

    assert trio.run(count) == (0, 0)
    assert directories(tmp_path / "root" / "containers") == 1


@pytest.mark.parametrize(
    ("ending", "signum", "status"),
    [
        ("pass", None, 0),
        ("1 / 0", None, 3),
        (FOREVER, signal.SIGINT, 3),
        ("trio.current_time(); await containers[0].stop(timeout=0)", None, 0),
    ],
    ids=["in peace", "by an exception", "by ^C", "with one stopped"],
)
def test_a_program_that_ends_leaves_nothing(
    tmp_path: Path, leak_session: Session, ending: str, signum: int | None, status: int
) -> None:
    before = leak_session.traces()
    with start(tmp_path / "root", ending) as program:
        if signum is not None:
            program.send_signal(signum)
        assert program.wait(timeout=50) == status
    assert leak_session.leftovers(before) == []
    assert directories(tmp_path / "root" / "containers") == 1
    assert directories(tmp_path / "root" / "volumes") == 1


def directories(top: Path) -> int:
    """``top`` and all below it that are not hidden."""
    return sum(1 for _, inner, _ in os.walk(top) for name in inner if not name.startswith(".")) + 1


# A thousand runs

RUNS = 1000
AT_ONCE = 8


def counts(root: Path, launcher: int, containers: Collection[str]) -> dict[str, int]:
    """What must not grow: on the host, in this process, in the launcher, on the disk; cgroups of those containers."""
    return {
        "processes": sum(name.isdigit() for name in os.listdir("/proc") if has_root(name, str(root))),
        "mounts": len(Path("/proc/self/mountinfo").read_text().splitlines()),
        "mounts of the launcher": len(Path(f"/proc/{launcher}/mountinfo").read_text().splitlines()),
        "descriptors": sum("/.trash/" not in what for _, what in open_descriptors()),
        "descriptors of the launcher": len(os.listdir(f"/proc/{launcher}/fd")),
        "files and directories": sum(1 for _ in entries(root)),
        "cgroups": sum(name in containers for _, inner, _ in os.walk("/sys/fs/cgroup") for name in inner),
    }


def entries(root: Path) -> Iterator[str]:
    """All names below the root, without what is being deleted on the side."""
    for _, inner, files in os.walk(root):
        if ".trash" in inner:
            inner.remove(".trash")
        yield from inner
        yield from files


def has_root(pid: str, root: str) -> bool:
    """Whether a process has a mount from the root."""
    try:
        return root in Path(f"/proc/{pid}/mountinfo").read_text()
    except OSError:
        return False


@pytest.mark.timeout(240)
async def test_a_thousand_runs_leave_the_counts_where_they_were(tmp_path: Path) -> None:
    root = tmp_path / "root"
    async with bireme.open_runtime(root=root) as runtime:
        launcher = runtime.info()["LauncherPid"]
        assert isinstance(launcher, int)
        containers: set[str] = set()

        async def run_some(number: int) -> None:
            for _ in range(number):
                done = await runtime.run("busybox", ["sh", "-c", "echo x > /data/x"], volumes=["/data"])
                assert done.exit_status == 0
                containers.add(done.container)

        async def run_all(number: int) -> None:
            async with trio.open_nursery() as nursery:
                for _ in range(AT_ONCE):
                    nursery.start_soon(run_some, number // AT_ONCE)

        await run_all(2 * AT_ONCE)
        before = counts(root, launcher, containers)
        await run_all(RUNS)
        assert counts(root, launcher, containers) == before
        assert runtime.list() == []
        assert len(containers) == RUNS + 2 * AT_ONCE
    assert [list((root / place / ".trash").iterdir()) for place in ("containers", "volumes")] == [[], []]


# Together with other programs


async def test_a_root_in_use_is_refused_by_name(tmp_path: Path) -> None:
    async with bireme.open_runtime(root=tmp_path / "root"):
        with pytest.raises(bireme.Conflict, match=str(tmp_path / "root")):
            async with bireme.open_runtime(root=tmp_path / "root"):
                pytest.fail("two engines on one root")


async def test_cancelling_a_run_leaves_nothing_of_it(tmp_path: Path) -> None:
    async with bireme.open_runtime(root=tmp_path / "root") as runtime:
        await runtime.run("busybox", ["true"])
        before = json.dumps([str(path) for path in (tmp_path / "root" / "containers").iterdir()])
        async with trio.open_nursery() as nursery:
            async with runtime.events() as events:
                nursery.start_soon(runtime.run, "busybox", ["sleep", "600"])
                async for event in events:
                    if event.action == "start":
                        break
            nursery.cancel_scope.cancel()
        assert runtime.list() == []
        assert json.dumps([str(path) for path in (tmp_path / "root" / "containers").iterdir()]) == before
