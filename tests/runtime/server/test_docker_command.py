"""The real docker command as a client: what people type, and what they see."""

from __future__ import annotations

import hashlib
import json
import os
import select
import subprocess
import tarfile
import termios
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.runtime.server.served import PATIENCE, Docker, Engine

pytestmark = pytest.mark.root


def test_version_and_info(docker: Docker) -> None:
    assert docker.ok("version", "--format", "{{.Server.APIVersion}}") == "1.49"
    info = json.loads(docker.ok("info", "--format", "json"))
    assert info["EnginePid"] if "EnginePid" in info else info["DockerRootDir"]


def test_run_tells_both_streams_apart_and_the_exit_status(docker: Docker) -> None:
    done = docker("run", "--rm", "-v", "/data", "busybox", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.status, done.out, done.err) == (3, b"out\n", "err\n")


@pytest.mark.parametrize(
    ("words", "status", "reason"),
    [
        (("busybox", "nosuchcmd"), 127, "executable file not found in $PATH"),
        (("busybox", "/etc/passwd"), 126, "permission denied"),
        (("--pull", "never", "nosuchimage"), 125, "No such image: nosuchimage:latest"),
        (("127.0.0.1:1/nosuchimage",), 125, "dial tcp 127.0.0.1:1: connect: connection refused"),
        (("-v", "name:/p", "busybox"), 125, "data-volume specification"),
        (("-v", "/h:/p", "busybox"), 125, "data-volume specification"),
        (("--tmpfs", "/t:nosuch", "busybox"), 125, "invalid tmpfs option 'nosuch' for /t"),
        (("--tmpfs", "rel", "busybox"), 125, "invalid tmpfs path 'rel'"),
        (("--mount", "type=tmpfs,target=/", "busybox"), 125, "invalid tmpfs path '/'"),
        (("--network", "mine", "busybox"), 125, "network mine not found"),
        (("--volumes-from", "nosuch", "busybox"), 125, "No such container: nosuch"),
    ],
)
def test_what_does_not_run(docker: Docker, words: tuple[str, ...], status: int, reason: str) -> None:
    before = docker.ok("ps", "-aq")
    done = docker("run", "--rm", *words)
    assert done.status == status
    assert reason in done.err
    assert docker.ok("ps", "-aq") == before


def test_what_is_in_memory(docker: Docker) -> None:
    mount = "type=tmpfs,destination=/m,tmpfs-size=64m,tmpfs-mode=1770,readonly"
    flags = ("-v", "/t", "-v", "/v", "--tmpfs", "/t:size=1m,exec", "--mount", mount)
    container = docker.ok("run", "-d", *flags, "busybox", "sleep", "60")
    try:
        host, mounts = (json.loads(docker.ok("inspect", "-f", f"{{{{json .{key}}}}}", container)) for key in KEYS)
        assert host["Tmpfs"] == {"/t": "size=1m,exec"}
        options = {"SizeBytes": 64 << 20, "Mode": 0o1770}
        assert host["Mounts"] == [{"Type": "tmpfs", "Target": "/m", "ReadOnly": True, "TmpfsOptions": options}]
        assert [mount["Destination"] for mount in mounts] == ["/v", "/m"]
        assert mounts[1] == {
            "Type": "tmpfs", "Source": "", "Destination": "/m", "Mode": "", "RW": False, "Propagation": ""
        }  # fmt: skip
        assert docker.ok("ps", "-q", "--no-trunc", "--filter", "volume=/m") == container
        assert docker.ok("ps", "-q", "--filter", "volume=/t") == ""
        assert docker.ok("ps", "--format", "{{.LocalVolumes}}", "--filter", "volume=/m") == "1"
        found = docker.ok("exec", container, "sh", "-c", "stat -c %a /m; df -k /t /m | awk 'NR > 1 {print $2}'")
        assert found.split() == ["1770", "1024", "65536"]
    finally:
        docker.ok("rm", "-fv", container)


