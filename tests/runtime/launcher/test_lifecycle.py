"""Processes from start to exit: joining, signals, freezing, failures, and that nothing is left of any of it."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from bireme_actors import (
    BiremeError,
    CommandNotExecutable,
    CommandNotFound,
    Conflict,
    DriverError,
    InvalidConfig,
    MissingRequirement,
)
from tests.runtime.launcher.harness import PATIENCE, Bench, communicate, open_bench, prepare, read_until

pytestmark = pytest.mark.root

LONG_SEARCH = ["PATH=" + ":".join(["/x"] * 30_000)]
"""Looking for a command in all of these takes a while: time to be looked at, or killed, before it is executed."""


async def test_an_exec_joins_every_namespace(bench: Bench) -> None:
    sleeper = await bench.start_sleeper()
    names = ("pid", "mnt", "net", "ipc", "uts", "cgroup")
    done = await bench.exec("sh", "-c", f"for n in {' '.join(names)}; do readlink /proc/self/ns/$n; done; hostname")
    *found, host = done.lines
    assert host == "boat"
    for name, link in zip(names, found, strict=True):
        assert link == os.readlink(f"/proc/{sleeper.pid}/ns/{name}")
    await bench.end(sleeper)


async def test_an_exec_is_a_process_of_its_own(bench: Bench) -> None:
    sleeper = await bench.start_sleeper()
    script = "pwd; id -u; echo $A; pidof sleep; exit 9"
    done = await bench.exec("sh", "-c", script, cwd="/tmp", user="ann", env=["A=b"])
    assert done.lines == ["/tmp", "1000", "b", "1"]
    assert done.code == 9
    await bench.end(sleeper)


async def test_an_exec_is_in_the_containers_cgroup(bench: Bench) -> None:
    sleeper = await bench.start_sleeper()
    joined = await bench.launcher.exec(bench.exec_request("sleep", "1000"))
    assert _cgroups_of(joined.pid) == _cgroups_of(sleeper.pid) != _cgroups_of(os.getpid())
    await joined.aclose()
    await bench.end(sleeper)
    assert (await joined.wait())["signal"] == signal.SIGKILL


async def test_an_exec_in_what_does_not_run(bench: Bench) -> None:
    with pytest.raises(Conflict, match="container c0 is not running"):
        await bench.exec("true")
    request = bench.start_request("true")
    await communicate(await bench.launcher.start(request))
    with pytest.raises(Conflict, match="container c0 is not running"):
        await bench.exec("true")
    await bench.launcher.cleanup("c0")


async def test_an_exec_into_a_missing_directory(bench: Bench) -> None:
    sleeper = await bench.start_sleeper()
    with pytest.raises(InvalidConfig, match="the working directory /nowhere does not exist"):
        await bench.exec("true", cwd="/nowhere")
    await bench.end(sleeper)


@pytest.mark.parametrize(
    ("script", "code", "signum"),
    [("exit 0", 0, 0), ("exit 42", 42, 0), ("exit 255", 255, 0)],
)
async def test_exit_codes(bench: Bench, script: str, code: int, signum: int) -> None:
    done = await bench.run_shell(script)
    assert (done.exit["code"], done.exit["signal"], done.exit["oom_killed"]) == (code, signum, False)
    assert done.exit["container"] == "c0"
    assert done.exit["started"] < done.exit["finished"]
    assert json.loads((bench.root / "containers/c0/exit.json").read_text()) == done.exit


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
async def test_signals(bench: Bench, signum: int) -> None:
    """TERM reaches a first process only if it has a handler for it: the kernel's rule, and Docker's."""
    script = "trap 'exit 5' TERM; echo ready; while :; do sleep 1000 & wait; done"
    launched = await bench.launcher.start(bench.start_request("sh", "-c", script))
    await read_until(launched.stdout, b"ready")
    await bench.launcher.kill(launched.process, signum)
    with trio.fail_after(PATIENCE):
        facts = await launched.wait()
    assert (facts["code"], facts["signal"]) == ((137, 9) if signum == signal.SIGKILL else (5, 0))
    await launched.aclose()
    await bench.launcher.kill(launched.process, signum)  # nothing happens any more
    await bench.launcher.cleanup("c0")


async def test_a_killed_exec_leaves_the_container_as_it_is(bench: Bench) -> None:
    sleeper = await bench.start_sleeper()
    joined = await bench.launcher.exec(bench.exec_request("sleep", "1000"))
    await bench.launcher.kill(joined.process, 15)
    with trio.fail_after(PATIENCE):
        facts = await joined.wait()
    assert (facts["code"], facts["signal"]) == (143, 15)
    await joined.aclose()
    assert sleeper.exit is None
    await bench.end(sleeper)


async def test_orphans_end_with_the_container(bench: Bench) -> None:
    script = "sh -c 'sleep 1000 & echo $!' ; readlink /proc/self/ns/pid"
    done = await bench.run_shell(script + "; exec >&- 2>&-; exit 3")
    assert done.code == 3


async def test_memory_runs_out(bench: Bench) -> None:
    request = bench.start_request("tail", "/dev/zero", limits=(16 << 20, 0, 0))
    done = await bench.run(request)
    assert (done.exit["code"], done.exit["signal"], done.exit["oom_killed"]) == (137, 9, True)


async def test_a_kill_is_not_an_oom_kill(bench: Bench) -> None:
    launched = await bench.launcher.start(bench.start_request("sleep", "1000", limits=(64 << 20, 0, 0)))
    assert (await bench.end(launched))["oom_killed"] is False


async def test_the_number_of_processes_is_bounded(bench: Bench) -> None:
    script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done; echo all"
    done = await bench.run_shell(script + "; kill -9 0", limits=(0, 0, 5))
    assert "all" not in done.out
    assert "can't fork" in done.err


async def test_the_processor_is_bounded(bench: Bench) -> None:
    """The bound is set; how much time it leaves is the kernel's business."""
    launched = await bench.launcher.start(bench.start_request("sleep", "1000", limits=(0, 500_000_000, 0)))
    assert _quota(launched.pid) == "50000"
    await bench.end(launched)


