"""Containers that share the host's PIDs: what they see, and that nothing is left of them whoever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pytest
import trio

from bireme.launcher import _spawn
from bireme.launcher.client import Launched
from bireme_actors import Conflict, DriverError
from tests.house import PROJECT
from tests.runtime.launcher.harness import (
    PATIENCE,
    Bench,
    children_named,
    communicate,
    open_bench,
    prepare,
    read_until,
    until,
)
from tests.runtime.launcher.test_plain import LOOK, children

pytestmark = pytest.mark.root

ESCAPES = """
forks() { sleep 1000 & echo $!; }
forks
(forks; (forks) & wait $!) &
busybox setsid sh -c 'trap "" TERM HUP INT QUIT; echo $$; while :; do sleep 1000; done' &
(busybox setsid sh -c 'echo $$; exec sleep 1000 >/dev/null 2>&1 </dev/null' &)
busybox setsid sh -c '(trap "" HUP; sleep 1000 & echo $!; (sh -c "echo \\$\\$; exec sleep 1000" &); wait) &' &
"""
"""Ways for a process not to end with the first one; each says who it is."""
ESCAPED = 7
OUR_NAME = Path("/proc/self/comm").read_text().strip()


BOTH_WAYS = pytest.mark.parametrize("stepwise", [False, True], ids=["plain", "stepwise"])
"""Of setting a container up."""


async def start(bench: Bench, script: str, container: str = "c0", **options: object) -> Launched:
    request = bench.start_request("sh", "-c", script, container=container, host_pid=True, **options)  # type: ignore[arg-type]  # by name
    return await bench.launcher.start(request)


async def escaped(launched: Launched) -> list[int]:
    """Descriptors of all that the script of ``ESCAPES`` has started."""
    return [os.pidfd_open(pid) for pid in await pids_of_escaped(launched)]


async def pids_of_escaped(launched: Launched) -> list[int]:
    assert launched.stdout is not None
    said = b""
    with trio.fail_after(PATIENCE):
        while said.count(b"\n") < ESCAPED:
            said += await launched.stdout.receive_some()
    return [int(pid) for pid in said.split()]


def living(pidfds: Iterable[int]) -> int:
    """How many have not ended; the descriptors are closed."""
    count = 0
    for pidfd in pidfds:
        try:
            signal.pidfd_send_signal(pidfd, 0)
            count += not _is_zombie(pidfd)
        except ProcessLookupError:
            pass
        os.close(pidfd)
    return count


def _is_zombie(pidfd: int) -> bool:
    fields = Path(f"/proc/self/fdinfo/{pidfd}").read_text().split("Pid:\t")[1].split()
    try:
        return Path(f"/proc/{fields[0]}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


async def ended(pidfds: Iterable[int]) -> None:
    """Wait until all have ended."""
    with trio.fail_after(PATIENCE):
        for pidfd in pidfds:
            await trio.lowlevel.wait_readable(pidfd)
            os.close(pidfd)


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


# What is seen


@BOTH_WAYS
async def test_it_is_in_the_hosts_pid_namespace_and_in_no_other_of_the_host(bench: Bench) -> None:
    kinds = ("pid", "mnt", "ipc", "net", "uts", "cgroup")
    script = f"echo $$; for i in {' '.join(kinds)}; do readlink /proc/self/ns/$i; done; cat /proc/{os.getpid()}/comm"
    launched = await start(bench, script)
    done = await communicate(launched)
    await bench.launcher.cleanup("c0")
    pid, *namespaces, name = done.lines
    assert int(pid) == launched.pid
    assert name == OUR_NAME
    own = [os.readlink(f"/proc/self/ns/{kind}") for kind in kinds]
    assert [kind for kind, ours, its in zip(kinds, own, namespaces, strict=True) if ours == its] == ["pid"]


@pytest.mark.parametrize(
    "options",
    [{}, {"user": "ann"}, {"no_new_privileges": True}, {"host_uts": True, "host_network": True}],
    ids=lambda options: ",".join(options) or "defaults",
)
async def test_both_ways_to_set_it_up_are_the_same(tmp_path: Path, options: dict[str, object]) -> None:
    """As far as no PID is told."""
    look = "\n".join(line for line in LOOK.splitlines() if "/proc/1/" not in line and "/proc/self/stat " not in line)
    seen = []
    for stepwise in (False, True):
        async with open_bench(tmp_path / str(stepwise), stepwise=stepwise) as bench:
            mounts = [bench.volume("/data"), bench.volume("/work", name="v1", read_only=True)]
            launched = await start(bench, look, mounts=mounts, **options)  # type: ignore[arg-type]  # by name
            assert launched.plain is not stepwise
            done = await communicate(launched)
            await bench.launcher.cleanup("c0")
            assert done.err == ""
            seen.append(done.lines)
    assert seen[0] == seen[1]
    assert any("/data" in line for line in seen[0])


@BOTH_WAYS
async def test_what_is_masked_stays_so(bench: Bench) -> None:
    script = "cat /proc/keys; ls /proc/scsi; echo x > /proc/sysrq-trigger; echo 1 > /proc/sys/vm/drop_caches"
    done = await communicate(await start(bench, script))
    await bench.launcher.cleanup("c0")
    assert done.out == ""
    assert done.err.count("Read-only file system") == 2 or "sysrq" not in os.listdir("/proc")


async def test_no_process_with_more_rights_can_be_looked_into(bench: Bench) -> None:
    """Neither ours, nor those of either launcher: by the kernel's rules for ptrace(2)."""
    sleeper = await start(bench, "sleep 1000")
    for pid in (os.getpid(), bench.launcher.facts["pid"], bench.sharing_pid()):
        for name in ("environ", "mem", "maps", "root/etc/passwd", "cwd/.", "fd/0", "exe", "ns/mnt"):
            assert (await bench.exec("head", "-c", "1", f"/proc/{pid}/{name}")).code != 0, name
    await bench.end(sleeper)


