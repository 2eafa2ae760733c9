"""Images and containers that mean harm: one test or more for each class of escape that is known of runtimes."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from bireme.launcher.client import Launched
from bireme_actors import BiremeError, CommandNotFound, DriverError, InvalidConfig
from tests.runtime.launcher.harness import PATIENCE, Bench, communicate, read_until

pytestmark = pytest.mark.root


@pytest.fixture(params=[False, True], ids=["plain", "stepwise"])
def stepwise(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


SLOW_SEARCH = "PATH=" + ":".join(["/x"] * 20_000)
"""A command that is looked for in so many places leaves its process as it is, before ``execve``, for a while."""


# A working directory that is a descriptor of the host's (CVE-2024-21626)


@pytest.mark.parametrize("directory", ["/proc/self/fd/{}", "/proc/self/fd/{}/../../..", "/link{}"])
async def test_no_descriptor_serves_as_working_directory(bench: Bench, directory: str) -> None:
    sleeper = await bench.start_sleeper("running")
    for number in range(3, 30):
        (bench.layers / f"base/link{number}").symlink_to(f"/proc/self/fd/{number}")
        path = directory.format(number)
        with pytest.raises(BiremeError):
            await bench.run_shell("pwd; ls", cwd=path)
        with pytest.raises(BiremeError):
            await bench.exec("ls", container="running", cwd=path)
    await bench.end(sleeper, "running")


async def test_a_working_directory_through_a_descriptor_makes_nothing(bench: Bench) -> None:
    """The launcher holds directories open, cgroups among them: nothing may be made in one of them."""
    before = bench.groups()
    for number in range(3, 30):
        (bench.layers / f"base/link{number}").symlink_to(f"/proc/self/fd/{number}")
        with pytest.raises(BiremeError):
            await bench.run_shell("true", cwd=f"/link{number}/made")
    assert bench.groups() == before
    assert not list(bench.root.glob("**/made"))


OUTSIDE = """
import os, sys
from bireme.launcher import _program
from bireme.launcher._protocol import Failure
os.chdir("/proc")
os.chroot(sys.argv[1])
try:
    _program._check_inside()
except Failure as failure:
    print(failure.message)
"""


def test_a_working_directory_outside_of_the_root_is_noticed(tmp_path: Path) -> None:
    """However it came about: the last thing before the command is executed."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", OUTSIDE, str(tmp_path)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    assert done.stdout == "the working directory lies outside of the container's root\n"


# The runtime's own program and processes (CVE-2019-5736)


async def test_the_launchers_program_cannot_be_written(bench: Bench) -> None:
    """What ``/proc/self/exe`` leads to, whoever gets hold of it, lies on a read-only mount."""
    program = f"/proc/{bench.launcher.facts['pid']}/exe"
    assert os.statvfs(program).f_flag & os.ST_RDONLY
    assert not os.access(program, os.W_OK)
    assert os.path.samefile(program, f"/proc/{os.getpid()}/exe")  # noqa: ASYNC240 - a file of the kernel


async def test_a_container_that_has_the_launcher_execute_itself(bench: Bench) -> None:
    """``/proc/self/exe`` as the command: whatever comes of it, the program on the host stays as it is."""
    before = _signature("/proc/self/exe")
    with pytest.raises(CommandNotFound):  # its dynamic loader is not in the image
        await bench.run(bench.start_request("/proc/self/exe"))
    assert _signature("/proc/self/exe") == before


def _signature(path: str) -> tuple[int, ...]:
    found = os.stat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns


SPY = """
while :; do
  for p in /proc/[0-9]*; do
    read name < $p/comm
    echo seen $name
    for link in exe cwd fd/3; do readlink $p/$link > /dev/null && echo open $name $link; done
  done
done 2>/dev/null
"""


async def test_a_joining_process_cannot_be_looked_into(bench: Bench) -> None:
    """It has given up its rights, so that the container's root has as many as it has, but it was not executed yet."""
    spy = await bench.launcher.start(bench.start_request("sh", "-c", SPY))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_join_slowly, bench, spy)
        lines = set((await communicate(spy)).lines)
    await bench.launcher.cleanup("c0")
    assert {"seen sh", "open sh exe", "seen bireme-launcher"} <= lines
    assert not [line for line in lines if line.startswith("open bireme")]


async def _join_slowly(bench: Bench, spy: Launched) -> None:
    with pytest.raises(CommandNotFound):
        await bench.exec("nosuch", env=[SLOW_SEARCH])
    await bench.launcher.kill(spy.process, signal.SIGKILL)


