"""What a container sees, has and may do: namespaces, mounts, rights, limits."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path

import pytest

from tests.runtime.launcher.harness import (
    DOCKER_CAPABILITIES,
    PASSWD,
    Bench,
    communicate,
    open_bench,
    prepare,
    read_until,
)

pytestmark = pytest.mark.root


@pytest.fixture(params=[False, True], ids=["plain", "stepwise"])
def stepwise(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


NAMESPACES = ("pid", "mnt", "net", "ipc", "uts", "cgroup")
NET_ADMIN = 12
TINI = "/usr/bin/tini-static"


async def test_namespaces_are_its_own(bench: Bench) -> None:
    done = await bench.run_shell(f"for n in {' '.join(NAMESPACES)}; do readlink /proc/self/ns/$n; done; echo pid $$")
    *found, pid = done.lines
    assert pid == "pid 1"
    assert len(found) == len(NAMESPACES)
    for name, link in zip(NAMESPACES, found, strict=True):
        assert link.startswith(name)
        assert link != os.readlink(f"/proc/self/ns/{name}")


async def test_host_network_is_shared_only_if_asked_for(bench: Bench) -> None:
    done = await bench.run_shell("readlink /proc/self/ns/net; readlink /proc/self/ns/uts", host_network=True)
    assert done.lines[0] == os.readlink("/proc/self/ns/net")
    assert done.lines[1] != os.readlink("/proc/self/ns/uts")


async def test_the_hosts_name_is_shared_only_if_asked_for(bench: Bench) -> None:
    look = "readlink /proc/self/ns/uts; hostname; echo $HOSTNAME; hostname other"
    done = await bench.run_shell(look, host_uts=True)
    assert done.lines == [os.readlink("/proc/self/ns/uts"), os.uname().nodename, "boat"]
    assert "not permitted" in done.err
    done = await bench.run_shell("readlink /proc/self/ns/uts; hostname")
    assert done.lines[0] != os.readlink("/proc/self/ns/uts")
    assert done.lines[1] == "boat"


async def test_an_exec_has_the_hosts_name_where_the_container_has(bench: Bench) -> None:
    sleeper = await bench.start_sleeper(host_uts=True)
    assert (await bench.exec("hostname")).out == f"{os.uname().nodename}\n"
    await bench.end(sleeper)


async def test_loopback_is_up(bench: Bench) -> None:
    done = await bench.run_shell("ifconfig lo; cat /proc/net/dev")
    assert "inet addr:127.0.0.1" in done.out
    assert "UP LOOPBACK RUNNING" in done.out
    assert "eth" not in done.out


async def test_the_host_is_out_of_sight(bench: Bench) -> None:
    """The root is pivoted to, the old one gone: nothing of the host's mount table is left."""
    done = await bench.run_shell("ls /; cat /proc/self/mountinfo")
    assert str(bench.root) not in done.out.partition("lowerdir")[0]
    names = {line.split()[4] for line in done.lines if " - " in line}
    assert "/" in names
    assert all(name == "/" or name.startswith(("/proc", "/sys", "/dev")) for name in names)
    assert {"bin", "etc", "proc"} <= set(done.lines)


async def test_the_host_sees_no_mount(bench: Bench) -> None:
    before = _mount_table()
    sleeper = await bench.start_sleeper(mounts=[bench.volume("/data")])
    assert _mount_table() == before
    await bench.end(sleeper)


def _mount_table() -> str:
    return Path("/proc/self/mountinfo").read_text()


async def test_no_descriptor_is_inherited(bench: Bench) -> None:
    """Only the three standard ones; the fourth is that of the directory being listed."""
    done = await bench.run_shell("exec ls /proc/self/fd")
    assert done.out.split() == ["0", "1", "2", "3"]
    await bench.start_sleeper("c1")
    joined = await bench.exec("ls", "/proc/self/fd", container="c1")
    assert joined.out.split() == ["0", "1", "2", "3"]


async def test_signals_have_their_default_actions(bench: Bench) -> None:
    done = await bench.run(bench.start_request("grep", "Sig[BI]", "/proc/self/status"))
    assert [line.split()[1] for line in done.lines] == ["0" * 16] * 2


async def test_masked_paths_hold_nothing(bench: Bench) -> None:
    done = await bench.run_shell(
        "ls /proc/acpi /sys/firmware | grep -v :; cat /proc/keys /proc/timer_list /proc/kcore | wc -c"
    )
    assert [line for line in done.lines if line.strip()] == ["0"]