async def test_another_users_signals_reach_nobody_elses_processes(bench: Bench) -> None:
    sleeper = await start(bench, "sleep 1000", user="ann")
    for pid in (os.getpid(), bench.sharing_pid()):
        assert "not permitted" in (await bench.exec("kill", "-0", str(pid), user="ann")).err
    await bench.end(sleeper)


async def test_what_is_added_shares_them_too(bench: Bench) -> None:
    sleeper = await start(bench, "sleep 1000")
    joined = await bench.launcher.exec(bench.exec_request("sh", "-c", "echo $$; readlink /proc/self/ns/pid"))
    done = await communicate(joined)
    assert done.lines == [str(joined.pid), os.readlink("/proc/self/ns/pid")]
    await bench.end(sleeper)


async def test_those_with_pids_of_their_own_go_on_as_ever_beside_them(bench: Bench) -> None:
    sharing = await start(bench, "sleep 1000", "c1")
    sleeper = await bench.start_sleeper()
    assert (await bench.exec("pidof", "sleep")).out == "1\n"
    await bench.end(sharing, "c1")
    assert (await bench.exec("pidof", "sleep")).out == "1\n"
    await bench.end(sleeper)
    assert bench.launcher.statistics() == {"asks": 0, "processes": 0}


# The end


@BOTH_WAYS
@pytest.mark.parametrize("ending", ["exit 3", "kill -9 $$", "kill -TERM $$"])
async def test_everything_has_ended_when_the_exit_is_told(bench: Bench, ending: str) -> None:
    launched = await start(bench, f"{ESCAPES} read line; {ending}", stdin=True)
    pidfds = await escaped(launched)
    assert launched.stdin is not None
    await launched.stdin.send_all(b"\n")
    with trio.fail_after(PATIENCE):
        facts = await launched.wait()
    assert living(pidfds) == 0
    assert facts["code"] == {"exit 3": 3, "kill -9 $$": 137, "kill -TERM $$": 143}[ending]
    assert bench.groups() == []
    await launched.aclose()
    await bench.launcher.cleanup("c0")


async def test_a_process_that_was_added_ends_with_the_container(bench: Bench) -> None:
    sleeper = await start(bench, "sleep 1000")
    joined = await bench.launcher.exec(bench.exec_request("sh", "-c", f"{ESCAPES} sleep 1000"))
    pidfds = await escaped(joined)
    await bench.end(sleeper)
    assert living(pidfds) == 0
    with trio.fail_after(PATIENCE):
        assert (await joined.wait())["code"] == 137
    await joined.aclose()


async def test_a_process_that_was_added_leaves_to_the_container_what_it_has_started(bench: Bench) -> None:
    """As under Docker."""
    sleeper = await start(bench, "sleep 1000")
    done = await bench.exec("sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!")
    pidfds = [os.pidfd_open(int(done.out))]
    signal.pidfd_send_signal(pidfds[0], 0)
    await bench.end(sleeper)
    assert living(pidfds) == 0


