"""What is mounted in memory, the same under every driver."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator

import pytest
import trio

from bireme_actors import InvalidConfig, Mount, Tmpfs, VolumeId, new_id
from tests.runtime.drivers.conftest import DRIVERS, PATIENCE, Bench, BenchFactory, read_all

pytestmark = [pytest.mark.root, pytest.mark.parametrize("name", DRIVERS)]

OURS = "grep -E ' /(a|t|home)(/[^ ]*)? ' /proc/mounts"


@pytest.fixture
async def driven(name: str, need_driver: None, bench_factory: BenchFactory) -> AsyncIterator[Bench]:
    """A driver of that name with an embedded launcher."""
    async with bench_factory(name=name) as opened:
        yield opened


@pytest.mark.parametrize(
    ("options", "mounted", "found"),
    [
        ("", "rw,nosuid,nodev,noexec,relatime", "0:0:1777"),
        ("size=1m,nr_inodes=7", "rw,nosuid,nodev,noexec,relatime,size=1024k,nr_inodes=7", "0:0:1777"),
        ("ro,mode=700,uid=3,gid=4", "ro,nosuid,nodev,noexec,relatime,mode=700,uid=3,gid=4", "3:4:700"),
        ("exec,suid,noatime,sync", "rw,sync,nodev,noatime", "0:0:1777"),
        ("exec,suid,ro", "ro,nodev,relatime", "0:0:1777"),
        ("strictatime,nodiratime", "rw,nosuid,nodev,noexec,nodiratime", "0:0:1777"),
    ],
)
async def test_options(driven: Bench, options: str, mounted: str, found: str) -> None:
    code, printed = await driven.run("sh", "-c", f"{OURS}; stat -c %u:%g:%a /t", tmpfs=(Tmpfs("/t", options),))
    assert (code, printed.split()[1:4], printed.splitlines()[1:]) == (0, ["/t", "tmpfs", mounted], [found])


async def test_devices_where_they_are_asked_for(driven: Bench) -> None:
    """And where the kernel lets nobody use them that were not given."""
    _, printed = await driven.run("sh", "-c", OURS, tmpfs=(Tmpfs("/t", "dev,suid,exec"),))
    assert printed.split()[3] == ("rw,relatime" if driven.launcher.facts["devices"] else "rw,nodev,relatime")


async def test_permissions_are_those_of_the_images_directory_unless_said(driven: Bench) -> None:
    os.chmod(driven.root / "images/layers/base/tmp", 0o2750)
    os.chown(driven.root / "images/layers/base/tmp", 1000, 1000)
    tmpfs = (Tmpfs("/tmp"), Tmpfs("/root", "mode=511"))
    assert await driven.run("stat", "-c", "%u:%g:%a", "/tmp", "/root", tmpfs=tmpfs) == (0, "0:0:2750\n0:0:511\n")


async def test_volumes_and_memory_in_each_other(driven: Bench) -> None:
    volumes = [VolumeId(new_id()) for _ in range(2)]
    for volume in volumes:
        (driven.root / "volumes" / volume).mkdir(parents=True)
    mounts = (Mount(volumes[0], "/a/b"), Mount(volumes[1], "/a/b/c/d", read_only=True))
    script = "echo 1 > /a/b/x; echo 2 > /a/b/c/x; echo 3 > /a/x; echo 4 > /a/b/c/d/x; pwd"
    code, printed = await driven.run(
        "sh", "-c", f"{OURS}; {script}", mounts=mounts, tmpfs=(Tmpfs("/a", "ro"), Tmpfs("/a/b/c")), working_dir="/a/w"
    )
    lines = printed.splitlines()
    assert code == 0
    assert sorted(" ".join(line.split()[1:3]) for line in lines[:4]) == [
        "/a tmpfs", f"/a/b {lines[1].split()[2]}", "/a/b/c tmpfs", f"/a/b/c/d {lines[1].split()[2]}"
    ]  # fmt: skip
    assert lines[4:] == [
        "/a/w", "sh: can't create /a/x: Read-only file system", "sh: can't create /a/b/c/d/x: Read-only file system"
    ]  # fmt: skip
    assert sorted(os.listdir(driven.root / "volumes" / volumes[0])) == ["c", "x"]
    assert not os.listdir(driven.root / "volumes" / volumes[1])


async def test_it_is_new_at_each_start_the_containers_alone_and_there_for_exec(driven: Bench) -> None:
    config = await driven.config("sleep", "1000", tmpfs=(Tmpfs("/t"), Tmpfs("/own", "mode=700")))
    for _ in range(2):
        process = await driven.driver.start(config)
        assert await driven.exec(process, "sh", "-c", "stat -c %a /t /own; ls -A /t; echo > /t/x") == (0, "1777\n700\n")
        assert await driven.exec(process, "ls", "/t") == (0, "x\n")
        await process.kill(signal.SIGKILL)
        with trio.fail_after(PATIENCE):
            await process.wait()
        await read_all(process)
        await driven.driver.cleanup(config)
    upper = driven.root / "containers" / config.id / "upper"
    assert not list(upper.rglob("x"))


async def test_it_stays_in_the_container(driven: Bench) -> None:
    base = driven.root / "images/layers/base"
    (base / "up").symlink_to("../../../../../../home")
    before = sorted(os.listdir("/home"))
    code, printed = await driven.run("sh", "-c", f"{OURS}; echo > /home/x", tmpfs=(Tmpfs("/up"),))
    assert (code, printed.split()[1]) == (0, "/home")
    assert sorted(os.listdir("/home")) == before
    assert not list((driven.root / "containers").rglob("x"))


@pytest.mark.parametrize(
    ("tmpfs", "reason"),
    [
        (Tmpfs("/etc/passwd"), "cannot mount tmpfs over existing file, file exists /etc/passwd"),
        (Tmpfs("/alias/sys"), "cannot mount at /alias/sys: that is inside /proc or /sys"),
        (Tmpfs("/t", "mpol=bind:1023"), "cannot mount tmpfs at /t: the kernel refuses mpol=bind:1023"),
    ],
)
async def test_what_cannot_be_is_refused_alike(driven: Bench, tmpfs: Tmpfs, reason: str) -> None:
    (driven.root / "images/layers/base/alias").symlink_to("/proc")
    config = await driven.config("true", tmpfs=(tmpfs,))
    with pytest.raises(InvalidConfig) as caught:
        await driven.driver.start(config)
    assert str(caught.value) == reason
    await driven.driver.cleanup(config)
    assert not list(driven.leftovers())