async def test_kernel_settings_cannot_be_written(bench: Bench) -> None:
    done = await bench.run_shell(
        "echo 1 > /proc/sys/vm/swappiness; echo x > /proc/sys/kernel/hostname; mkdir /sys/fs/cgroup/x"
    )
    assert done.err.count("Read-only file system") == 3


async def test_kernel_file_systems_cannot_be_executed_from(bench: Bench) -> None:
    done = await bench.run_shell("grep -E ' /(proc|sys|dev/shm|dev/mqueue) ' /proc/mounts")
    assert len(done.lines) == 4
    assert all("nosuid,nodev,noexec" in line for line in done.lines)


async def test_devices(bench: Bench) -> None:
    script = (
        "ls /dev; echo x > /dev/null; for n in zero urandom; do head -c 3 /dev/$n | wc -c; done; stat -c %a /dev/shm"
    )
    done = await bench.run_shell(script)
    *names, zeros, noise, shm = done.lines
    assert (zeros, noise, shm) == ("3", "3", "1777")
    assert set(names) == {
        "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom",
        "zero",
    }  # fmt: skip


async def test_a_volume_at_one_of_their_places_takes_it(bench: Bench) -> None:
    mounts = [bench.volume("/dev/shm", name="shm"), bench.volume("/dev/mqueue", name="queue")]
    done = await bench.run_shell("grep -E ' /dev/(shm|mqueue) ' /proc/mounts | cut -d' ' -f1,2", mounts=mounts)
    assert len(done.lines) == 2
    assert not {"shm /dev/shm", "mqueue /dev/mqueue"} & set(done.lines)


async def test_a_device_node_of_ones_own_opens_nothing(bench: Bench) -> None:
    """CAP_MKNOD is among the default rights; what it makes is guarded by the cgroup's device program."""
    assert bench.launcher.facts["devices"]
    nodes = {"tun": "c 10 200", "loop": "b 7 0", "console": "c 4 64", "zero": "c 1 5"}
    opens = "for n in /tmp/*; do (: < $n) && echo $n opens; done"
    done = await bench.run_shell("; ".join([f"mknod /tmp/{name} {node}" for name, node in nodes.items()] + [opens]))
    assert done.lines == ["/tmp/zero opens"]
    assert done.err.count("Operation not permitted") == 3


async def test_capabilities_are_those_asked_for(bench: Bench) -> None:
    wanted = DOCKER_CAPABILITIES & ~(1 << NET_ADMIN)
    done = await bench.run(bench.start_request("grep", "^Cap", "/proc/self/status", capabilities=wanted))
    found = {line.split(":")[0]: int(line.split()[1], 16) for line in done.lines}
    assert found == {"CapInh": 0, "CapPrm": wanted, "CapEff": wanted, "CapBnd": wanted, "CapAmb": 0}


async def test_another_user_holds_no_capability(bench: Bench) -> None:
    done = await bench.run(bench.start_request("grep", "^Cap", "/proc/self/status", user="ann"))
    found = {line.split(":")[0]: int(line.split()[1], 16) for line in done.lines}
    assert found == {"CapInh": 0, "CapPrm": 0, "CapEff": 0, "CapBnd": DOCKER_CAPABILITIES, "CapAmb": 0}


@pytest.mark.parametrize("asked", [False, True])
async def test_no_new_privileges(bench: Bench, asked: bool) -> None:
    request = bench.start_request("grep", "NoNewPrivs", "/proc/self/status", no_new_privileges=asked)
    assert (await bench.run(request)).out.split() == ["NoNewPrivs:", str(int(asked))]


@pytest.mark.parametrize("no_new_privileges", [False, True])
async def test_seccomp(bench: Bench, no_new_privileges: bool) -> None:
    """A filter handed over once, that lets everything pass but ``mkdir``: EPERM."""
    await bench.launcher.seccomp("no-mkdir", _refuse_mkdir())
    assert bench.launcher.facts["seccomp"] == ["no-mkdir"]
    script = "grep ^Seccomp: /proc/self/status; mkdir /x"
    done = await bench.run_shell(script, seccomp="no-mkdir", no_new_privileges=no_new_privileges)
    assert done.out.split() == ["Seccomp:", "2"]
    assert "Operation not permitted" in done.err
    sleeper = await bench.start_sleeper()
    joined = await bench.exec("mkdir", "/x", seccomp="no-mkdir", no_new_privileges=no_new_privileges)
    assert "Operation not permitted" in joined.err
    await bench.end(sleeper)


def _refuse_mkdir() -> bytes:
    import struct

    mkdir = {"x86_64": 83}.get(os.uname().machine, 34)
    load, jump, give = 0x20, 0x15, 0x06
    rows = [(load, 0, 0, 0), (jump, 0, 1, mkdir), (give, 0, 0, 0x00050001), (give, 0, 0, 0x7FFF0000)]
    return b"".join(struct.pack("=HBBI", *row) for row in rows)


