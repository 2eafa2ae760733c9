"""The fast way to set a container up: who gets it, that it makes no difference, and what is left when it fails."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from bireme_actors import BiremeError, CommandNotExecutable, CommandNotFound, Conflict, InvalidConfig
from tests.runtime.launcher.harness import DOCKER_CAPABILITIES, Bench, Finished, communicate, open_bench

pytestmark = pytest.mark.root

LOOK = """
cat /proc/self/mountinfo | cut -d' ' -f5-10 | sed -e s/lowerdir=.*// | sort
cat /proc/self/status | grep -E '^(Cap|Uid|Gid|Groups|Seccomp|NoNewPrivs|Umask|SigBlk|SigIgn|SigCgt|FDSize)'
cat /proc/self/limits
cd /dev; stat -c '%n %a %u %g %F %t %T' * ; cd - >/dev/null
ls /proc/$$/fd; readlink /proc/$$/fd/0 | cut -d: -f1
stat -c '%n %a %u %g %F' / /dev /proc /sys /data /work
env | sort; pwd; id; hostname; umask
ifconfig lo | grep -E 'UP|inet '
cat /proc/1/cgroup
cat /proc/self/stat | cut -d' ' -f4-8
"""


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"user": "ann"},
        {"user": "1234:audio", "groups": ["wheel"]},
        {"cwd": "/data"},
        {"read_only": True},
        {"no_new_privileges": True},
        {"rlimits": [(7, 100, 200), (4, 0, -1)]},
        {"env": ["A=b", "PATH=/bin", "HOME=/x", "EMPTY="]},
        {"capabilities": 0},
        {"capabilities": DOCKER_CAPABILITIES | 1 << 21},
        {"host_network": True},
        {"host_uts": True},
        {"limits": (64 << 20, 0, 50)},
        {"stdin": True},
        {"volatile": True},
    ],
    ids=lambda options: ",".join(options) or "defaults",
)
async def test_a_container_cannot_tell_the_difference(tmp_path: Path, options: dict[str, object]) -> None:
    seen = []
    for stepwise in (False, True):
        async with open_bench(tmp_path / str(stepwise), stepwise=stepwise) as bench:
            (bench.layers / "base/work").mkdir()
            mounts = [bench.volume("/data"), bench.volume("/new/place", name="v1", read_only=True)]
            request = bench.start_request("sh", "-c", LOOK, mounts=mounts, **options)  # type: ignore[arg-type]  # by name
            launched = await bench.launcher.start(request)
            assert launched.plain is not stepwise
            done = await communicate(launched)
            await bench.launcher.cleanup("c0")
            assert done.err == ""
            seen.append(done.lines)
    assert seen[0] == seen[1]
    assert any("/new/place" in line for line in seen[0])


IN_MEMORY: dict[str, tuple[tuple[str, ...], dict[str, str | None]]] = {
    "defaults": ((), {}),
    "read-only": (("ro",), {"size": "1m", "nr_inodes": "7"}),
    "owned": ((), {"mode": "750", "uid": "1000", "gid": "5"}),
    "times": (("noatime", "nodiratime"), {"sync": None, "dirsync": None}),
    "strict": (("strictatime",), {"nr_blocks": "5", "mpol": "interleave"}),
}
STATE = """
cat /proc/self/mountinfo | cut -d' ' -f4-20 | sed -e s/lowerdir=.*// | sort
stat -c '%n %a %u %g' /t /tmp /kept
"""


@pytest.mark.parametrize("case", IN_MEMORY)
async def test_nor_that_of_what_is_in_memory(tmp_path: Path, case: str) -> None:
    flags, options = IN_MEMORY[case]
    seen = []
    for stepwise in (False, True):
        async with open_bench(tmp_path / str(stepwise), stepwise=stepwise) as bench:
            (bench.layers / "base/kept").mkdir(0o710)
            os.chown(bench.layers / "base/kept", 5, 6)
            mounts = [bench.tmpfs(path, *flags, **options) for path in ("/t", "/tmp", "/kept")]
            mounts.insert(1, bench.volume("/data"))
            launched = await bench.launcher.start(bench.start_request("sh", "-c", STATE, mounts=mounts))
            assert launched.plain is not stepwise
            done = await communicate(launched)
            assert done.err == ""
            seen.append([line for line in done.lines if "/volumes/" not in line])
            await bench.launcher.cleanup("c0")
    assert seen[0] == seen[1]
    owner, mode = f"{options.get('uid', 0)} {options.get('gid', 0)}", options.get("mode")
    assert seen[0][-3:] == [f"/t {mode or 1777} {owner}", f"/tmp {mode or 755} {owner}", f"/kept {mode or 710} {owner}"]


@pytest.mark.parametrize(
    ("target", "plain"),
    [
        ("/data", True),
        ("/deep/er/than/that", True),
        ("/dev/shm", False),
        ("/dev/mine", False),
        ("/etc", False),
        ("/data/inner", False),
        ("/link/inner", False),
    ],
)
async def test_volumes_inside_something_else_that_is_mounted(bench: Bench, target: str, plain: bool) -> None:
    (bench.layers / "base/link").symlink_to("/data")
    mounts = [bench.volume("/data"), bench.volume(target, name="v1")] if target != "/data" else [bench.volume("/data")]
    launched = await bench.launcher.start(bench.start_request("touch", f"{target}/x", mounts=mounts))
    assert launched.plain is plain
    done = await communicate(launched)
    await bench.launcher.cleanup("c0")
    assert (done.code, done.err) == (0, "")
    assert (bench.root / "volumes" / ("v0" if target == "/data" else "v1") / "x").exists()


async def test_users_are_those_of_a_volume_that_lies_over_them(bench: Bench) -> None:
    """The image's ``/etc`` is a link into a volume, so that only the whole view tells who is who."""
    etc = bench.layers / "base/etc"
    etc.rename(bench.layers / "base/real")
    etc.symlink_to("/data/etc")
    volume = bench.volume("/data")
    (bench.root / "volumes/v0/etc").mkdir()
    (bench.root / "volumes/v0/etc/passwd").write_text("eve:x:4242:4343::/:/bin/sh\n")
    done = await bench.run(bench.start_request("id", "-u", user="eve", mounts=[volume]))
    assert (done.out, done.err) == ("4242\n", "")