def _quota(pid: int) -> str:
    own = dict(line.split(":", 2)[1:] for line in _cgroups_of(pid))
    v1, v2 = f"/sys/fs/cgroup/cpu{own.get('cpu')}/cpu.cfs_quota_us", f"/sys/fs/cgroup{own.get('')}/cpu.max"
    return Path(v1 if "cpu" in own else v2).read_text().split()[0]


def _cgroups_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cgroup").read_text().splitlines()


async def test_freeze_and_thaw(bench: Bench) -> None:
    script = "while read x; do echo $x; done"
    launched = await bench.launcher.start(bench.start_request("sh", "-c", script, stdin=True))
    assert launched.stdin is not None
    assert launched.stdout is not None
    await bench.launcher.freeze("c0", True)
    await launched.stdin.send_all(b"hello\n")
    with trio.move_on_after(0.05) as scope:
        await launched.stdout.receive_some()
    assert scope.cancelled_caught
    await bench.launcher.freeze("c0", True)  # once more is no harm
    await bench.launcher.freeze("c0", False)
    assert await read_until(launched.stdout, b"hello\n")
    await launched.stdin.aclose()
    assert (await communicate(launched)).code == 0
    with pytest.raises(Conflict):
        await bench.launcher.freeze("c0", True)
    await bench.launcher.cleanup("c0")


async def test_a_frozen_container_can_be_killed(bench: Bench) -> None:
    sleeper = await bench.start_sleeper()
    await bench.launcher.freeze("c0", True)
    [(facts, found)] = await bench.launcher.containers()
    assert (facts["frozen"], found) == (True, sleeper)
    assert (await bench.end(sleeper))["signal"] == 9


@pytest.mark.parametrize(
    ("command", "kind", "text"),
    [
        (["nosuch"], CommandNotFound, 'exec: "nosuch": executable file not found in $PATH'),
        (["/no/such"], CommandNotFound, 'exec: "/no/such": no such file or directory'),
        (["/etc/passwd"], CommandNotExecutable, 'exec: "/etc/passwd": permission denied'),
        (["/etc"], CommandNotExecutable, 'exec: "/etc": permission denied'),
        (["/garbage"], CommandNotExecutable, 'exec: "/garbage": exec format error'),
        ([], InvalidConfig, "no command specified"),
        (["x\0y"], DriverError, "embedded null"),
    ],
)
async def test_what_cannot_be_executed(bench: Bench, command: list[str], kind: type[BiremeError], text: str) -> None:
    _garbage(bench.layers / "base/garbage")
    with pytest.raises(kind, match=_quoted(text)):
        await bench.launcher.start(bench.start_request(*command))
    assert bench.groups() == []
    assert await bench.launcher.containers() == []
    sleeper = await bench.start_sleeper()
    with pytest.raises(kind, match=_quoted(text)):
        await bench.exec(*command)
    await bench.end(sleeper)