KEYS = ("HostConfig", "Mounts")


def test_a_session(docker: Docker, tmp_path: Path) -> None:
    """The life of two containers and their volumes, as somebody would type it."""
    script = ("busybox", "sh", "-c", "echo hi > /a/x; exit 4")
    first = docker.ok("run", "-d", "--name", "w1", "-v", "/a", "-v", "/b", *script)
    assert docker.ok("wait", "w1") == "4"
    assert docker.ok("run", "--rm", "--volumes-from", "w1", "busybox", "cat", "/a/x") == "hi"
    assert docker.ok("ps", "-aq", "--no-trunc", "--filter", "name=^/w1$") == first
    assert docker.ok("ps", "-a", "--filter", "name=w1", "--format", "{{.Status}}").startswith("Exited (4) ")
    mounts = json.loads(docker.ok("inspect", "-f", "{{json .Mounts}}", "w1"))
    assert sorted(mount["Destination"] for mount in mounts) == ["/a", "/b"]
    assert (Path(mounts[0]["Source"]).parent.name, mounts[0]["RW"]) == ("volumes", True)
    docker.ok("create", "--name", "w2", "busybox", "sh", "-c", "echo created")
    assert docker.ok("ps", "-a", "--filter", "name=w2", "--format", "{{.Status}}") == "Created"
    assert docker.ok("start", "-a", "w2") == "created"
    assert docker.ok("start", "w2") == "w2"
    docker.ok("wait", "w2")
    assert docker.ok("logs", "w2") == "created\ncreated"
    assert docker.ok("logs", "--tail", "1", "w2") == "created"
    stamp, word = docker.ok("logs", "-t", "--tail", "1", "w2").split()
    assert (len(stamp), stamp[-1], word) == (30, "Z", "created")
    assert docker.ok("rm", "-v", "w1", "w2") == "w1\nw2"
    assert docker("inspect", "w1").err.strip() == "Error: No such object: w1"
    assert docker.ok("volume", "ls", "-q") == ""


def test_a_container_that_runs(docker: Docker, tmp_path: Path) -> None:
    docker.ok("run", "-d", "--name", "w3", "busybox", "sleep", "1000")
    assert "You cannot remove a running container" in docker("rm", "w3").err
    assert docker.ok("exec", "w3", "echo", "x") == "x"
    assert docker("exec", "-i", "w3", "cat", stdin=b"abc").out == b"abc"
    assert docker("exec", "w3", "sh", "-c", "exit 7").status == 7
    missing = docker("exec", "w3", "nosuchcmd")
    assert (missing.status, "executable file not found in $PATH" in missing.err) == (127, True)
    options = ("-u", "1:2", "-w", "/tmp", "-e", "A=b")
    assert docker.ok("exec", *options, "w3", "sh", "-c", "id -u; pwd; echo $A") == "1\n/tmp\nb"
    docker.ok("exec", "-d", "w3", "sh", "-c", "echo done > /tmp/fifo; sleep 1000")
    assert "sleep 1000" in docker.ok("top", "w3")
    assert docker.ok("stats", "--no-stream", "--format", "{{.Name}}", "w3") == "w3"
    docker.ok("pause", "w3")
    assert docker.ok("ps", "--filter", "name=w3", "--format", "{{.Status}}").endswith("(Paused)")
    assert "is paused" in docker("exec", "w3", "true").err
    assert "cannot start a paused container, try unpause instead" in docker("start", "w3").err
    docker.ok("unpause", "w3")
    docker.ok("cp", "w3:/etc/passwd", str(tmp_path / "pw"))
    docker.ok("cp", str(tmp_path / "pw"), "w3:/tmp/pw2")
    assert docker.ok("exec", "w3", "cmp", "/etc/passwd", "/tmp/pw2") == ""
    assert docker("cp", "w3:/nosuch", str(tmp_path)).status == 1
    assert "A /tmp/pw2" in docker.ok("diff", "w3").splitlines()
    docker.ok("rename", "w3", "w4")
    docker.ok("update", "--restart", "on-failure:2", "w4")
    assert docker.ok("inspect", "-f", "{{.HostConfig.RestartPolicy.MaximumRetryCount}}", "w4") == "2"
    docker.ok("restart", "-t", "0", "w4")
    docker.ok("export", "-o", str(tmp_path / "ex.tar"), "w4")
    with tarfile.open(tmp_path / "ex.tar") as exported:
        assert {"bin/sh", "tmp/pw2"} < {member.name for member in exported}
    docker.ok("stop", "-t", "0", "w4")
    assert docker.ok("inspect", "-f", "{{.State.ExitCode}}", "w4") == "137"
    assert docker("exec", "w4", "true").err.strip().endswith("is not running")
    docker.ok("start", "w4")
    docker.ok("kill", "w4")
    docker.ok("rm", "-f", "w4")