async def test_a_terminal_and_special_rights_are_set_up_step_by_step(bench: Bench) -> None:
    for options in ({"tty": True}, {"privileged": True}, {"oom_score_adj": 100}):
        launched = await bench.launcher.start(bench.start_request("true", **options))
        assert not launched.plain
        await launched.wait()
        await launched.aclose()
        await bench.launcher.cleanup("c0")


@pytest.mark.parametrize(
    ("arguments", "cwd", "kind"),
    [
        (("nothing",), "/", CommandNotFound),
        (("/bin/nothing",), "/", CommandNotFound),
        (("/etc/passwd",), "/", CommandNotExecutable),
        (("true",), "/etc/passwd", InvalidConfig),
    ],
)
async def test_what_fails_fails_as_ever_and_leaves_nothing(
    bench: Bench, arguments: tuple[str, ...], cwd: str, kind: type[Exception]
) -> None:
    await bench.run(bench.start_request("true"))
    pid = bench.launcher.facts["pid"]
    before = sorted(os.listdir(f"/proc/{pid}/fd"))
    for _ in range(3):
        with pytest.raises(kind):
            await bench.launcher.start(bench.start_request(*arguments, cwd=cwd, mounts=[bench.volume("/data")]))
    assert sorted(os.listdir(f"/proc/{pid}/fd")) == before
    assert children(pid) == ""
    assert bench.groups() == []


def children(pid: int) -> str:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text()


async def test_the_working_directory_is_made_where_it_is_missing(bench: Bench) -> None:
    first = await bench.run(bench.start_request("pwd", cwd="/not/there/yet", mounts=[bench.volume("/data")]))
    assert (first.out, first.err) == ("/not/there/yet\n", "")