def _garbage(path: Path) -> None:
    path.write_bytes(b"\x01\x02\x03")
    path.chmod(0o755)


def _quoted(text: str) -> str:
    import re

    return re.escape(text)


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"cwd": "/etc/passwd"}, InvalidConfig, "the working directory /etc/passwd is a file"),
        ({"cwd": "/etc/passwd/x"}, InvalidConfig, "the working directory /etc/passwd/x is a file"),
        ({"user": "nobody-here"}, InvalidConfig, "unable to find user nobody-here"),
        ({"user": "ann:nogroup"}, InvalidConfig, "unable to find group nogroup"),
        ({"user": "99999999999"}, InvalidConfig, "uids and gids must be in range"),
        ({"seccomp": "unknown"}, DriverError, "no seccomp filter unknown"),
        ({"init": "/no/such/init"}, MissingRequirement, "--init needs /no/such/init"),
    ],
)
async def test_what_cannot_be_started(
    bench: Bench, options: dict[str, object], kind: type[BiremeError], text: str
) -> None:
    with pytest.raises(kind, match=text):
        await bench.run_shell("true", **options)
    assert bench.groups() == []
    assert (await bench.run_shell("echo fine")).out == "fine\n"


async def test_a_volume_over_a_file(bench: Bench) -> None:
    with pytest.raises(InvalidConfig, match="cannot mount volume over existing file, file exists /etc/passwd"):
        await bench.run_shell("true", mounts=[bench.volume("/etc/passwd")])


async def test_a_missing_volume(bench: Bench) -> None:
    with pytest.raises(DriverError, match="No such file or directory: volumes/gone"):
        await bench.run_shell("true", mounts=[{"source": "volumes/gone", "target": "/data", "read_only": False}])


async def test_too_many_layers(bench: Bench) -> None:
    request = bench.start_request("true")
    request["root"]["layers"] = ["base"] * 1000
    with pytest.raises(InvalidConfig, match="too many layers"):
        await bench.run(request)


async def test_the_same_container_twice(bench: Bench) -> None:
    sleeper = await bench.start_sleeper()
    with pytest.raises(Conflict, match="container c0 is running"):
        await bench.start_sleeper()
    await bench.end(sleeper)


async def test_cleaning_up_after_what_runs(bench: Bench) -> None:
    sleeper = await bench.start_sleeper()
    with pytest.raises(Conflict, match="still running"):
        await bench.launcher.cleanup("c0")
    await bench.end(sleeper)
    await bench.launcher.cleanup("c0")  # idempotent


async def test_a_long_request(bench: Bench) -> None:
    """Longer than a packet: it travels as a file."""
    words = [f"{number:0100d}" for number in range(1000)]
    assert (await bench.run(bench.start_request("sh", "-c", "echo $#", "sh", *words))).out == "1000\n"


async def test_many_at_once(bench: Bench) -> None:
    results: list[str] = []

    async def one(number: int) -> None:
        name = f"c{number}"
        request = bench.start_request("sh", "-c", f"echo {number}", container=name, mounts=[bench.volume("/data")])
        results.append((await bench.run(request)).out.strip())

    async with trio.open_nursery() as nursery:
        for number in range(24):
            nursery.start_soon(one, number)
    assert sorted(results, key=int) == [str(number) for number in range(24)]
    assert bench.groups() == []
    assert bench.launcher.statistics() == {"asks": 0, "processes": 0}


async def test_a_start_that_is_cancelled_on_its_way(bench: Bench) -> None:
    """The clone is there and looks for its command when the start is given up."""
    request = bench.start_request("nosuch", env=LONG_SEARCH)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.launcher.start, request)
        while not bench.groups():
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert bench.groups() == []
    assert bench.launcher.statistics() == {"asks": 0, "processes": 0}
    assert await bench.launcher.containers() == []