def test_images(docker: Docker, tmp_path: Path) -> None:
    docker.ok("run", "--rm", "busybox", "true")
    docker.ok("tag", "busybox", "busybox:t2")
    assert set(docker.ok("images", "--format", "{{.Repository}}:{{.Tag}}").split()) >= {"busybox:latest", "busybox:t2"}
    assert docker.ok("images", "-q", "--filter", "reference=busybox:t*") == docker.ok("images", "-q", "busybox:t2")
    docker.ok("save", "-o", str(tmp_path / "sv.tar"), "busybox:t2")
    assert docker.ok("rmi", "busybox:t2") == "Untagged: busybox:t2"
    assert docker.ok("load", "-i", str(tmp_path / "sv.tar")) == "Loaded image: busybox:t2"
    assert json.loads(docker.ok("image", "inspect", "busybox:t2"))[0]["RepoTags"] == ["busybox:latest", "busybox:t2"]
    assert docker.ok("history", "-q", "busybox:t2") == docker.ok("images", "-q", "busybox:t2")
    docker.ok("rmi", "busybox:t2")
    layer = tmp_path / "layer.tar"
    with tarfile.open(layer, "w") as tar:
        tar.addfile(tarfile.TarInfo("empty"))
    identifier = docker.ok("import", "--change", "CMD [\"/empty\"]", str(layer), "mine:1")
    assert docker.ok("image", "inspect", "-f", "{{.Id}} {{.Config.Cmd}}", "mine:1") == f"{identifier} [/empty]"
    broken = docker("import", "-", "mine:2", stdin=b"no tar" * 200)
    assert broken.status == 1
    assert "archive is damaged" in broken.err + broken.text
    docker.ok("rmi", "mine:1")
    assert docker("rmi", "nosuch").err.strip().endswith("No such image: nosuch:latest")


def test_volumes_networks_and_the_system(docker: Docker) -> None:
    docker.ok("run", "--name", "v1", "-v", "/d", "busybox", "sh", "-c", "echo x > /d/x")
    volume = docker.ok("volume", "ls", "-q")
    assert docker.ok("volume", "inspect", "-f", "{{.Name}}", volume) == volume
    assert docker("volume", "rm", volume).status == 1
    assert "data-volume specification" in docker("volume", "create", "mine").err
    docker.ok("rm", "v1")
    assert docker.ok("volume", "ls", "-q", "--filter", "dangling=true") == volume
    assert volume in docker.ok("volume", "prune", "-f")
    assert set(docker.ok("network", "ls", "--format", "{{.Name}}").split()) == {"none", "host"}
    assert docker.ok("network", "inspect", "-f", "{{.Driver}}", "none") == "null"
    assert "not supported" in docker("network", "create", "mine").err
    assert "Images" in docker.ok("system", "df")
    docker.ok("run", "--name", "p1", "busybox", "true")
    identifier = docker.ok("ps", "-aq", "--no-trunc", "--filter", "name=p1")
    assert identifier in docker.ok("container", "prune", "-f")
    docker.ok("system", "prune", "-f")
    assert "not supported" in docker("swarm", "init").err


