"""The command line on a real engine: started by the first command, and really gone after ``shutdown``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]


class Ran(NamedTuple):
    status: int
    out: str
    err: str


class Bireme:
    """The command line as processes, on a root of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, *words: str, stdin: bytes = b"") -> Ran:
        command = [sys.executable, "-m", "bireme", "--root", str(self.root), *words]
        ran = subprocess.run(command, input=stdin, capture_output=True, timeout=120, check=False)
        return Ran(ran.returncode, ran.stdout.decode(), ran.stderr.decode())


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be reaped (by init, here) does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as facts:
            return facts.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def bireme(tmp_path: Path) -> Iterator[Bireme]:
    line = Bireme(tmp_path / "root")
    try:
        yield line
    finally:
        ended = line("shutdown")
        assert ended.status == 0, ended.err


def test_the_three_examples_of_the_specification(bireme: Bireme) -> None:
    ran = bireme(
        "run", "-v", "/data", "--name", "one", "busybox", "sh", "-c", "echo hi > /data/x; echo err >&2; exit 3"
    )
    assert ran == (3, "", "err\n")
    assert bireme("run", "--rm", "--volumes-from", "one", "busybox", "cat", "/data/x") == (0, "hi\n", "")
    assert bireme("run", "-d", "--name", "two", "-v", "/a", "-v", "/b", "busybox", "sh", "-c", "exit 4").status == 0
    assert bireme("wait", "two", "one") == (0, "4\n3\n", "")
    form = "{{range .Mounts}}{{.Destination}} {{.RW}} {{end}}{{.State.Status}}"
    assert bireme("inspect", "-f", form, "two").out == "/a true /b true exited\n"
    found = json.loads(bireme("inspect", "one").out)
    assert found[0]["Config"]["Volumes"] == {"/data": {}}
    assert os.listdir(found[0]["Mounts"][0]["Source"]) == ["x"]
    assert bireme("rm", "-v", "one", "two") == (0, "one\ntwo\n", "")
    assert bireme("volume", "ls", "-q").out == ""


def test_input_output_and_ends(bireme: Bireme) -> None:
    big = os.urandom(1 << 20)
    command = [sys.executable, "-m", "bireme", "--root", str(bireme.root), "run", "--rm", "-i", "busybox", "cat"]
    ran = subprocess.run(command, input=big, stdout=subprocess.PIPE, timeout=120, check=True)
    assert ran.stdout == big
    assert bireme("run", "--rm", "busybox", "nosuch").status == 127
    assert bireme("run", "--rm", "busybox", "/etc/passwd").status == 126
    assert bireme("run", "--pull", "never", "nosuch").err == (
        "bireme: Error response from daemon: No such image: nosuch:latest\n"
    )
    assert bireme("ps", "-aq").out == ""


def test_a_running_container(bireme: Bireme, tmp_path: Path) -> None:
    identifier = bireme("run", "-d", "--name", "web", "busybox", "sh", "-c", "echo ready; exec sleep 1000").out.strip()
    assert len(identifier) == 64
    assert bireme("ps", "-q", "--no-trunc").out == f"{identifier}\n"
    assert bireme("exec", "-e", "A=b", "-w", "/tmp", identifier[:12], "sh", "-c", "echo $A; pwd; exit 7") == (
        7,
        "b\n/tmp\n",
        "",
    )
    assert bireme("exec", "-i", "web", "cat", stdin=b"abc").out == "abc"
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_text("content")
    assert bireme("cp", str(tmp_path / "d"), "web:/tmp") == (0, "", "")
    assert bireme("exec", "web", "cat", "/tmp/d/f").out == "content"
    assert bireme("cp", "web:/tmp/d/.", str(tmp_path / "back")).status == 0
    assert (tmp_path / "back" / "f").read_text() == "content"
    assert "A /tmp/d/f\n" in bireme("diff", "web").out
    assert bireme("logs", "web").out == "ready\n"
    assert "sleep 1000" in bireme("top", "web").out
    assert bireme("stop", "-t", "0", "web") == (0, "web\n", "")
    assert bireme("wait", "web").out == "137\n"
    happened = bireme("events", "--since", "1h", "--until", "0s", "-f", "container=web", "--format", "{{.Action}}").out
    assert happened.splitlines()[:2] == ["create", "start"]
    assert "die" in happened.splitlines()


