"""The real docker command: a session of its verbs, with every version of it that is installed, and what they print.

``tests/runtime/server/test_docker_command.py`` holds what belongs to single routes; here is what somebody types.
"""

from __future__ import annotations

import io
import json
import os
import re
import select
import shutil
import subprocess
import tarfile
import termios
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.runtime.server.served import PATIENCE, Docker, Engine

pytestmark = [pytest.mark.root, pytest.mark.system, pytest.mark.timeout(180)]

_PLACES = (*os.environ.get("PATH", "").split(os.pathsep), "/usr/bin", "/usr/local/bin")
_FOUND = (shutil.which("docker", path=place) for place in _PLACES)
COMMANDS = tuple(dict.fromkeys(os.path.realpath(found) for found in _FOUND if found))
"""Every docker command there is: Debian's, and a newer one that comes before it."""


class Command(Docker):
    """One docker command among others."""

    def __init__(self, engine: Engine, program: str) -> None:
        super().__init__(engine)
        self._command = program

    def lines(self, *words: str) -> list[str]:
        return self.ok(*words).splitlines()

    @contextmanager
    def terminal(self, *words: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
        """A command on a terminal of 24 rows and 80 columns, and the terminal's other side."""
        ours, theirs = os.openpty()
        termios.tcsetwinsize(theirs, (24, 80))
        running = self.start(*words, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
        os.close(theirs)
        try:
            yield ours, running
        finally:
            os.close(ours)
            running.kill()
            running.wait(PATIENCE)


@pytest.fixture(params=COMMANDS or ("docker",))
def docker(request: pytest.FixtureRequest, engine: Engine) -> Iterator[Command]:
    if not COMMANDS:
        pytest.skip("needs the docker command line (Debian: docker-cli or docker.io)")
    command = Command(engine, request.param)
    yield command
    for container in command.lines("ps", "-aq"):
        command("rm", "-f", "-v", container)
    command.ok("volume", "prune", "-f")


def read_until(fd: int, wanted: bytes) -> bytes:
    """What a terminal shows, up to something that is waited for."""
    seen = b""
    while wanted not in seen:
        readable, _, _ = select.select([fd], [], [], 20)
        assert readable, seen
        try:
            seen += os.read(fd, 4096)
        except OSError:
            pytest.fail(f"the command has ended: {seen!r}")
    return seen


def read_to_end(fd: int) -> bytes:
    seen = b""
    with suppress(OSError):  # how Linux tells that nobody holds the other side
        while data := os.read(fd, 4096):
            seen += data
    return seen


def test_version_and_info(docker: Command) -> None:
    version = json.loads(docker.ok("version", "--format", "{{json .}}"))
    assert version["Server"]["ApiVersion"] == "1.49"
    assert version["Client"]["ApiVersion"] in ("1.41", "1.49")  # what the two have agreed on
    assert "Server: Bireme" in docker.ok("version") or version["Server"]["Platform"]["Name"] == "Bireme"
    text = docker.ok("info")
    assert "Storage Driver: overlay2" in text
    assert docker.ok("info", "-f", "{{.OSType}} {{.Swarm.LocalNodeState}} {{.ContainersRunning}}") == "linux inactive 0"


def test_ps_with_filters_and_formats(docker: Command) -> None:
    first = docker.ok("run", "-d", "--name", "p1", "--label", "tier=db", "busybox", "sleep", "1000")
    second = docker.ok("create", "--name", "p2", "--label", "tier=web", "-v", "/data", "busybox", "true")
    assert docker("run", "--name", "p3", "busybox", "sh", "-c", "exit 7").status == 7
    assert docker.lines("ps", "--format", "{{.Names}}") == ["p1"]
    assert docker.lines("ps", "-a", "--format", "{{.Names}}") == ["p3", "p2", "p1"]
    assert docker.lines("ps", "-aq", "--no-trunc", "-f", "label=tier") == [second, first]
    assert docker.lines("ps", "-a", "-f", "label=tier=db", "--format", "{{.Labels}}") == ["tier=db"]
    assert docker.lines("ps", "-a", "-f", "status=created", "--format", "{{.Names}} {{.Status}}") == ["p2 Created"]
    assert docker.lines("ps", "-a", "-f", "exited=7", "--format", "{{.Names}}") == ["p3"]
    assert docker.lines("ps", "-a", "-f", "volume=/data", "--format", "{{.Names}}") == ["p2"]
    assert docker.lines("ps", "-a", "-f", "ancestor=busybox", "-f", "name=p[12]", "--format", "{{.ID}}") == [
        second[:12],
        first[:12],
    ]
    assert docker.lines("ps", "-a", "-f", "since=p1", "-f", "before=p3", "--format", "{{.Names}}") == ["p2"]
    assert docker.lines("ps", "-n", "1", "--format", "{{.Names}}") == ["p3"]
    table = docker.lines("ps", "-a", "--format", "table {{.Names}}\t{{.Command}}\t{{.State}}")
    assert table[0].split() == ["NAMES", "COMMAND", "STATE"]
    assert '"sleep 1000"' in table[-1]
    assert re.search(r"0B \(virtual [\d.]+MB\)", docker.ok("ps", "-s", "--format", "{{.Size}}"))
    assert docker("ps", "-f", "nosuch=1").status == 1
    assert docker.ok("rm", "-f", "-v", "p1", "p2", "p3") == "p1\np2\np3"


def test_create_start_attach_logs(docker: Command) -> None:
    docker.ok("create", "-i", "--name", "a1", "busybox", "sh", "-c", "read x; echo out $x; echo err >&2; exit 4")
    done = docker("start", "-a", "-i", "a1", stdin=b"word\n")
    assert (done.status, done.out, done.err) == (4, b"out word\n", "err\n")
    logs = docker("logs", "a1")
    assert (logs.out, logs.err) == (b"out word\n", "err\n")
    assert docker.ok("logs", "--tail", "0", "a1") == ""
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z out word", docker.ok("logs", "-t", "a1"))
    assert docker.ok("wait", "a1") == "4"
    docker.ok("rm", "a1")
    docker.ok("run", "-d", "--name", "a2", "busybox", "sh", "-c", "until [ -e /go ]; do sleep 0.1; done; echo end")
    with ThreadPoolExecutor() as pool:
        following = pool.submit(docker, "logs", "-f", "a2")
        attached = pool.submit(docker, "attach", "--no-stdin", "a2")
        waiting = pool.submit(docker.ok, "wait", "a2")
        docker.ok("exec", "a2", "touch", "/go")
        assert following.result(PATIENCE).out == b"end\n"
        assert waiting.result(PATIENCE) == "0"
        assert attached.result(PATIENCE).status in (0, 1)  # 1 if it had ended before
    docker.ok("rm", "a2")


def test_output_that_is_not_kept(docker: Command) -> None:
    data = bytes(range(256)) * 40_000
    script = ("busybox", "sh", "-c", "cat; echo err >&2; exit 3")
    done = docker("run", "--rm", "-i", "--log-driver", "none", *script, stdin=data)
    assert (done.status, done.out == data, done.err) == (3, True, "err\n")
    docker.ok("run", "-d", "--name", "n1", "--log-driver", "none", "busybox", "echo", "unseen")
    assert docker.ok("wait", "n1") == "0"
    logs = docker("logs", "n1")
    assert (logs.status, logs.out) == (1, b"")
    assert "configured logging driver does not support reading" in logs.err
    assert docker.ok("inspect", "-f", "{{.HostConfig.LogConfig.Type}} [{{.LogPath}}]", "n1") == "none []"


def test_what_is_asked_for_is_there_or_refused(docker: Command) -> None:
    assert docker.ok("run", "--rm", "--platform", "linux", "busybox", "echo", "here") == "here"
    assert "10.0.0.5\tdb" in docker.ok("run", "--rm", "--add-host", "db:10.0.0.5", "busybox", "cat", "/etc/hosts")
    for flags, reason in (
        (("--platform", "linux/s390x", "--pull", "never"), "does not match the specified platform: wanted linux/s390x"),
        (("--network", "none", "--ip", "10.0.0.5"), "user specified IP address is supported on user defined networks"),
        (("--network", "host", "--mac-address", "02:42:ac:11:00:05"), "conflicting options: mac-address"),
    ):
        refused = docker("run", "--rm", *flags, "busybox", "true")
        assert (refused.status, reason in refused.err) == (125, True), refused.err
    warned = docker("run", "--rm", "--network", "none", "--mac-address", "02:42:ac:11:00:05", "busybox", "true")
    assert (warned.status, "WARNING: The MAC address is ignored" in warned.err) == (0, True)


def test_exec(docker: Command) -> None:
    docker.ok("run", "-d", "--name", "e1", "-e", "A=1", "-w", "/tmp", "busybox", "sleep", "1000")
    assert docker.ok("exec", "e1", "sh", "-c", "pwd; echo $A") == "/tmp\n1"
    options = ("-e", "A=2", "-u", "7:8", "-w", "/")
    assert docker.ok("exec", *options, "e1", "sh", "-c", "id -u; id -g; pwd; echo $A") == "7\n8\n/\n2"
    assert docker("exec", "-i", "e1", "cat", stdin=b"in").out == b"in"
    done = docker("exec", "e1", "sh", "-c", "echo o; echo e >&2; kill -9 $$")
    assert (done.status, done.out, done.err) == (137, b"o\n", "e\n")
    assert docker("exec", "e1", "nosuch").status in (126, 127)  # as the command's version has it
    docker.ok("exec", "-d", "e1", "sleep", "77")
    assert "sleep 77" in docker.ok("top", "e1")
    assert "PID" in docker.ok("top", "e1", "-o", "pid,args").splitlines()[0]
    with docker.terminal("exec", "-it", "e1", "sh") as (terminal, running):
        os.write(terminal, b"tty; stty size; exit 5\r")
        seen = read_to_end(terminal)
        assert b"/dev/pts/0" in seen
        assert b"24 80" in seen
        assert running.wait(PATIENCE) == 5
    docker.ok("rm", "-f", "e1")
    assert docker("exec", "e1", "true").status == 1


def test_a_terminal_and_the_keys_that_leave_it(docker: Command) -> None:
    words = ("run", "-it", "--name", "t1", "--detach-keys", "ctrl-x,q", "busybox", "cat")
    with docker.terminal(*words) as (terminal, running):
        os.write(terminal, b"typed\r")
        assert read_until(terminal, b"typed\r\ntyped\r\n")
        os.write(terminal, b"\x18q")
        assert running.wait(PATIENCE) in (0, 1)  # 28 calls it an error
    assert docker.ok("inspect", "-f", "{{.State.Running}} {{.Config.Tty}}", "t1") == "true true"
    with docker.terminal("attach", "t1") as (terminal, running):
        os.write(terminal, b"again\r")
        assert read_until(terminal, b"again\r\nagain\r\n")
        os.write(terminal, b"\x10\x11")
        assert running.wait(PATIENCE) in (0, 1)
    with docker.terminal("attach", "t1") as (terminal, running):
        os.write(terminal, b"last\r")
        assert read_until(terminal, b"last\r\nlast\r\n")  # by now the command reads keys, not lines
        os.write(terminal, b"\x04")
        assert running.wait(PATIENCE) == 0
    assert docker.ok("wait", "t1") == "0"
    docker.ok("rm", "t1")
    script = "trap 'exit 9' INT; echo up; while :; do sleep 0.1; done"
    with docker.terminal("run", "-it", "--rm", "busybox", "sh", "-c", script) as (terminal, running):
        read_until(terminal, b"up")
        os.write(terminal, b"\x03")
        assert running.wait(PATIENCE) == 9


def test_copying_both_ways(docker: Command, tmp_path: Path) -> None:
    (tmp_path / "dir" / "sub").mkdir(parents=True)
    (tmp_path / "dir" / "sub" / "file").write_text("content")
    docker.ok("create", "--name", "c1", "-v", "/vol", "busybox", "cat", "/vol/sub/file", "/etc/one")
    docker.ok("cp", f"{tmp_path}/dir/.", "c1:/vol")
    docker.ok("cp", f"{tmp_path}/dir/sub/file", "c1:/etc/one")
    assert docker.ok("start", "-a", "c1") == "contentcontent"
    docker.ok("cp", "c1:/vol/sub", str(tmp_path / "back"))
    assert (tmp_path / "back" / "file").read_text() == "content"
    packed = docker("cp", "c1:/etc/one", "-").out
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        assert [(member.name, member.size) for member in tar] == [("one", 7)]
    docker.ok("cp", "-", "c1:/tmp", stdin=packed)
    assert set(docker.lines("diff", "c1")) >= {"C /etc", "A /etc/one", "C /tmp", "A /tmp/one"}
    assert docker("cp", "c1:/nosuch", str(tmp_path)).status == 1
    docker.ok("export", "-o", str(tmp_path / "root.tar"), "c1")
    with tarfile.open(tmp_path / "root.tar") as tar:
        names = set(tar.getnames())
    assert {"etc/one", "bin/sh"} < names
    assert "vol/sub/file" not in names  # volumes are no part of the root
    docker.ok("rm", "-v", "c1")


def test_images_in_and_out(docker: Command, tmp_path: Path) -> None:
    docker.ok("create", "--name", "i1", "busybox", "true")
    docker.ok("export", "-o", str(tmp_path / "root.tar"), "i1")
    change = ("-c", 'CMD ["echo", "imported"]', "-c", "LABEL made=here", "-m", "by hand")
    identifier = docker.ok("import", *change, str(tmp_path / "root.tar"), "own:1")
    assert docker.ok("run", "--rm", "own:1") == "imported"
    form = "{{.Id}} {{.Comment}} {{.Config.Labels.made}}"
    assert docker.ok("image", "inspect", "-f", form, "own:1") == f"{identifier} by hand here"
    docker.ok("tag", "own:1", "own:2")
    assert docker.lines("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "own") == ["own:1", "own:2"]
    assert docker.lines("images", "-q", "--no-trunc", "-f", "label=made=here") == [identifier, identifier]
    assert "by hand" in docker.ok("history", "own:1")
    docker.ok("save", "-o", str(tmp_path / "own.tar"), "own:1", "own:2")
    assert docker.ok("rmi", "own:2") == "Untagged: own:2"
    assert f"Deleted: {identifier}" in docker.ok("image", "rm", "own:1")
    assert docker("run", "--pull", "never", "own:1").status == 125
    assert set(docker.lines("load", "-i", str(tmp_path / "own.tar"))) == {"Loaded image: own:1", "Loaded image: own:2"}
    assert docker.ok("run", "--rm", "own:2", "echo", "loaded") == "loaded"
    docker.ok("rmi", "own:1", "own:2")
    docker.ok("rm", "i1")


def test_a_container_becomes_an_image(docker: Command) -> None:
    script = "rm /bin/true; rm -r /root; mkdir /root; echo new > /root/file; ln /root/file /linked; echo v > /vol/file"
    docker.ok("run", "--name", "m1", "-v", "/vol", "-e", "A=kept", "busybox", "sh", "-c", script)
    options = ("-a", "me", "-m", "note", "-c", 'CMD ["cat", "/root/file"]', "-c", "EXPOSE 80")
    identifier = docker.ok("commit", *options, "m1", "made:1")
    assert docker.ok("run", "--rm", "made:1") == "new"
    look = "ls /vol; [ -e /bin/true ] || echo gone; ls -A /root; stat -c %h /linked; echo $A"
    assert docker.ok("run", "--rm", "made:1", "sh", "-c", look) == "gone\nfile\n2\nkept"
    form = "{{.Id}} {{.Author}} {{.Comment}} {{json .Config.ExposedPorts}} {{.Parent}}"
    base = docker.ok("image", "inspect", "-f", "{{.Id}}", "busybox")
    assert docker.ok("image", "inspect", "-f", form, "made:1") == f'{identifier} me note {{"80/tcp":{{}}}} {base}'
    docker.ok("run", "-d", "--name", "m2", "made:1", "sleep", "1000")
    again = docker.ok("commit", "m2")
    assert docker.ok("inspect", "-f", "{{.State.Status}}", "m2") == "running"
    docker.ok("rm", "-f", "-v", "m1", "m2")
    assert again in docker.ok("image", "prune", "-f")
    docker.ok("rmi", "made:1")


def test_what_runs_is_moved_about(docker: Command) -> None:
    docker.ok("run", "-d", "--name", "r1", "busybox", "sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.05; done")
    stats = docker.ok("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}} {{.PIDs}}", "r1")
    assert re.fullmatch(r"r1 [\d.]+\w+ / [\d.]+\w+ \d+", stats)
    assert docker.ok("rename", "r1", "r2") == ""
    assert docker("rename", "nosuch", "r3").status == 1
    assert docker.ok("pause", "r2") == "r2"
    assert docker.ok("ps", "-f", "status=paused", "--format", "{{.Status}}").endswith("(Paused)")
    assert docker.ok("unpause", "r2") == "r2"
    assert docker.ok("update", "--restart", "always", "r2") == "r2"
    assert docker.ok("inspect", "-f", "{{.HostConfig.RestartPolicy.Name}}", "r2") == "always"
    docker.ok("update", "--restart", "no", "r2")
    before = docker.ok("inspect", "-f", "{{.State.Pid}}", "r2")
    assert docker.ok("restart", "-t", "5", "r2") == "r2"
    assert docker.ok("inspect", "-f", "{{.State.Pid}}", "r2") not in (before, "0")
    assert docker.ok("stop", "-t", "20", "r2") == "r2"
    assert docker.ok("inspect", "-f", "{{.State.ExitCode}} {{.State.Running}}", "r2") == "3 false"
    assert docker.ok("start", "r2") == "r2"
    assert docker.ok("kill", "-s", "KILL", "r2") == "r2"
    assert docker.ok("inspect", "-f", "{{.State.ExitCode}}", "r2") == "137"
    assert "is not running" in docker("kill", "r2").err
    assert docker.ok("rm", "r2") == "r2"
    assert "No such container: r2" in docker("rm", "r2").err
    docker.ok("run", "-d", "--name", "r4", "busybox", "sh", "-c", "trap '' TERM; while :; do sleep 0.05; done")
    begun = time.monotonic()
    docker.ok("stop", "-t", "1", "r4")
    assert time.monotonic() - begun >= 1
    assert docker.ok("inspect", "-f", "{{.State.ExitCode}}", "r4") == "137"
    docker.ok("rm", "r4")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("--nosuchflag",), 125),
        (("--name", "bad/name", "busybox"), 125),
        (("busybox", "/etc"), 126),
        (("busybox", "nosuch"), 127),
        (("busybox", "sh", "-c", "exit 42"), 42),
        (("busybox", "sh", "-c", "sh -c 'kill -TERM $$'; exit $?"), 143),
        (("busybox", "sh", "-c", "sh -c 'kill -KILL $$'; exit $?"), 137),
        (("busybox", "sh", "-c", "exit 300"), 44),
    ],
)
def test_exit_statuses_of_run(docker: Command, words: tuple[str, ...], status: int) -> None:
    assert docker("run", "--rm", *words).status == status