def test_events_as_they_happen(docker: Docker) -> None:
    form = "{{.Action}} {{.Actor.Attributes.name}}"
    watching = docker.start("events", "--filter", "type=container", "--format", form, stdout=subprocess.PIPE)
    assert watching.stdout is not None
    try:
        while not select.select([watching.stdout], [], [], 0)[0]:
            docker.ok("run", "--rm", "busybox", "true")  # until the command has subscribed
        docker.ok("run", "--rm", "--name", "last", "busybox", "true")
        seen: list[str] = []
        while seen[-1:] != ["destroy last"]:
            seen.append(watching.stdout.readline().decode().strip())
        assert [line for line in seen if line.endswith(" last")] == [
            "create last",
            "attach last",
            "start last",
            "die last",
            "destroy last",
        ]
    finally:
        watching.terminate()
        watching.communicate(timeout=PATIENCE)


def test_a_hundred_at_once_miss_neither_a_byte_nor_an_exit(docker: Docker) -> None:
    def one(number: int) -> tuple[int, bytes, str]:
        words = ("run", "--rm", "-v", "/d", "busybox", "sh", "-c", f"echo out {number}; exit {number}")
        done = docker(*words)
        return done.status, done.out, done.err

    with ThreadPoolExecutor(100) as pool:
        found = list(pool.map(one, range(100)))
    assert found == [(number, f"out {number}\n".encode(), "") for number in range(100)]
    assert docker.ok("ps", "-aq") == ""


def test_big_streams_arrive_whole(docker: Docker) -> None:
    data = os.urandom(20 << 20)
    digest = hashlib.sha256(data).hexdigest()
    assert docker("run", "--rm", "-i", "busybox", "sha256sum", stdin=data).text.split()[0] == digest
    assert hashlib.sha256(docker("run", "--rm", "-i", "busybox", "cat", stdin=data).out).hexdigest() == digest


def test_input_that_nobody_reads_is_no_error(docker: Docker) -> None:
    done = docker("run", "--rm", "-i", "busybox", "echo", "done", stdin=bytes(8 << 20))
    assert (done.status, done.out, done.err) == (0, b"done\n", "")


def test_a_terminal_its_size_and_the_keys_that_leave_it(docker: Docker) -> None:
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (33, 77))
    script = "stty size; cat"
    running = docker.start(
        "run", "-it", "--name", "t1", "busybox", "sh", "-c", script, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    try:
        seen = b""
        os.write(ours, b"typed\r")
        while seen.count(b"typed") < 2:
            seen += os.read(ours, 1000)
        assert b"\r\n" in seen
        os.write(ours, b"\x10\x11")
        assert running.wait(PATIENCE) == 0
        assert docker.ok("inspect", "-f", "{{.State.Running}}", "t1") == "true"
    finally:
        os.close(ours)
        running.kill()
        running.wait(PATIENCE)
        docker("rm", "-f", "t1")


def test_clients_that_are_killed_leave_containers_as_they_are(docker: Docker, engine: Engine) -> None:
    docker.ok("run", "-d", "--name", "k1", "busybox", "sh", "-c", "while :; do echo x; sleep 1; done")
    silent = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    clients = [
        docker.start(*line.split(), **silent)
        for line in ("logs -f k1", "wait k1", "attach k1", "stats k1", "exec k1 sleep 99")
    ]
    clients.append(docker.start("exec", "-i", "k1", "cat", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL))
    while "cat" not in docker.ok("top", "k1"):
        pass
    for client in clients:
        client.kill()
        client.wait(PATIENCE)
        if client.stdin is not None:
            client.stdin.close()
    assert docker.ok("inspect", "-f", "{{.State.Running}}", "k1") == "true"
    while "cat" in (processes := docker.ok("top", "k1").split()):
        pass  # its input was its client's, and ends with it
    assert "99" in processes
    docker.ok("rm", "-f", "k1")
