"""Containers that crun, runc and LXC make: what is theirs to set up, and how they begin and end."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator

import pytest
import trio

from bireme.drivers import RUNTIMES, check_driver, find_runtime
from bireme_actors import CommandNotFound, InvalidConfig, Limits, MissingRequirement, Security
from tests.runtime.drivers.conftest import PATIENCE, Bench, BenchFactory, lives, read_all, stat_fields

pytestmark = [pytest.mark.root, pytest.mark.parametrize("name", tuple(RUNTIMES))]


PID_MODES = pytest.mark.parametrize("pid_mode", ["", "host"], ids=["own PIDs", "the host's"])
LEFT = "sleep 1000 & echo $!; (sh -c 'echo $$; exec sleep 1000' >&3 &) 3>&1; "
"""Processes that do not end with the first one, of which one has lost its parent."""


@pytest.fixture
async def farm(name: str, need_driver: None, bench_factory: BenchFactory) -> AsyncIterator[Bench]:
    """A driver of that name with an embedded launcher."""
    async with bench_factory(name=name) as opened:
        yield opened


async def test_a_signal_that_ends_it_at_once_is_told(farm: Bench) -> None:
    for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM):
        config = await farm.config("sh", "-c", f"sh -c 'kill -{number} $$'; exit $?")
        process = await farm.driver.start(config)
        await read_all(process)
        assert int(await process.wait()) == 128 + number
        await farm.driver.cleanup(config)


async def test_one_that_is_killed_as_soon_as_it_runs(farm: Bench) -> None:
    """As no process 1 of a PID namespace can be by itself."""
    for number in (signal.SIGKILL, signal.SIGTERM) * 3:
        assert await farm.run("sh", "-c", f"kill -{number} $$; sleep 5", pid_mode="host") == (128 + number, "")


async def test_the_user_is_looked_up_in_the_container(farm: Bench) -> None:
    code, printed = await farm.run("id", user="ann", security=Security(group_add=("7",)))
    assert (code, printed.split()) == (0, ["uid=1000(ann)", "gid=1000(ann)", "groups=7,1000(ann)"])
    code, printed = await farm.run("sh", "-c", "echo $HOME; grep CapEff /proc/self/status", user="ann")
    assert (code, printed.split()) == (0, ["/home/ann", "CapEff:", "0" * 16])


@pytest.mark.parametrize(
    ("security", "held", "filters", "new_privileges"),
    [
        (Security(), "a80425fb", "2", "0"),
        (Security(cap_drop=("ALL",), cap_add=("CHOWN",), no_new_privileges=True), "00000001", "2", "1"),
        (Security(cap_drop=("ALL",), seccomp="unconfined"), "00000000", "0", "0"),
    ],
)
async def test_rights(farm: Bench, security: Security, held: str, filters: str, new_privileges: str) -> None:
    script = "grep -E '^(CapBnd|CapEff|NoNewPrivs|Seccomp|SigBlk):' /proc/self/status"
    code, printed = await farm.run("sh", "-c", script, security=security)
    found = dict(line.split(":\t") for line in printed.splitlines())
    assert code == 0
    bound = farm.launcher.facts["capabilities"] & int(held, 16)
    assert {int(found[key], 16) for key in ("CapEff", "CapBnd")} == {bound}
    assert (found["Seccomp"], found["NoNewPrivs"]) == (filters, new_privileges)
    assert int(found["SigBlk"], 16) == 0


async def test_limits_directory_and_environment(farm: Bench) -> None:
    script = 'ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj; pwd; echo "[$A]"'
    limits = Limits(rlimits={"nofile": (100, 200)}, oom_score_adj=5)
    changes = {"limits": limits, "working_dir": "/new/place", "env": ("A= b=c ", "PATH=/bin")}
    assert await farm.run("sh", "-c", script, **changes) == (0, "100\n200\n5\n/new/place\n[ b=c ]\n")


async def test_the_hosts_name(farm: Bench) -> None:
    name = os.uname().nodename
    script = "hostname; echo $HOSTNAME; hostname other 2>/dev/null || hostname"
    changes = {"uts_mode": "host", "hostname": "box"}
    assert await farm.run("sh", "-c", script, **changes) == (0, f"{name}\nbox\n{name}\n")
    assert await farm.run("hostname", hostname="box") == (0, "box\n")


async def test_the_hosts_pids(farm: Bench) -> None:
    config = await farm.config("sh", "-c", f"{LEFT} echo $$; read line; exit 3", pid_mode="host", open_stdin=True)
    process = await farm.driver.start(config)
    assert process.stdout is not None
    printed = b""
    while printed.count(b"\n") < 3:
        printed += await process.stdout.receive_some()
    left = [int(word) for word in printed.split()]
    assert process.pid in left
    namespace = os.readlink("/proc/self/ns/pid")
    assert os.readlink(f"/proc/{process.pid}/ns/pid") == namespace
    assert await farm.exec(process, "sh", "-c", "ls -l /proc/self/ns/pid") != (0, "")
    assert process.stdin is not None
    await process.stdin.aclose()
    with trio.fail_after(PATIENCE):
        assert int(await process.wait()) == 3
    assert not [pid for pid in left if lives(pid)]
    await read_no_more(process)
    await farm.driver.cleanup(config)
    assert not groups_of(config.id)


async def test_a_read_only_root(farm: Bench) -> None:
    code, printed = await farm.run("sh", "-c", "echo > /dev/shm/x && echo written; echo > /x", read_only=True)
    assert code == 1
    assert printed.splitlines() == ["written", "sh: can't create /x: Read-only file system"]


async def test_the_kernels_files_are_masked(farm: Bench) -> None:
    code, printed = await farm.run("sh", "-c", "cat /proc/keys; ls /sys/firmware; echo 1 > /proc/sys/vm/drop_caches")
    assert code == 1
    assert printed.splitlines() == ["sh: can't create /proc/sys/vm/drop_caches: Read-only file system"]


async def test_a_privileged_one_sees_all(farm: Bench) -> None:
    script = "cat /proc/keys | grep -c . && mkdir /sys/fs/cgroup/own"
    code, printed = await farm.run("sh", "-c", script, security=Security(privileged=True))
    assert code == 0, printed
    assert int(printed) > 0


@pytest.mark.parametrize("milliseconds", [1, 5, 10, 20, 40, 80])
@PID_MODES
async def test_a_start_that_is_given_up_leaves_nothing(farm: Bench, milliseconds: int, pid_mode: str) -> None:
    """At whatever moment; a fast machine has started it by then."""
    if pid_mode:
        await farm.run("true", pid_mode=pid_mode)  # its launcher is there
    config = await farm.config("sh", "-c", f"{LEFT} sleep 1000", pid_mode=pid_mode)
    process = None
    with trio.move_on_after(milliseconds / 1000):
        process = await farm.driver.start(config)
    if process is not None:
        await process.kill(signal.SIGKILL)
        assert await process.wait() == 137
        await read_no_more(process)
    await farm.driver.cleanup(config)
    assert not list(farm.leftovers())
    assert not groups_of(config.id)


@PID_MODES
async def test_all_end_with_the_launcher(
    name: str, need_driver: None, bench_factory: BenchFactory, pid_mode: str
) -> None:
    async with bench_factory(name=name) as farm:
        config = await farm.config("sh", "-c", "sleep 1000 & sleep 1000", pid_mode=pid_mode)
        process = await farm.driver.start(config)
        parent = int(stat_fields(process.pid)[1])
        assert (parent == farm.launcher.facts["pid"]) is not bool(pid_mode)
        os.kill(parent, signal.SIGKILL)
        with trio.fail_after(PATIENCE):
            assert int(await process.wait()) == 137
        await read_all(process)
        assert not lives(process.pid)


@PID_MODES
async def test_another_engine_takes_it_over(
    name: str, need_driver: None, bench_factory: BenchFactory, pid_mode: str
) -> None:
    async with bench_factory(name=name, detached=True) as first:
        config = await first.config("sleep", "1000", pid_mode=pid_mode)
        process = await first.driver.start(config)
        await read_no_more(process)
    async with bench_factory(name=name, detached=True) as second:
        adopted = await second.driver.adopt(config)
        assert adopted is not None
        assert adopted.pid == process.pid
        assert await second.exec(adopted, "echo", "added") == (0, "added\n")
        await adopted.set_frozen(True)
        await adopted.kill(signal.SIGKILL)
        assert await adopted.wait() == 137
        await read_no_more(adopted)
        await second.driver.cleanup(config)
        await second.launcher.quit()


def groups_of(container: str) -> list[str]:
    """The cgroups that are left of a container; others come and go meanwhile."""
    beginning = f"{container[:32]}."
    return [name for _, names, _ in os.walk("/sys/fs/cgroup") for name in names if name.startswith(beginning)]


async def read_no_more(process: object) -> None:
    for stream in (getattr(process, "stdout", None), getattr(process, "stderr", None)):
        if stream is not None:
            await stream.aclose()


async def test_the_missing_command_is_told_alike(farm: Bench) -> None:
    for command, words in (("nosuch", "executable file not found in $PATH"), ("/no/such", "no such file or directory")):
        with pytest.raises(CommandNotFound) as caught:
            await farm.driver.start(await farm.config(command))
        assert str(caught.value) == f'exec: "{command}": {words}'


def test_what_is_missing_is_named_with_its_package(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bireme.drivers.runtimes._PATH", "/nonexistent")
    with pytest.raises(MissingRequirement, match=f"the driver {name} needs .*: install the Debian package {name}$"):
        check_driver(name)
    assert find_runtime(name).version() == ""


def test_a_path_is_a_driver_and_another_name_is_not(name: str) -> None:
    assert find_runtime(f"/opt/{name}").kind == "oci"
    with pytest.raises(InvalidConfig, match=f"unknown driver 'x{name}'; known: native, crun, runc, lxc"):
        find_runtime(f"x{name}")