async def test_a_start_that_is_cancelled_too_late(bench: Bench) -> None:
    """The launcher is held up; once it goes on it has the start and the abort before it, or has answered."""
    for _ in range(5):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(bench.launcher.start, bench.start_request("sleep", "1000"))
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        assert bench.groups() == []
        assert bench.launcher.statistics() == {"asks": 0, "processes": 0}
        assert await bench.launcher.containers() == []


async def test_an_exec_that_is_cancelled(bench: Bench) -> None:
    sleeper = await bench.start_sleeper()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.launcher.exec, bench.exec_request("nosuch", env=LONG_SEARCH))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert bench.launcher.statistics() == {"asks": 0, "processes": 1}
    assert (await bench.exec("ps", "-o", "comm")).lines == ["COMMAND", "sleep", "ps"]
    await bench.end(sleeper)


async def test_a_cancelled_wait_leaves_the_process_alone(bench: Bench) -> None:
    sleeper = await bench.start_sleeper()
    with trio.move_on_after(0.01):
        await sleeper.wait()
    assert sleeper.exit is None
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(sleeper.wait)
        await trio.testing.wait_all_tasks_blocked()
        await bench.launcher.kill(sleeper.process, 9)
    assert await sleeper.wait() == await bench.end(sleeper)


async def test_leaving_the_block_ends_everything(tmp_path: Path) -> None:
    async with open_bench(tmp_path / "root") as bench:
        sleepers = [await bench.start_sleeper(f"c{number}") for number in range(3)]
        joined = await bench.launcher.exec(bench.exec_request("sleep", "1000"))
        pidfds = [os.pidfd_open(launched.pid) for launched in (*sleepers, joined)]
    for launched in (*sleepers, joined):
        assert (await launched.wait())["signal"] == 9
        await launched.aclose()
    for pidfd in pidfds:
        await _ended(pidfd)
    assert bench.cgroup() is None


async def _ended(pidfd: int) -> None:
    with trio.fail_after(PATIENCE):
        await trio.lowlevel.wait_readable(pidfd)
    os.close(pidfd)


async def test_what_the_block_raises_leaves_unwrapped(tmp_path: Path) -> None:
    with pytest.raises(LookupError):  # noqa: PT012 - what the block raises is the point
        async with open_bench(tmp_path / "root") as bench:
            sleeper = await bench.start_sleeper()
            await sleeper.aclose()
            raise LookupError


async def test_a_killed_launcher_takes_everything_along(bench: Bench) -> None:
    sleeper = await bench.start_sleeper()
    joined = await bench.launcher.exec(bench.exec_request("sleep", "1000"))
    pidfds = [os.pidfd_open(launched.pid) for launched in (sleeper, joined)]
    os.kill(bench.launcher.facts["pid"], signal.SIGKILL)
    with trio.fail_after(PATIENCE):
        for launched in (sleeper, joined):
            facts = await launched.wait()
            assert (facts["code"], facts["signal"]) == (137, 9)
            await launched.aclose()
    for pidfd in pidfds:
        await _ended(pidfd)
    with pytest.raises(DriverError, match=r"the launcher \(pid \d+\) has ended"):
        await bench.launcher.exec(bench.exec_request("true"))
    assert bench.cgroup() is None


async def test_another_launcher_takes_the_place_of_one_that_was_killed(bench: Bench) -> None:
    await bench.launcher.seccomp("filter", b"\x06\x00\x00\x00\x00\x00\xff\x7f")
    sleeper = await bench.start_sleeper()
    killed = bench.launcher.facts["pid"]
    os.kill(killed, signal.SIGKILL)
    await sleeper.wait()
    await sleeper.aclose()
    assert (await bench.run_shell("echo again")).lines == ["again"]
    assert bench.launcher.facts["pid"] != killed


async def test_no_start_comes_before_the_new_launcher_has_the_filters(bench: Bench) -> None:
    allow = b"\x06\x00\x00\x00\x00\x00\xff\x7f"
    for number in range(8):
        await bench.launcher.seccomp(f"filter{number}", allow)
    sleeper = await bench.start_sleeper()
    killed = bench.launcher.facts["pid"]
    os.kill(killed, signal.SIGKILL)
    await sleeper.wait()
    await sleeper.aclose()
    codes: list[int] = []

    async def run(container: str) -> None:
        codes.append((await bench.run(bench.start_request("true", container=container, seccomp="filter7"))).code)

    async def run_at_once() -> None:
        while bench.launcher.facts["pid"] == killed:
            await trio.lowlevel.checkpoint()
        await run("early")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_at_once)
        nursery.start_soon(run, "first")
    assert codes == [0, 0]


