"""What is mounted in memory: where it lies, what it begins with, that it is the container's alone and new each time."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from bireme.launcher import _mounts
from bireme.launcher.requests import TmpfsRequest
from bireme_actors import InvalidConfig
from tests.runtime.launcher.harness import Bench

pytestmark = pytest.mark.root

OURS = "cut -d' ' -f5,6 /proc/self/mountinfo | grep -Ev '^/(dev|proc|sys)?(/| )' | sort"


def mount_table(pid: int | str = "self") -> list[str]:
    return Path(f"/proc/{pid}/mountinfo").read_text().splitlines()


async def test_volumes_and_memory_in_each_other(bench: Bench) -> None:
    """What is only to be read takes what lies in it, and the working directory, before it is closed."""
    mounts = [
        bench.tmpfs("/a", "ro"),
        bench.volume("/a/b"),
        bench.tmpfs("/a/b/c"),
        bench.volume("/a/b/c/d", name="v1", read_only=True),
    ]
    script = f"{OURS}; pwd; touch /a/b/x /a/b/c/x; touch /a/x; touch /a/b/c/d/x; stat -c %a /a /a/b/c"
    done = await bench.run(bench.start_request("sh", "-c", script, mounts=mounts, cwd="/a/in/it"))
    strict = "nosuid,nodev,noexec,relatime"
    mounted = [f"/a ro,{strict}", "/a/b rw,relatime", f"/a/b/c rw,{strict}", "/a/b/c/d ro,relatime"]
    assert done.lines == [*mounted, "/a/in/it", "1777", "1777"]
    assert done.err == "touch: /a/x: Read-only file system\ntouch: /a/b/c/d/x: Read-only file system\n"
    assert sorted(os.listdir(bench.root / "volumes/v0")) == ["c", "x"]
    assert not os.listdir(bench.root / "volumes/v0/c")
    assert not os.listdir(bench.root / "volumes/v1")


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("/link", "/real"),
        ("/link/below", "/real/below"),
        ("/up", "/etc"),
        ("/up/../../..//t", "/t"),
        ("/dangling", "/nowhere/deep"),
    ],
)
async def test_links_lead_to_the_containers_own_places(bench: Bench, target: str, place: str) -> None:
    (bench.layers / "base/real").mkdir()
    for name, to in (("link", "/real"), ("up", "../../../../../etc"), ("dangling", "/nowhere/deep")):
        (bench.layers / "base" / name).symlink_to(to)
    before = sorted(os.listdir("/etc"))
    done = await bench.run_shell(f"{OURS}; touch {place}/x", mounts=[bench.tmpfs(target)])
    assert (done.err, [line.split()[0] for line in done.lines]) == ("", [place])
    assert sorted(os.listdir("/etc")) == before


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/etc/passwd", "cannot mount tmpfs over existing file, file exists /etc/passwd"),
        ("/etc/passwd/below", "cannot mount tmpfs over existing file"),
        ("/top", "that is the root directory"),
        ("/proc", "inside /proc or /sys"),
        ("/alias/sys", "inside /proc or /sys"),
        ("/sys/firmware", "inside /proc or /sys"),
        ("/ring", "Too many levels of symbolic links"),
    ],
)
async def test_where_it_cannot_be(bench: Bench, target: str, reason: str) -> None:
    for name, to in (("top", "/"), ("alias", "/proc"), ("ring", "ring")):
        (bench.layers / "base" / name).symlink_to(to)
    await bench.run(bench.start_request("true"))
    before = sorted(os.listdir(f"/proc/{bench.launcher.facts['pid']}/fd"))
    with pytest.raises(Exception, match=reason):
        await bench.launcher.start(bench.start_request("true", mounts=[bench.tmpfs(target)]))
    assert sorted(os.listdir(f"/proc/{bench.launcher.facts['pid']}/fd")) == before
    assert bench.groups() == []


async def test_what_the_kernel_refuses_is_named(bench: Bench) -> None:
    with pytest.raises(InvalidConfig, match="cannot mount tmpfs at /t: the kernel refuses mpol=bind:1023"):
        await bench.launcher.start(bench.start_request("true", mounts=[bench.tmpfs("/t", mpol="bind:1023")]))


async def test_it_bounds_what_is_in_it(bench: Bench) -> None:
    fill = "head -c 2000000 /dev/zero > /t/x; stat -c %s /t/x; for i in 1 2 3; do touch /t/$i; done; ls /t"
    done = await bench.run_shell(fill, mounts=[bench.tmpfs("/t", size="1m", nr_inodes="3")])
    assert done.lines == ["1048576", "1", "x"]


async def test_it_is_new_at_each_start_and_looks_the_same(bench: Bench) -> None:
    """Its place, which was missing before the first start, is there at the second."""
    (bench.layers / "base/kept").mkdir(mode=0o750)
    mounts = [bench.tmpfs("/t"), bench.tmpfs("/kept"), bench.tmpfs("/own", mode="1700")]
    for _ in range(2):
        script = "stat -c %a /t /kept /own; ls -A /t; touch /t/x /kept/x; ls -A /kept"
        done = await bench.run_shell(script, mounts=mounts)
        assert done.lines == ["1777", "750", "1700", "x"]
    upper = bench.root / "containers/c0/upper"
    assert sorted(path.name for path in upper.rglob("x")) == []
    assert [stat.S_IMODE(os.stat(upper / name).st_mode) for name in ("t", "own")] == [0o1777, 0o1700]


async def test_nobody_else_has_it(bench: Bench) -> None:
    before = mount_table(), mount_table(bench.launcher.facts["pid"])
    first = await bench.start_sleeper("c0", mounts=[bench.tmpfs("/t")])
    second = await bench.start_sleeper("c1", mounts=[bench.tmpfs("/t")])
    assert (await bench.exec("touch", "/t/x", container="c0")).code == 0
    assert (await bench.exec("ls", "/t", container="c0")).out == "x\n"
    assert (await bench.exec("ls", "/t", container="c1")).out == ""
    assert (mount_table(), mount_table(bench.launcher.facts["pid"])) == before
    await bench.end(first, "c0")
    await bench.end(second, "c1")


@pytest.mark.parametrize("flags", [(), ("noexec",), ("nosuid", "nodev", "noexec")])
def test_devices_are_left_out_where_all_mounts_have_none(tmp_path: Path, flags: tuple[str, ...]) -> None:
    place = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    for nodev in (False, True):
        tmpfs: TmpfsRequest = {"flags": list(flags), "options": []}
        (held,) = _mounts.hold([{"source": "", "target": "/t", "read_only": False, "tmpfs": tmpfs}], nodev=nodev)
        assert held.tmpfs is not None
        _mounts.make_tmpfs(held, held.tmpfs, place)
        found = os.statvfs(held.fd).f_flag
        assert bool(found & os.ST_NODEV) == (nodev or "nodev" in flags)
        assert bool(found & os.ST_NOEXEC) == ("noexec" in flags)
        os.close(held.fd)
    os.close(place)