def test_volumes(docker: Command) -> None:
    script = "echo 1 > /one/f; echo 2 > /two/f"
    docker.ok("run", "--name", "v1", "-v", "/one", "-v", "/two", "busybox", "sh", "-c", script)
    volumes = set(docker.lines("volume", "ls", "-q"))
    assert len(volumes) == 2
    assert docker.ok("run", "--rm", "--volumes-from", "v1", "busybox", "cat", "/one/f", "/two/f") == "1\n2"
    assert docker("run", "--rm", "--volumes-from", "v1:ro", "busybox", "touch", "/one/g").status == 1
    form = '{{range .Mounts}}{{if eq .Destination "/one"}}{{.Name}}{{end}}{{end}}'
    one = docker.ok("inspect", "-f", form, "v1")
    place = docker.ok("volume", "inspect", "-f", "{{.Mountpoint}}", one)
    assert Path(place, "f").read_text() == "1\n"
    assert "volume is in use" in docker("volume", "rm", one).err
    docker.ok("rm", "v1")
    assert set(docker.lines("volume", "ls", "-q", "-f", "dangling=true")) == volumes
    assert docker.ok("volume", "rm", one) == one
    assert volumes - {one} <= set(docker.ok("volume", "prune", "-f").split())
    assert docker.ok("volume", "ls", "-q") == ""