@pytest.mark.parametrize(
    ("user", "groups", "expected"),
    [
        ("", [], "uid=0(root) gid=0(root) groups=0(root),10(wheel)"),
        ("ann", [], "uid=1000(ann) gid=1001(ann) groups=10(wheel),1001(ann)"),
        ("1000", [], "uid=1000(ann) gid=1001(ann) groups=10(wheel),1001(ann)"),
        ("ann:audio", [], "uid=1000(ann) gid=63(audio) groups=63(audio)"),
        ("4242", [], "uid=4242 gid=0(root) groups=0(root)"),
        ("4242:4343", ["audio", "77"], "uid=4242 gid=4343 groups=4343,63(audio),77"),
    ],
)
async def test_users(bench: Bench, user: str, groups: list[str], expected: str) -> None:
    done = await bench.run(bench.start_request("id", user=user, groups=groups))
    own, _, joined = done.out.strip().rpartition("=")
    assert f"{own}={','.join(sorted(joined.split(',')))}" == expected


async def test_environment(bench: Bench) -> None:
    done = await bench.run(bench.start_request("env", env=["A=1", "B=x=y", "EMPTY="], user="ann"))
    assert sorted(done.lines) == [
        "A=1",
        "B=x=y",
        "EMPTY=",
        "HOME=/home/ann",
        "HOSTNAME=boat",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ]


async def test_hostname(bench: Bench) -> None:
    assert (await bench.run(bench.start_request("hostname"))).out == "boat\n"


async def test_working_directory_is_made(bench: Bench) -> None:
    done = await bench.run_shell("pwd; stat -c %u:%a .", cwd="/new/deep/place")
    assert done.lines == ["/new/deep/place", "0:755"]


async def test_rlimits_are_cut_to_what_there_is(bench: Bench) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = [(resource.RLIMIT_NOFILE, 77, 88), (resource.RLIMIT_CORE, 0, 0), (resource.RLIMIT_FSIZE, -1, -1)]
    done = await bench.run_shell("ulimit -n; ulimit -Hn; ulimit -c; ulimit -f", rlimits=limits)
    assert done.lines == ["77", "88", "0", "unlimited"]
    above = await bench.run_shell("ulimit -Hn", rlimits=[(resource.RLIMIT_NOFILE, most + 1, most + 1)])
    assert above.lines == [str(most)]


async def test_nobody_has_the_rlimits_of_another(bench: Bench) -> None:
    for soft, core in ((64, 0), (65, 0), (64, 512), (64, 0)):
        limits = [(resource.RLIMIT_NOFILE, soft, 90), (resource.RLIMIT_CORE, core, 512 << 10)]
        done = await bench.run_shell("ulimit -n; grep core /proc/self/limits", rlimits=limits)
        assert done.out.split()[0] == str(soft)
        assert done.out.split()[5:7] == [str(core), str(512 << 10)]


async def test_open_files_are_not_those_of_the_launcher(bench: Bench) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert (await bench.run_shell("ulimit -n; ulimit -Hn")).lines == [str(soft), str(hard)]


async def test_oom_score(bench: Bench) -> None:
    done = await bench.run(bench.start_request("cat", "/proc/self/oom_score_adj", oom_score_adj=321))
    assert done.out == "321\n"


async def test_read_only_root_with_a_volume_to_write_to(bench: Bench) -> None:
    script = "touch /x; touch /data/x; touch /dev/shm/x"
    done = await bench.run_shell(script, read_only=True, mounts=[bench.volume("/data")])
    assert done.err == "touch: /x: Read-only file system\n"
    assert (bench.root / "volumes/v0/x").exists()


async def test_volumes(bench: Bench) -> None:
    """Nested, read-only, at places that the image lacks; each is a mount of its own."""
    mounts = [
        bench.volume("/n"),
        bench.volume("/n/m", name="v1"),
        bench.volume("/far/away", name="v2", read_only=True),
    ]
    done = await bench.run_shell(
        "echo 1 >/n/x; echo 2 >/n/m/x; echo 3 >/far/away/x; grep -cE ' /(n|far)' /proc/mounts", mounts=mounts
    )
    assert done.out == "3\n"
    assert "Read-only file system" in done.err
    assert (bench.root / "volumes/v0/x").read_text() == "1\n"
    assert (bench.root / "volumes/v1/x").read_text() == "2\n"
    assert os.listdir(bench.root / "volumes/v2") == []