async def test_an_ask_of_a_dying_launcher_ends(bench: Bench) -> None:
    pid = bench.launcher.facts["pid"]
    os.kill(pid, signal.SIGSTOP)
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(_expect_driver_error, bench)
        await trio.testing.wait_all_tasks_blocked()
        os.kill(pid, signal.SIGKILL)


async def _expect_driver_error(bench: Bench) -> None:
    with trio.fail_after(PATIENCE), pytest.raises(DriverError):
        await bench.launcher.kill(1, 0)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_other_signals_do_nothing_to_a_launcher(bench: Bench, signum: int) -> None:
    os.kill(bench.launcher.facts["pid"], signum)
    assert (await bench.run_shell("echo fine")).out == "fine\n"


async def test_a_launcher_is_in_a_session_of_its_own(bench: Bench) -> None:
    assert os.getsid(bench.launcher.facts["pid"]) == bench.launcher.facts["pid"]


VICTIM = """
import sys, trio
from pathlib import Path
from tests.runtime.launcher.harness import Bench, open_launchers
async def main(root):
    async with open_launchers(str(root), str(root / "run"), detached=False) as launcher:
        bench = Bench(root, launcher)
        first = await bench.start_sleeper("c0")
        second = await launcher.exec(bench.exec_request("sleep", "1000"))
        print(launcher.facts["pid"], first.pid, second.pid, flush=True)
        await trio.sleep_forever()
trio.run(main, Path(sys.argv[1]))
"""


async def test_a_killed_engine_leaves_nothing(tmp_path: Path) -> None:
    """SIGKILL of a program that embeds the launcher: the end of file is enough."""
    root = prepare(tmp_path / "root")
    async with trio.open_nursery() as nursery:
        process = await nursery.start(_run_victim, root)
        line = await read_until(process.stdout, b"\n")
        pids = [int(word) for word in line.split()]
        pidfds = [os.pidfd_open(pid) for pid in pids]
        process.kill()
        for pidfd in pidfds:
            await _ended(pidfd)
        nursery.cancel_scope.cancel()
    assert Bench(root, None).cgroup() is None  # type: ignore[arg-type]  # no launcher is left to name


async def _run_victim(root: Path, *, task_status: trio.TaskStatus[trio.Process]) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", VICTIM, str(root)]
    await trio.run_process(command, env=environment, stdout=subprocess.PIPE, check=False, task_status=task_status)


async def test_the_launcher_keeps_nothing_of_what_is_over(bench: Bench) -> None:
    """Its descriptors stay where they were, whatever ended how."""
    await bench.run_shell("true", limits=(64 << 20, 0, 0))
    before = _descriptors_of(bench.launcher.facts["pid"])
    for number in range(10):
        sleeper = await bench.start_sleeper(limits=(64 << 20, 0, 0))
        await bench.exec("true")
        await bench.launcher.archive(bench.archive_request("stat", "/etc"))
        with pytest.raises(CommandNotFound):
            await bench.exec("nosuch", tty=number % 2 == 0)
        with pytest.raises(Conflict):
            await bench.start_sleeper()
        await bench.launcher.freeze("c0", True)
        await bench.end(sleeper)
        with pytest.raises(CommandNotFound):
            await bench.launcher.start(bench.start_request("nosuch", tty=number % 2 == 0))
    assert _descriptors_of(bench.launcher.facts["pid"]) == before


def _descriptors_of(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


async def test_a_start_that_the_kernel_refuses(bench: Bench) -> None:
    """No more descriptors for the launcher itself: the start fails, with nothing left."""
    pid = bench.launcher.facts["pid"]
    before = _descriptors_of(pid)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (before + 3, before + 3))
    with pytest.raises(DriverError, match="Too many open files"):
        await bench.run_shell("true")
    assert bench.groups() == []
    assert _descriptors_of(pid) == before