def test_images_in_and_out(bireme: Bireme, tmp_path: Path) -> None:
    archive = str(tmp_path / "files.tar")
    assert bireme("create", "--name", "source", "busybox").status == 0
    assert bireme("export", "-o", archive, "source").status == 0
    made = bireme("import", "-c", 'CMD ["echo","imported"]', archive, "copy:1")
    assert made.out.startswith("sha256:")
    assert bireme("run", "--rm", "copy:1").out == "imported\n"
    assert bireme("save", "-o", archive, "copy:1").status == 0
    assert bireme("rmi", "copy:1").out.startswith("Untagged: copy:1\nDeleted: sha256:")
    assert bireme("load", "-i", archive).out == "Loaded image: copy:1\n"
    assert bireme("images", "--format", "{{.Repository}}:{{.Tag}}", "copy").out == "copy:1\n"
    assert bireme("import", "-", stdin=b"no archive at all").status == 1


def test_first_commands_at_once_start_one_engine(bireme: Bireme) -> None:
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: bireme("info", "-f", "{{.EnginePid}}"), range(6)))
    assert {answer.status for answer in answers} == {0}, answers
    assert len({answer.out for answer in answers}) == 1


def test_shutdown_ends_the_engine_and_all_it_held(bireme: Bireme) -> None:
    engine = int(bireme("info", "-f", "{{.EnginePid}}").out)
    bireme("run", "-d", "--stop-timeout", "0", "busybox", "sleep", "1000")
    process = int(bireme("inspect", "-f", "{{.State.Pid}}", bireme("ps", "-q").out.strip()).out)
    assert bireme("shutdown") == (0, "", "")
    assert not alive(engine)
    assert not alive(process)
    assert bireme("shutdown") == (0, "", f"no engine runs at unix://{bireme.root}/run/bireme.sock\n")


def test_shutdown_can_leave_containers_running(bireme: Bireme) -> None:
    assert bireme("run", "-d", "--name", "web", "busybox", "sleep", "1000").status == 0
    process = int(bireme("inspect", "-f", "{{.State.Pid}}", "web").out)
    assert bireme("shutdown", "--detach").status == 0
    assert alive(process)
    assert bireme("inspect", "-f", "{{.State.Pid}} {{.State.Running}}", "web").out == f"{process} true\n"
    assert bireme("kill", "web").status == 0
    assert bireme("wait", "web").out == "137\n"


def test_shutdown_ends_what_an_engine_has_left_running(bireme: Bireme) -> None:
    assert bireme("run", "-d", "--name", "web", "--stop-timeout", "0", "busybox", "sleep", "1000").status == 0
    process = int(bireme("inspect", "-f", "{{.State.Pid}}", "web").out)
    assert bireme("shutdown", "--detach").status == 0
    assert bireme("shutdown", "--detach").err == f"no engine runs at unix://{bireme.root}/run/bireme.sock\n"
    assert alive(process)
    assert bireme("shutdown") == (0, "", "")
    assert not alive(process)
    assert bireme("shutdown").err == f"no engine runs at unix://{bireme.root}/run/bireme.sock\n"


def test_an_engine_that_cannot_start_says_so_in_one_line(bireme: Bireme) -> None:
    (bireme.root / "run").mkdir(parents=True)
    (bireme.root / "volumes").write_text("in the way")
    ran = bireme("ps")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("the engine did not start: ")
    assert ran.err.count("\n") == 1
    assert bireme("run", "busybox").status == 125