async def test_what_the_host_mounts_later_does_not_appear(tmp_path: Path) -> None:
    """Even where the volume lies on a mount that the host shares with others."""
    root = prepare(tmp_path / "root")
    (root / "volumes/v0/below").mkdir(parents=True)
    _mount("--bind", str(root / "volumes"), str(root / "volumes"))
    _mount("--make-shared", str(root / "volumes"))
    try:
        async with open_bench(root) as bench:
            request = bench.start_request("sh", "-c", LATER, mounts=[bench.volume("/data")], stdin=True)
            launched = await bench.launcher.start(request)
            _mount("-t", "tmpfs", "x", str(root / "volumes/v0/below"))
            assert (await communicate(launched)).out == "1\n"
            await bench.launcher.cleanup("c0")
    finally:
        _unmount(str(root / "volumes"))


LATER = "read x; grep -c /data /proc/mounts"


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def _unmount(path: str) -> None:
    subprocess.run(["umount", "-R", path], check=True)


async def test_files(bench: Bench) -> None:
    (bench.root / "hosts").write_text("127.0.0.1 localhost\n")
    request = bench.start_request("cat", "/etc/hosts", "/etc/passwd")
    request["root"]["files"] = [{"source": "hosts", "target": "/etc/hosts", "read_only": False}]
    assert (await bench.run(request)).out == "127.0.0.1 localhost\n" + PASSWD


async def test_what_is_written_stays_in_the_writable_layer(bench: Bench) -> None:
    await bench.run_shell("echo one > /kept")
    assert (bench.root / "containers/c0/upper/kept").read_text() == "one\n"
    assert not (bench.layers / "base/kept").exists()
    assert (await bench.run_shell("cat /kept")).out == "one\n"


async def test_a_volatile_root_starts_again(bench: Bench) -> None:
    """Overlay marks the writable layer of such a mount and refuses the next one, unless the mark is removed."""
    for _ in range(2):
        assert (await bench.run_shell("echo x >> /x; cat /x | wc -l", volatile=True)).code == 0
    assert (bench.root / "containers/c0/upper/x").read_text() == "x\nx\n"


async def test_several_layers(bench: Bench) -> None:
    for name, text in (("one", "1"), ("two", "2")):
        (bench.layers / name).mkdir()
        (bench.layers / name / "which").write_text(text)
    request = bench.start_request("cat", "/which")
    request["root"]["layers"] = ["base", "one", "two"]
    assert (await bench.run(request)).out == "2"


async def test_a_terminal(bench: Bench) -> None:
    script = "tty; stty size; echo $TERM; test -c /dev/console && echo console; read x; echo got $x"
    launched = await bench.launcher.start(bench.start_request("sh", "-c", script, tty=True, rows=40, columns=99))
    assert launched.stdin is launched.stdout is launched.stderr is None
    seen = await read_until(launched.terminal, b"console")
    assert seen.decode().split() == ["/dev/pts/0", "40", "99", "xterm", "console"]
    assert launched.terminal is not None
    await launched.terminal.send_all(b"word\n")
    assert b"got word" in await read_until(launched.terminal, b"got word")
    assert (await launched.wait())["code"] == 0
    await launched.aclose()
    await bench.launcher.cleanup("c0")


async def test_a_terminal_of_an_exec(bench: Bench) -> None:
    sleeper = await bench.start_sleeper()
    joined = await bench.launcher.exec(bench.exec_request("sh", "-c", "tty; stty size", tty=True, rows=30, columns=70))
    assert (await read_until(joined.terminal, b"70")).split() == [b"/dev/pts/0", b"30", b"70"]
    await joined.wait()
    await joined.aclose()
    await bench.end(sleeper)


async def test_standard_input(bench: Bench) -> None:
    request = bench.start_request("wc", "-c", stdin=True)
    assert (await bench.run(request, b"x" * 300_000)).out == "300000\n"


@pytest.mark.skipif(not os.path.exists(TINI), reason="tini-static is not installed (Debian package tini)")
async def test_init_reaps_for_the_command(bench: Bench) -> None:
    done = await bench.run_shell("echo $$; cat /proc/1/comm", init=TINI)
    assert done.lines[0] != "1"
    assert done.lines[1] == "docker-init"


async def test_a_privileged_container(bench: Bench) -> None:
    request = bench.start_request(
        "sh",
        "-c",
        "mount -t tmpfs x /tmp && echo mounted; cd /sys/fs/cgroup && mkdir sub && echo grouped",
        privileged=True,
        capabilities=bench.launcher.facts["capabilities"],
    )
    assert (await bench.run(request)).lines == ["mounted", "grouped"]