def living_in(bench: Bench) -> int:
    """Processes in all containers that share our PIDs."""
    top = bench.cgroup("-host")
    assert top is not None
    return sum(len(procs.read_text().split()) for procs in top.glob("*/*/cgroup.procs"))


async def test_a_fork_bomb_that_runs_away(bench: Bench) -> None:
    """Each process makes a session of its own and forgets its parent."""
    bomb = "b() { busybox setsid sh -c \"$0\" \"$0\" & b & }; b"
    script = f"sh -c '{bomb}' '{bomb}' 2>/dev/null & echo go; exec sleep 1000"
    launched = await start(bench, script, limits=(0, 0, 60))
    await read_until(launched.stdout, b"go")
    with trio.fail_after(PATIENCE):
        while living_in(bench) < 50:
            await trio.lowlevel.checkpoint()
    assert (await bench.end(launched))["signal"] == signal.SIGKILL
    assert bench.groups() == []


async def test_a_container_that_moves_processes_about_in_its_group(bench: Bench) -> None:
    """A privileged one may make groups in its own, and each of them is its own to end."""
    script = """
    mkdir -p /sys/fs/cgroup/a/b/c && sleep 1000 & echo $! > /sys/fs/cgroup/a/b/c/cgroup.procs
    echo $! all; wait
    """
    launched = await start(bench, script, privileged=True, capabilities=(1 << 41) - 1)
    said = (await read_until(launched.stdout, b"all\n")).split()
    pidfds = [os.pidfd_open(int(said[0]))]
    await bench.end(launched)
    assert living(pidfds) == 0
    assert bench.groups() == []


async def test_a_frozen_one_can_be_killed(bench: Bench) -> None:
    launched = await start(bench, f"{ESCAPES} sleep 1000")
    pidfds = await escaped(launched)
    await bench.launcher.freeze("c0", True)
    await bench.end(launched)
    assert living(pidfds) == 0


async def test_freeze_stops_all_of_it_and_thaw_lets_it_go_on(bench: Bench) -> None:
    launched = await start(bench, "(while :; do echo x; sleep 0.01; done) & wait")
    await read_until(launched.stdout, b"x\nx\n")
    await bench.launcher.freeze("c0", True)
    assert launched.stdout is not None
    with trio.move_on_after(0.2):
        while True:
            await launched.stdout.receive_some()
    await bench.launcher.freeze("c0", False)
    await read_until(launched.stdout, b"x\nx\n")
    await bench.end(launched)


async def test_the_launcher_reaps_what_loses_its_parent(bench: Bench) -> None:
    """Zombies count as processes of the container; one that may have few of them goes on for ever."""
    script = "i=0; while [ $i -lt 100 ]; do (true &); i=$((i+1)); done; echo done; sleep 1000"
    launched = await start(bench, script, limits=(0, 0, 50))
    await read_until(launched.stdout, b"done\n")
    pid = bench.sharing_pid()
    await until(lambda: len(children(pid).split()) == 2)  # the guard, and the first process
    await bench.end(launched)


@BOTH_WAYS
async def test_a_start_that_fails_leaves_nothing(bench: Bench) -> None:
    await bench.end(await start(bench, "sleep 1000"))
    for _ in range(3):
        with pytest.raises(DriverError, match="nothing"):
            await bench.launcher.start(bench.start_request("nothing", host_pid=True))
    assert bench.groups() == []
    pid = bench.sharing_pid()
    assert children_named(pid, "bireme-launcher") == set()
    done = await communicate(await start(bench, "echo fine"))
    assert done.out == "fine\n"


@BOTH_WAYS
async def test_a_start_that_is_cancelled_leaves_nothing(bench: Bench) -> None:
    """Also the very first one, for which a launcher is started."""
    for seconds in (0.0, 0.05, 0.0, 0.001, 0.005, 0.01):
        launched = None
        with trio.move_on_after(seconds):
            launched = await start(bench, f"{ESCAPES} sleep 1000")
        if launched is not None:
            await bench.end(launched)
    await until(lambda: not bench.groups())
    assert bench.launcher.statistics() == {"asks": 0, "processes": 0}


