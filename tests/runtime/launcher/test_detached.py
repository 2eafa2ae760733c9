"""A launcher that outlives its engine, and the next engine that takes over."""

from __future__ import annotations

import json
import os
import signal
import stat
from pathlib import Path

import pytest
import trio
import trio.testing

from bireme.launcher import _spawn
from bireme.launcher.client import open_launcher
from bireme_actors import Conflict
from tests.runtime.launcher.harness import PATIENCE, communicate, open_bench, read_until

pytestmark = pytest.mark.root


async def test_the_next_engine_adopts(tmp_path: Path) -> None:
    """Its streams are those the container has had all along; what was printed in between is not lost."""
    root = tmp_path / "root"
    async with open_bench(root, detached=True) as bench:
        script = "echo first; while read line; do echo got $line; done; exit 7"
        launched = await bench.launcher.start(bench.start_request("sh", "-c", script, stdin=True))
        assert await read_until(launched.stdout, b"first\n") == b"first\n"
        assert launched.stdin is not None
        await launched.stdin.send_all(b"between\n")
        pid = bench.launcher.facts["pid"]
        await launched.aclose()
    async with open_bench(root, detached=True) as bench:
        assert bench.launcher.facts["pid"] == pid
        [(facts, adopted)] = await bench.launcher.containers()
        assert (facts["container"], facts["process"], facts["exit"]) == ("c0", launched.process, None)
        assert facts["streams"] == ["stdin", "stdout", "stderr"]
        assert (adopted.pid, adopted.started) == (launched.pid, launched.started)
        assert await read_until(adopted.stdout, b"got between\n") == b"got between\n"
        assert adopted.stdin is not None
        await adopted.stdin.aclose()
        await bench.launcher.close_stdin(adopted.process)
        done = await communicate(adopted)
        assert done.code == 7
        await bench.launcher.quit()


async def test_an_exit_while_no_engine_is_there(tmp_path: Path) -> None:
    root = tmp_path / "root"
    async with open_bench(root, detached=True) as bench:
        launched = await bench.launcher.start(bench.start_request("sh", "-c", "read x; echo $x; exit 3", stdin=True))
        pidfd = os.pidfd_open(launched.pid)
        stdin = os.dup(launched.stdin.fileno()) if launched.stdin is not None else -1
        await launched.aclose()
    os.write(stdin, b"late\n")
    os.close(stdin)
    with trio.fail_after(PATIENCE):
        await trio.lowlevel.wait_readable(pidfd)
    os.close(pidfd)
    async with open_bench(root, detached=True) as bench:
        [(facts, adopted)] = await bench.launcher.containers()
        exit_facts = await adopted.wait()
        assert (exit_facts["code"], exit_facts["signal"]) == (3, 0)
        assert facts["exit"] in (None, exit_facts)
        assert await read_until(adopted.stdout, b"late\n") == b"late\n"
        assert json.loads((root / "containers/c0/exit.json").read_text()) == exit_facts
        await adopted.aclose()
        await bench.launcher.cleanup("c0")
        assert await bench.launcher.containers() == []
        await bench.launcher.quit()


async def test_it_ends_by_itself_when_there_is_nothing_to_do(tmp_path: Path) -> None:
    async with open_bench(tmp_path / "root", detached=True) as bench:
        await bench.run_shell("true")
        pidfd = os.pidfd_open(bench.launcher.facts["pid"])
    with trio.fail_after(PATIENCE):
        await trio.lowlevel.wait_readable(pidfd)
    os.close(pidfd)
    assert not (tmp_path / "root/run/launcher.sock").exists()
    assert bench.cgroup() is None


async def test_an_exec_ends_with_its_engine(tmp_path: Path) -> None:
    """Nobody could take over its streams."""
    root = tmp_path / "root"
    async with open_bench(root, detached=True) as bench:
        sleeper = await bench.start_sleeper()
        joined = await bench.launcher.exec(bench.exec_request("sleep", "1000"))
        pidfd = os.pidfd_open(joined.pid)
        await joined.aclose()
        await sleeper.aclose()
    with trio.fail_after(PATIENCE):
        await trio.lowlevel.wait_readable(pidfd)
    os.close(pidfd)
    async with open_bench(root, detached=True) as bench:
        [(_, adopted)] = await bench.launcher.containers()
        await bench.end(adopted)
        await bench.launcher.quit()


async def test_the_socket_is_for_its_user_only(tmp_path: Path) -> None:
    async with open_bench(tmp_path / "root", detached=True) as bench:
        path = bench.root / "run/launcher.sock"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        await bench.launcher.quit()


async def test_one_engine_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_spawn, "_BUSY_TRIES", 2)
    async with open_bench(tmp_path / "root", detached=True) as bench:
        with pytest.raises(Conflict, match="serves another engine"):
            async with open_bench(tmp_path / "root", detached=True):
                pass
        await bench.launcher.quit()


async def test_an_engine_that_comes_as_the_last_one_leaves_is_served(tmp_path: Path) -> None:
    """The launcher is told of both at once."""
    async with open_bench(tmp_path / "root", detached=True) as bench:
        pid = bench.launcher.facts["pid"]
        os.kill(pid, signal.SIGSTOP)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_use, tmp_path / "root", pid)
        await trio.testing.wait_all_tasks_blocked()
        os.kill(pid, signal.SIGCONT)


async def _use(root: Path, pid: int) -> None:
    async with open_bench(root, detached=True) as bench:
        assert bench.launcher.facts["pid"] == pid
        assert (await bench.run_shell("echo fine")).out == "fine\n"
        await bench.launcher.quit()


async def test_a_launcher_of_another_root_is_left_alone(tmp_path: Path) -> None:
    async with open_bench(tmp_path / "root", detached=True) as bench:
        await bench.start_sleeper()
    with pytest.raises(Conflict, match="choose another run directory"):
        async with open_launcher(str(tmp_path), str(bench.root / "run"), detached=True):
            pass
    async with open_bench(tmp_path / "root", detached=True) as bench:
        [(_, adopted)] = await bench.launcher.containers()
        await adopted.aclose()
        await bench.launcher.quit()


async def test_two_launchers_never_share_a_root(tmp_path: Path) -> None:
    """Even if the first cannot be reached any more because its socket's file is gone."""
    async with open_bench(tmp_path / "root", detached=True) as bench:
        settings = _spawn.settings_for(str(bench.root), str(bench.root / "run"), detached=True, stepwise=False)
        settings["patience"] = 0.05
        with pytest.raises(Conflict, match="another launcher still runs containers of"):
            await _spawn.spawn(settings)
        await bench.launcher.quit()


async def test_a_socket_left_by_a_dead_launcher_is_replaced(tmp_path: Path) -> None:
    async with open_bench(tmp_path / "root", detached=True) as bench:
        os.kill(bench.launcher.facts["pid"], 9)
        path = bench.root / "run/launcher.sock"
    assert path.exists()
    async with open_bench(tmp_path / "root", detached=True) as bench:
        assert (await bench.run_shell("echo again")).out == "again\n"
        await bench.launcher.quit()