def test_networks(docker: Command) -> None:
    assert set(docker.lines("network", "ls", "--format", "{{.Name}} {{.Driver}}")) == {"none null", "host host"}
    docker.ok("run", "-d", "--name", "n1", "--network", "host", "busybox", "sleep", "1000")
    assert docker.ok("network", "inspect", "-f", "{{range .Containers}}{{.Name}}{{end}}", "host") == "n1"
    assert docker.lines("ps", "-f", "network=host", "--format", "{{.Names}} {{.Networks}}") == ["n1 host"]
    docker.ok("rm", "-f", "n1")
    assert docker.ok("run", "--rm", "--network", "none", "busybox", "ls", "/sys/class/net") == "lo"


def test_the_system(docker: Command) -> None:
    since = str(time.time())
    docker.ok("run", "--name", "s1", "-v", "/d", "busybox", "sh", "-c", "echo data > /d/f; echo own > /own")
    df = docker.lines("system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Active}}")
    assert df[1:3] == ["Containers 1 0", "Local Volumes 1 1"]
    assert "s1" in docker.ok("system", "df", "-v")
    form = "{{.Type}} {{.Action}}"
    events = docker.lines("events", "--since", since, "--until", str(time.time()), "--format", form)
    seen = [event for event in events if event.startswith("container")]
    assert seen[0] == "container create"
    assert seen[-1] == "container die"
    assert "container start" in seen
    period = ("--since", since, "--until", str(time.time()))
    died = docker.ok("events", *period, "-f", "event=die", "-f", "container=s1", "--format", "{{json .}}")
    assert json.loads(died)["Actor"]["Attributes"]["exitCode"] == "0"
    identifier = docker.ok("inspect", "-f", "{{.Id}}", "s1")
    pruned = docker.ok("system", "prune", "-f", "--volumes")
    assert identifier in pruned
    assert "Total reclaimed space" in pruned
    assert docker.ok("ps", "-aq") == ""