# Those who may be killed


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD])
async def test_other_signals_do_nothing_to_its_launcher(bench: Bench, signum: int) -> None:
    sleeper = await start(bench, "trap - TERM; sleep 1000 & wait", "c1")
    launcher = bench.sharing_pid()
    guards = children_named(launcher, "bireme-guard")
    for pid in (launcher, *guards):
        os.kill(pid, signum)
    request = bench.start_request("grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status", host_pid=True)
    assert {line.split()[1] for line in (await bench.run(request)).lines} == {"0" * 16}
    assert children_named(launcher, "bireme-guard") == guards
    await bench.end(sleeper, "c1")


@pytest.mark.parametrize("guard_too", [False, True])
async def test_a_killed_launcher_takes_all_of_its_own_along_and_no_other(bench: Bench, guard_too: bool) -> None:
    sleeper = await bench.start_sleeper("c1")
    launched = await start(bench, f"{ESCAPES} sleep 1000")
    joined = await bench.launcher.exec(bench.exec_request("sleep", "1000"))
    pidfds = [*await escaped(launched), os.pidfd_open(joined.pid), os.pidfd_open(launched.pid)]
    killed = bench.sharing_pid()
    for guard in children_named(killed, "bireme-guard") if guard_too else ():
        os.kill(guard, signal.SIGKILL)
    os.kill(killed, signal.SIGKILL)
    with trio.fail_after(PATIENCE):
        for each in (launched, joined):
            assert (await each.wait())["code"] == 137
            await each.aclose()
    assert living(pidfds) == 0
    assert bench.cgroup("-host") is None
    assert sleeper.exit is None
    await bench.launcher.cleanup("c0")
    assert (await communicate(await start(bench, "echo again"))).out == "again\n"
    assert bench.sharing_pid() != killed
    await bench.end(sleeper, "c1")


async def test_a_launcher_that_is_killed_while_no_engine_is_there_leaves_nothing_either(tmp_path: Path) -> None:
    root = tmp_path / "root"
    async with open_bench(root, detached=True) as bench:
        launched = await start(bench, f"{ESCAPES} sleep 1000")
        pidfds = [*await escaped(launched), os.pidfd_open(launched.pid)]
        launcher = parent(launched.pid)
        await launched.aclose()
    os.kill(launcher, signal.SIGKILL)
    await ended(pidfds)
    async with open_bench(root, detached=True) as bench:
        assert await bench.launcher.containers() == []
        assert bench.cgroup("-host") is None
        await bench.launcher.quit()


VICTIM = """
import sys, trio
from pathlib import Path
from tests.runtime.launcher.harness import Bench, children_named, open_launchers
from tests.runtime.launcher.test_host_pids import ESCAPES, pids_of_escaped, start
async def main(root, stepwise):
    async with open_launchers(str(root), str(root / "run"), detached=False, stepwise=stepwise) as launcher:
        bench = Bench(root, launcher)
        launched = await start(bench, ESCAPES + "sleep 1000")
        escaped = await pids_of_escaped(launched)
        sharing = bench.sharing_pid()
        guard, = children_named(sharing, "bireme-guard")
        print(sharing, guard, launched.pid, *escaped, flush=True)
        await trio.sleep_forever()
trio.run(main, Path(sys.argv[1]), sys.argv[2] == "True")
"""


@BOTH_WAYS
@pytest.mark.parametrize("along", [(), ("launcher",), ("launcher", "guard")], ids=lambda along: "+".join(along) or "it")
async def test_a_killed_engine_leaves_nothing(tmp_path: Path, stepwise: bool, along: tuple[str, ...]) -> None:
    """And whoever is killed at the same moment. If nobody is left who could do it, the next engine does."""
    root = prepare(tmp_path / "root")
    command = [sys.executable, "-c", VICTIM, str(root), str(stepwise)]
    async with trio.open_nursery() as nursery:
        run = partial(trio.run_process, command, stdout=subprocess.PIPE, check=False, cwd=PROJECT)
        engine = await nursery.start(run)
        pids = [int(pid) for pid in (await read_until(engine.stdout, b"\n")).split()]
        launcher, guard, first, *others = (os.pidfd_open(pid) for pid in pids)
        os.kill(engine.pid, signal.SIGSTOP)
        for victim, name in ((guard, "guard"), (launcher, "launcher")):
            if name in along:
                signal.pidfd_send_signal(victim, signal.SIGKILL)
        engine.kill()
    if "guard" in along:
        await ended([launcher, guard, first])
        assert sum(1 for pidfd in others if not _is_zombie(pidfd)) == ESCAPED
        async with open_bench(root):
            assert living(others) == 0
    else:
        await ended([launcher, guard, first, *others])
    assert bool((root / "launcher-host.lock").exists()) is (along == ("launcher",))
    async with open_bench(root) as bench:
        assert bench.cgroup("-host") is None
        assert not (root / "launcher-host.lock").exists()