# Places of mounts (CVE-2019-16884, CVE-2021-30465)


@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
@pytest.mark.parametrize("target", ["/etc", "tmp", "/proc/self/fd/7"])
async def test_a_link_in_place_of_a_kernel_file_system(bench: Bench, name: str, target: str) -> None:
    (bench.layers / "base" / name).rmdir()
    (bench.layers / "base" / name).symlink_to(target)
    with pytest.raises(InvalidConfig, match=f"the image's /{name} is not a directory"):
        await bench.run_shell("true")


@pytest.mark.parametrize("place", ["/proc", "/proc/self", "/proc/sys/kernel", "/sys", "/sys/fs/cgroup", "/link/kernel"])
async def test_no_volume_hides_the_kernel(bench: Bench, place: str) -> None:
    """A volume over ``/proc`` would make the masks, and what is written there, the container's own."""
    (bench.layers / "base/link").symlink_to("/proc/sys")
    with pytest.raises(InvalidConfig, match="inside /proc or /sys"):
        await bench.run_shell("true", mounts=[bench.volume(place)])


@pytest.mark.parametrize("place", ["/", "/bin/..", "/self"])
async def test_no_volume_replaces_the_root(bench: Bench, place: str) -> None:
    (bench.layers / "base/self").symlink_to("/")
    with pytest.raises(InvalidConfig, match="that is the root directory"):
        await bench.run_shell("true", mounts=[bench.volume(place)])


async def test_links_lead_no_further_than_the_root(bench: Bench, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    base = bench.layers / "base"
    (base / "up").symlink_to("../" * 20 + str(outside).lstrip("/"))
    (base / "absolute").symlink_to(outside)
    (base / "dangling").symlink_to("/nowhere/deep")
    mounts = [bench.volume(f"/{name}", name=name) for name in ("up", "absolute", "dangling")]
    script = f"touch {outside}/in; touch /nowhere/deep/in; grep -c -e {outside} -e nowhere /proc/mounts"
    assert (await bench.run_shell(script, mounts=mounts)).out.strip() == "3"
    assert os.listdir(outside) == []
    assert (bench.root / "volumes/dangling/in").exists()


async def test_a_volume_whose_place_is_swapped_while_it_is_mounted(bench: Bench) -> None:
    """Another container renames a link over the place all the time: the mount is inside, or the start fails."""
    swap = (
        "mkdir /v/real; ln -s / /v/link; ln -s /proc/self/fd /v/fds; while :; do mv -T /v/d /v/t; mv -T /v/link /v/d; "
    )
    swap += "mv -T /v/d /v/link; mv -T /v/fds /v/d; mv -T /v/d /v/fds; mv -T /v/t /v/d; done 2>/dev/null"
    (bench.root / "volumes/shared/d").mkdir(parents=True)
    swapper = await bench.launcher.start(
        bench.start_request("sh", "-c", swap, container="swapper", mounts=[bench.volume("/v", name="shared")])
    )
    host = Path("/proc/self/mountinfo").read_text()  # noqa: ASYNC240 - a file of the kernel
    mounts = [bench.volume("/v", name="shared"), bench.volume("/v/d", name="inner")]
    started = 0
    for _ in range(40):
        try:
            done = await bench.run_shell("grep -c ' / ' /proc/mounts; cat /proc/self/mountinfo", mounts=mounts)
        except BiremeError:
            continue
        started += 1
        assert done.lines[0] == "1"
        places = {line.split()[4] for line in done.lines[1:]}
        assert all(name == "/" or name.startswith(("/v", "/proc", "/sys", "/dev")) for name in places)
    assert Path("/proc/self/mountinfo").read_text() == host  # noqa: ASYNC240 - a file of the kernel
    assert started
    await bench.end(swapper, "swapper")


# Devices that are not what they should be (CVE-2025-31133, CVE-2025-52565, CVE-2025-52881)


async def test_masks_are_the_null_device(bench: Bench) -> None:
    """Whatever the image has as ``/dev/null``: ours lies in a file system made a moment before."""
    (bench.layers / "base/dev/null").symlink_to("/etc/passwd")
    script = "stat -c %t:%T /dev/null /proc/keys /proc/timer_list; cat /proc/keys /proc/timer_list"
    assert (await bench.run_shell(script)).lines == ["1:3"] * 3


@pytest.mark.parametrize(
    "bait", ["ln -s /proc/1/fd/1 /dev/null", "mkfifo /dev/null", "mkdir /dev/null", "echo > /dev/null"]
)
async def test_a_null_device_replaced_before_an_exec(bench: Bench, bait: str) -> None:
    """What joins takes nothing else for its input."""
    script = f"rm /dev/null; {bait}; echo ready; exec sleep 1000"
    launched = await bench.launcher.start(bench.start_request("sh", "-c", script))
    await read_until(launched.stdout, b"ready")
    with pytest.raises(BiremeError):
        await bench.exec("true")
    await bench.end(launched)


async def test_the_console_is_the_terminal(bench: Bench) -> None:
    (bench.layers / "base/dev/console").symlink_to("/etc/passwd")
    script = "stat -c %t /dev/console; grep -c ' /dev/console devpts' /proc/mounts"
    launched = await bench.launcher.start(bench.start_request("sh", "-c", script, tty=True))
    assert (await read_until(launched.terminal, b"1\r\n")).split() == [b"88", b"1"]
    await launched.wait()
    await launched.aclose()
    await bench.launcher.cleanup("c0")


@pytest.mark.parametrize("bait", ["ln -s /proc/self/fd/5 /dev/pts/ptmx", "ln -s /etc/passwd /dev/ptmx"])
async def test_a_terminal_comes_from_the_containers_own_devpts(bench: Bench, bait: str) -> None:
    launched = await bench.launcher.start(
        bench.start_request("sh", "-c", f"rm -f /dev/ptmx; {bait}; echo ok; exec sleep 1000")
    )
    await read_until(launched.stdout, b"ok")
    joined = await bench.launcher.exec(bench.exec_request("tty", tty=True))
    assert await read_until(joined.terminal, b"/dev/pts/0")
    await joined.wait()
    await joined.aclose()
    await bench.end(launched)


async def test_what_the_launcher_writes_goes_to_the_kernel(bench: Bench) -> None:
    """A link of the image's cannot redirect the score that is written for the out-of-memory killer."""
    done = await bench.run_shell("cat /proc/self/oom_score_adj; mount -t tmpfs x /proc", oom_score_adj=500)
    assert done.out == "500\n"
    assert "permission denied" in done.err


# Other files that are read with the host's rights (CVE-2019-14271, CVE-2018-15664)


@pytest.mark.parametrize("bait", ["fifo", "directory", "link", "huge", "device"])
async def test_a_user_database_that_is_no_file(bench: Bench, bait: str) -> None:
    """The start neither hangs nor fails: there are no names then."""
    path = bench.layers / "base/etc/passwd"
    path.unlink()
    if bait == "fifo":
        os.mkfifo(path)
    elif bait == "directory":
        path.mkdir()
    elif bait == "link":
        path.symlink_to("/proc/self/fd/0")
    elif bait == "huge":
        path.write_bytes(b"")
        os.truncate(path, 1 << 40)
    else:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))
    with trio.fail_after(PATIENCE):
        assert (await bench.run_shell("echo fine")).out == "fine\n"
        with pytest.raises(InvalidConfig, match="unable to find user ann"):
            await bench.run_shell("true", user="ann")


