"""Containers with the host's PIDs, as users have them: nothing is left, whoever ends and however."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

import bireme as bireme_library
from tests.house import SOURCE_ROOTS
from tests.leaks import Session
from tests.system._cli import PATIENCE, Cli, sh

pytestmark = [pytest.mark.root, pytest.mark.system]

LEAVES = "sleep 600 & (setsid sh -c 'trap \"\" TERM HUP; sleep 600; sleep 600' &); (setsid sleep 600 &); "
"""Starts four processes that do not end by themselves, two of them under nobody."""
PROGRAM = f"""\
import sys
import trio
import bireme

async def main():
    async with bireme.open_runtime(root=sys.argv[1]) as runtime:
        for _ in range(2):
            container = await runtime.create("busybox", ["sh", "-c", {LEAVES!r} + "sleep 600"], pid_mode="host")
            await container.start()
        print("started", flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def members(cli: Cli, container: str) -> list[int]:
    """The processes of a container, all that ``LEAVES`` starts among them."""
    for _ in range(1000):
        found = [int(row.split()[0]) for row in cli.ok("top", container, "-o", "pid,args").splitlines()[1:]]
        if len(found) >= 5:
            return found
    raise AssertionError("they do not start")


def wait_for_ends(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            fd = os.pidfd_open(pid)
            try:
                assert select.select([fd], [], [], PATIENCE)[0], f"process {pid} goes on"
            finally:
                os.close(fd)


def living(pids: list[int]) -> list[int]:
    return [pid for pid in pids if (stat := Path(f"/proc/{pid}/stat")).exists() and ") Z " not in stat.read_text()]


# A program that embeds the runtime


@pytest.mark.parametrize("launcher_too", [False, True])
def test_a_killed_program_leaves_nothing(tmp_path: Path, leak_session: Session, launcher_too: bool) -> None:
    before = leak_session.traces()
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, SOURCE_ROOTS))}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "root")]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "started\n"
        lines = leak_session.traces().since(before)
        launchers = [int(line.split()[1].rstrip(":")) for line in lines if '"host_pids": true' in line]
        launcher = next(pid for pid in launchers if parent(pid) == program.pid)
        program.send_signal(signal.SIGSTOP)
        if launcher_too:
            os.kill(launcher, signal.SIGKILL)
        program.kill()
    assert [line for line in leak_session.leftovers(before, 2) if not line.startswith("cgroup")] == []
    trio.run(open_once, tmp_path / "root")
    assert leak_session.leftovers(before) == []


async def open_once(root: Path) -> None:
    async with bireme_library.open_runtime(root=root):
        pass


# The command line


def test_it_runs_beside_others_and_its_end_is_its_own(bireme: Cli) -> None:
    container = bireme.ok("run", "-d", "--pid", "host", "-v", "/data", "busybox", *sh(f"{LEAVES} exit 4"))
    usual = bireme.ok("run", "-d", "busybox", "sleep", "60")
    assert bireme.ok("wait", container) == "4"
    told = json.loads(bireme.ok("inspect", container))[0]
    assert (told["HostConfig"]["PidMode"], told["State"]["ExitCode"]) == ("host", 4)
    assert bireme.ok("exec", usual, "pidof", "sleep") == "1"


def test_what_is_asked_of_one_that_runs(bireme: Cli) -> None:
    container = bireme.ok("run", "-d", "-i", "--pid", "host", "busybox", *sh(f"{LEAVES} read x; echo $x; exit 6"))
    pids = members(bireme, container)
    first = int(bireme.ok("inspect", "-f", "{{.State.Pid}}", container))
    assert first in pids
    assert f"{len(pids)}" in bireme.ok("stats", "--no-stream", "--format", "{{.PIDs}}", container)
    assert bireme.ok("exec", container, "cat", f"/proc/{first}/comm") == "sh"
    assert bireme.ok("exec", container, "sh", "-c", "echo in > /tmp/f; echo $$") != "1"
    assert bireme.ok("cp", f"{container}:/tmp/f", "-") != ""
    bireme.ok("pause", container)
    bireme.ok("unpause", container)
    bireme.ok("restart", "-t", "0", container)
    assert living(pids) == []
    again = members(bireme, container)
    attached = bireme("attach", container, stdin=b"to the end\n")
    assert (attached.status, attached.out) == (6, "to the end\n")
    assert living(again) == []


def test_its_restarts_leave_nothing_of_the_run_before(bireme: Cli) -> None:
    flags = ("--pid", "host", "--restart", "on-failure:2")
    container = bireme.ok("run", "-d", *flags, "busybox", *sh("sleep 600 & echo $!; exit 3"))
    for _ in range(1000):
        if bireme.ok("inspect", "-f", "{{.State.Status}} {{.RestartCount}}", container) == "exited 2":
            break
    pids = [int(line) for line in bireme.ok("logs", container).split()]
    assert len(pids) == 3
    assert living(pids) == []


def test_a_killed_engine_loses_it_not(own: Cli) -> None:
    container = own.ok("run", "-d", "-i", "--pid", "host", "busybox", *sh(f"echo said; {LEAVES} read x; exit 7"))
    pids = members(own, container)
    engine = json.loads(own.ok("info", "--format", "json"))["EnginePid"]
    os.kill(engine, signal.SIGKILL)
    wait_for_ends([engine])
    assert own.ok("inspect", "-f", "{{.State.Status}}", container) == "running"
    assert members(own, container) == pids
    assert own.ok("logs", container) == "said"
    own.ok("stop", "-t", "0", container)
    assert living(pids) == []


def test_a_killed_launcher_takes_it_along_and_the_engine_says_so(own: Cli) -> None:
    usual = own.ok("run", "-d", "busybox", "sleep", "60")
    container = own.ok("run", "-d", "--pid", "host", "busybox", *sh(f"{LEAVES} sleep 600"))
    pids = members(own, container)
    os.kill(parent(int(own.ok("inspect", "-f", "{{.State.Pid}}", container))), signal.SIGKILL)
    assert own.ok("wait", container) == "137"
    assert living(pids) == []
    assert own.ok("inspect", "-f", "{{.State.Status}}", usual) == "running"
    own.ok("start", container)
    own.ok("rm", "-f", container)


@pytest.mark.parametrize("verb", ["shutdown", "run"])
def test_one_that_was_left_to_the_next_engine_is_found_by_it(own: Cli, verb: str) -> None:
    container = own.ok("run", "-d", "--pid", "host", "busybox", *sh(f"{LEAVES} sleep 600"))
    pids = members(own, container)
    own.ok("shutdown", "--detach")
    assert living(pids) == pids
    if verb == "shutdown":
        own.ok("shutdown")
    else:
        assert own.ok("run", "--rm", "--pid", "host", "busybox", "cat", f"/proc/{pids[0]}/comm") in ("sh", "sleep")
        own.ok("rm", "-f", container)
    assert living(pids) == []
    assert not (own.run_dir / "launcher-host.sock").exists() or verb == "run"