# An engine that comes after another


async def test_the_next_engine_adopts(tmp_path: Path) -> None:
    root = tmp_path / "root"
    async with open_bench(root, detached=True) as bench:
        launched = await start(bench, f"{ESCAPES} while read line; do echo got $line; done; exit 7", stdin=True)
        pidfds = await escaped(launched)
        assert launched.stdin is not None
        await launched.stdin.send_all(b"between\n")
        await launched.aclose()
    async with open_bench(root, detached=True) as bench:
        [(facts, adopted)] = await bench.launcher.containers()
        assert (facts["container"], facts["process"], facts["exit"]) == ("c0", launched.process, None)
        assert await read_until(adopted.stdout, b"got between\n") == b"got between\n"
        await bench.launcher.freeze("c0", True)
        await bench.launcher.freeze("c0", False)
        assert (await bench.exec("readlink", "/proc/self/ns/pid")).out.strip() == os.readlink("/proc/self/ns/pid")
        assert adopted.stdin is not None
        await adopted.stdin.aclose()
        await bench.launcher.close_stdin(adopted.process)
        assert (await communicate(adopted)).code == 7
        assert living(pidfds) == 0
        await bench.launcher.quit()


async def test_an_exit_while_no_engine_is_there_ends_the_rest_too(tmp_path: Path) -> None:
    root = tmp_path / "root"
    async with open_bench(root, detached=True) as bench:
        launched = await start(bench, f"{ESCAPES} read line; echo $line; exit 7", stdin=True)
        pidfds = await escaped(launched)
        stdin = os.dup(launched.stdin.fileno()) if launched.stdin is not None else -1
        await launched.aclose()
    os.write(stdin, b"late\n")
    os.close(stdin)
    await ended(pidfds)
    async with open_bench(root, detached=True) as bench:
        [(_, adopted)] = await bench.launcher.containers()
        assert (await adopted.wait())["code"] == 7
        assert await read_until(adopted.stdout, b"late\n") == b"late\n"
        await adopted.aclose()
        await bench.launcher.cleanup("c0")
        assert await bench.launcher.containers() == []
        await bench.launcher.quit()
    assert not (root / "launcher-host.lock").exists()


async def test_its_launcher_ends_by_itself_when_there_is_nothing_to_do(tmp_path: Path) -> None:
    async with open_bench(tmp_path / "root", detached=True) as bench:
        await communicate(await start(bench, ESCAPES))
        await bench.launcher.cleanup("c0")
        top = bench.cgroup("-host")
        assert top is not None
        pidfds = [os.pidfd_open(int(pid)) for pid in (top / "guard/cgroup.procs").read_text().split()]
    await ended(pidfds)
    await until(lambda: not (bench.root / "launcher-host.lock").exists())
    assert bench.cgroup("-host") is None
    assert not (bench.root / "run/launcher-host.sock").exists()


async def test_an_engine_that_cannot_have_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs for whoever finds its socket, and this one does not look for any."""
    settings_for = _spawn.settings_for
    async with open_bench(tmp_path / "root", detached=True) as bench:
        launched = await start(bench, "sleep 1000")
        await launched.aclose()
    with monkeypatch.context() as patch:
        patch.setattr(_spawn, "settings_for", lambda *told, **more: {**settings_for(*told, **more), "patience": 0.1})
        with pytest.raises(Conflict, match="another launcher still runs containers of"):
            async with open_bench(tmp_path / "root"):
                pass
    async with open_bench(tmp_path / "root", detached=True) as bench:
        [(_, adopted)] = await bench.launcher.containers()
        await bench.end(adopted)
        await bench.launcher.quit()


# Files


async def test_files_of_one_that_runs_are_those_it_sees(bench: Bench) -> None:
    script = "mkdir /tmp/own; mount -t tmpfs x /tmp/own && echo 1 > /tmp/own/f; echo all; sleep 1000"
    launched = await start(bench, script, capabilities=(1 << 41) - 1)
    await read_until(launched.stdout, b"all\n")
    found = await bench.launcher.archive(bench.archive_request("stat", "/tmp/own/f"))
    assert found["size"] == 2
    await bench.end(launched)