async def test_too_many_places_to_look_for_the_command(bench: Bench) -> None:
    path = "PATH=" + ":".join(["/x"] * 600) + ":/bin"
    done = await bench.run(bench.start_request("true", env=[path]))
    assert done.code == 0


async def test_a_memory_bound_that_is_too_tight_ends_the_container_alone(bench: Bench) -> None:
    done = await bench.run_shell("x=$(head -c 50000000 /dev/zero | tr '\\0' x); echo $x", limits=(6 << 20, 0, 0))
    assert done.code != 0
    assert (await bench.run(bench.start_request("true"))).code == 0


async def test_many_at_once_of_which_some_fail(bench: Bench) -> None:
    """Those that fail are set up again, step by step, in the middle of the others."""
    commands = {"ok": ("hostname",), "no": ("nothing",), "where": ("pwd",)}
    outcomes: dict[str, Finished | type[BiremeError]] = {}

    async def run(container: str, kind: str) -> None:
        cwd = "/not/there/yet" if kind == "where" else "/"
        try:
            outcomes[container] = await bench.run(bench.start_request(*commands[kind], container=container, cwd=cwd))
        except BiremeError as error:
            outcomes[container] = type(error)

    descriptors = sorted(os.listdir(f"/proc/{bench.launcher.facts['pid']}/fd"))
    async with trio.open_nursery() as nursery:
        for number in range(30):
            kind = list(commands)[number % 3]
            nursery.start_soon(run, f"{kind}{number}", kind)
    for container, outcome in outcomes.items():
        if container.startswith("no"):
            assert outcome is CommandNotFound
        else:
            assert isinstance(outcome, Finished)
            assert (outcome.out, outcome.err) == ("boat\n" if container[0] == "o" else "/not/there/yet\n", "")
    assert sorted(os.listdir(f"/proc/{bench.launcher.facts['pid']}/fd")) == descriptors
    assert bench.groups() == []


@contextlib.contextmanager
def born_frozen(bench: Bench) -> Iterator[None]:
    """Containers come no further than their birth."""
    top = bench.cgroup()
    assert top is not None
    freezer = top / "confined" / "cgroup.freeze"
    freezer.write_text("1")
    try:
        yield
    finally:
        freezer.write_text("0")


async def test_one_that_hangs_in_its_set_up_holds_up_nobody(bench: Bench) -> None:
    running = await bench.start_sleeper("runs")
    with born_frozen(bench):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.launcher.start, bench.start_request("true", container="hangs"))
            while len(bench.groups()) < 2:
                await trio.lowlevel.checkpoint()
            with pytest.raises(Conflict):
                await bench.launcher.start(bench.start_request("true", container="runs"))
            nursery.cancel_scope.cancel()
        assert [name.partition(".")[0] for name in bench.groups()] == ["runs"]
        assert bench.launcher.statistics() == {"asks": 0, "processes": 1}
    await bench.end(running, "runs")


async def test_those_that_hang_and_those_that_wait_for_their_turn_can_be_given_up(bench: Bench) -> None:
    most = len(os.sched_getaffinity(0)) + 1
    with born_frozen(bench):
        async with trio.open_nursery() as nursery:
            for number in range(most + 30):
                request = bench.start_request("true", container=f"hangs{number}")
                nursery.start_soon(bench.launcher.start, request)
            while len(bench.groups()) <= most:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert bench.groups() == []
        assert bench.launcher.statistics() == {"asks": 0, "processes": 0}
    assert (await bench.run(bench.start_request("true"))).code == 0


async def test_an_image_is_asked_for_its_users_once_but_a_container_for_its_own(bench: Bench) -> None:
    for _ in range(2):
        done = await bench.run(bench.start_request("id", user="ann"))
        assert done.out.startswith("uid=1000(ann) gid=1001(ann)")
    etc = bench.root / "containers/c0/upper/etc"
    etc.mkdir()
    (etc / "passwd").write_text("ann:x:2000:2001:Ann:/:/bin/sh\n")
    assert (await bench.run(bench.start_request("id", "-u", user="ann"))).out == "2000\n"
    other = await bench.run(bench.start_request("id", "-u", container="c1", user="ann"))
    assert other.out == "1000\n"