async def test_no_process_is_left_by_a_fork_bomb(bench: Bench) -> None:
    bomb = "b() { b & b; }; (b) 2>/dev/null & echo go; exec sleep 1000"
    launched = await bench.launcher.start(bench.start_request("sh", "-c", bomb, limits=(0, 0, 40)))
    await read_until(launched.stdout, b"go")
    assert (await bench.end(launched))["signal"] == signal.SIGKILL
    assert bench.groups() == []


async def test_the_launcher_survives_what_it_does_not_understand(bench: Bench) -> None:
    broken = bench.start_request("true")
    del broken["process"]["args"]  # type: ignore[misc]  # that is the point
    with pytest.raises(DriverError, match="args"):
        await bench.launcher.start(broken)
    broken = bench.start_request("true")
    del broken["limits"]  # type: ignore[misc]  # that is the point
    with pytest.raises(DriverError, match="does not understand 'start'"):
        await bench.launcher.start(broken)
    assert (await bench.run_shell("echo fine")).out == "fine\n"


async def test_the_launcher_is_not_dumpable_after_a_start_as_another_user(bench: Bench) -> None:
    """A change of users makes a process as dumpable as ``fs.suid_dumpable`` says, and a new one is in our memory."""
    for _ in range(2):
        await bench.run_shell("true", user="ann")
    pid = bench.launcher.facts["pid"]
    assert os.stat(f"/proc/{pid}/auxv").st_uid == 0
    command = ["setpriv", "--reuid=1000", "--regid=1001", "--clear-groups", "cat", f"/proc/{pid}/environ"]
    found = await trio.run_process(command, capture_stderr=True, check=False)
    assert b"Permission denied" in found.stderr