def test_inspect_of_all_kinds(docker: Command) -> None:
    options = ("-e", "A=b", "-v", "/d", "--hostname", "box", "--stop-timeout", "7")
    docker.ok("create", "--name", "x1", *options, "busybox", "a", "b c")
    found = json.loads(docker.ok("inspect", "x1"))[0]
    assert (found["Path"], found["Args"], found["Name"]) == ("a", ["b c"], "/x1")
    assert (found["Config"]["Hostname"], found["Config"]["StopTimeout"]) == ("box", 7)
    assert "A=b" in found["Config"]["Env"]
    assert docker.ok("inspect", "--type", "image", "-f", "{{index .RepoTags 0}}", "busybox") == "busybox:latest"
    assert docker.ok("inspect", "--type", "volume", "-f", "{{.Driver}}", found["Mounts"][0]["Name"]) == "local"
    assert docker.ok("inspect", "-s", "-f", "{{.SizeRw}}", "x1").isdigit()
    assert docker("inspect", "nosuch").status == 1
    docker.ok("rm", "-v", "x1")


def test_a_hundred_in_the_foreground_at_once(docker: Command) -> None:
    def one(number: int) -> tuple[int, bytes, str]:
        done = docker("run", "--rm", "busybox", "sh", "-c", f"echo {number}; echo e{number} >&2; exit {number % 7}")
        return done.status, done.out, done.err

    with ThreadPoolExecutor(100) as pool:
        found = list(pool.map(one, range(100)))
    assert found == [(number % 7, b"%d\n" % number, f"e{number}\n") for number in range(100)]
    assert docker.ok("ps", "-aq") == ""
