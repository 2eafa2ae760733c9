"""Verbs against recorded exchanges: what they ask, what they print, how they end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.runtime.cli.fake_engine import frame

if TYPE_CHECKING:
    from pathlib import Path

    from tests.runtime.cli.fake_engine import CommandLine, FakeEngine

ID = "4a3162e06825" + "ab" * 26
OUTPUT = frame(1, b"hi\n") + frame(2, b"err\n")
ATTACH = f"POST /containers/{ID}/attach?stream=1&stdout=1&stderr=1"


def runnable(engine: FakeEngine, status: int = 3, *, create: str = "POST /containers/create") -> None:
    engine.on(create, {"Id": ID, "Warnings": []}, status=201)
    engine.on(ATTACH, body=OUTPUT, upgrade=True)
    engine.on(f"POST /containers/{ID}/wait?condition=next-exit", {"Error": None, "StatusCode": status})
    engine.on(f"POST /containers/{ID}/start")


def test_run_attaches_and_waits_before_it_starts(engine: FakeEngine, bireme: CommandLine) -> None:
    runnable(engine)
    assert bireme("run", "-v", "/data", "busybox", "sh", "-c", "echo hi") == (3, "hi\n", "err\n")
    assert engine.lines == [
        "POST /containers/create",
        ATTACH,
        f"POST /containers/{ID}/wait?condition=next-exit",
        f"POST /containers/{ID}/start",
    ]
    assert engine.requests[0].json == {
        "Image": "busybox",
        "Cmd": ["sh", "-c", "echo hi"],
        "Volumes": {"/data": {}},
        "AttachStdout": True,
        "AttachStderr": True,
        "HostConfig": {"NetworkMode": "default", "RestartPolicy": {"Name": "no"}},
    }
    assert engine.requests[1].headers["upgrade"] == "tcp"


def test_run_in_the_background_prints_the_id(engine: FakeEngine, bireme: CommandLine) -> None:
    runnable(engine, create="POST /containers/create?name=w1")
    assert bireme("run", "-d", "--name", "w1", "busybox") == (0, f"{ID}\n", "")
    assert engine.lines == ["POST /containers/create?name=w1", f"POST /containers/{ID}/start"]
    assert "AttachStdout" not in dict(engine.requests[0].json)  # type: ignore[call-overload]  # JSON of an object


def test_run_waits_for_the_removal(engine: FakeEngine, bireme: CommandLine) -> None:
    runnable(engine)
    engine.on(f"POST /containers/{ID}/wait?condition=removed", {"StatusCode": 0})
    assert bireme("run", "--rm", "busybox").status == 0
    assert engine.lines[2].endswith("condition=removed")


def test_run_passes_its_input_and_its_end(engine: FakeEngine, bireme: CommandLine) -> None:
    runnable(engine, 0)
    engine.on(
        f"POST /containers/{ID}/attach?stream=1&stdin=1&stdout=1&stderr=1", body=frame(1, b"hello"), after_input=True
    )
    ran = bireme("run", "-i", "busybox", "cat", stdin=b"hello" * 50_000)
    assert ran == (0, "hello", "")
    assert engine.typed == [b"hello" * 50_000]
    body: Any = engine.requests[0].json
    assert (body["OpenStdin"], body["StdinOnce"], body["AttachStdin"]) == (True, True, True)


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ('exec: "nosuch": executable file not found in $PATH', 127),
        ('exec: "/etc/passwd": permission denied', 126),
        ("exec format error", 126),
        ("no space left on device", 125),
    ],
)
def test_run_tells_why_nothing_started(engine: FakeEngine, bireme: CommandLine, reason: str, status: int) -> None:
    runnable(engine)
    engine.replace(f"POST /containers/{ID}/start", {"message": reason}, status=400)
    assert bireme("run", "busybox") == (status, "", f"bireme: Error response from daemon: {reason}\n")


def test_run_of_what_cannot_be_removed_yet_waits_for_that(engine: FakeEngine, bireme: CommandLine) -> None:
    runnable(engine)
    engine.on(f"POST /containers/{ID}/wait?condition=removed", {"StatusCode": 127})
    engine.replace(f"POST /containers/{ID}/start", {"message": "executable file not found"}, status=400)
    assert bireme("run", "--rm", "busybox", "nosuch").status == 127
    assert f"POST /containers/{ID}/wait?condition=removed" in engine.served


def test_what_is_asked_for_in_memory(engine: FakeEngine, bireme: CommandLine) -> None:
    engine.on("POST /containers/create", {"Id": ID}, status=201)
    flags = ("--tmpfs", "/a", "--tmpfs", "/b:ro,size=1m", "--tmpfs", "/c:mpol=bind:0", "--tmpfs", "/a:exec")
    assert bireme("create", *flags, "--mount", "type=tmpfs,target=/d,ro", "busybox").status == 0
    assert bireme("create", "busybox").status == 0
    bodies: list[Any] = [request.json for request in engine.requests]
    first, second = (body["HostConfig"] for body in bodies)
    assert first["Tmpfs"] == {"/a": "exec", "/b": "ro,size=1m", "/c": "mpol=bind:0"}
    assert first["Mounts"] == [{"Type": "tmpfs", "Target": "/d", "ReadOnly": True, "TmpfsOptions": {}}]
    assert "Tmpfs" not in second


def test_a_taken_name(engine: FakeEngine, bireme: CommandLine) -> None:
    engine.error("POST /containers/create?name=x", 409, "Conflict. In use")
    assert bireme("run", "--name", "x", "busybox") == (
        125,
        "",
        "bireme: Error response from daemon: Conflict. In use\n",
    )
    assert bireme("create", "--name", "x", "busybox") == (
        1,
        "",
        "Error response from daemon: Conflict. In use\n",
    )


def test_an_unknown_image_is_asked_for_and_the_refusal_told(engine: FakeEngine, bireme: CommandLine) -> None:
    engine.error("POST /containers/create", 404, "No such image: nosuch:latest")
    engine.error("POST /images/create?fromImage=nosuch&tag=latest", 500, "there is no registry here")
    ran = bireme("run", "nosuch")
    assert ran.status == 125
    assert ran.err == (
        "Unable to find image 'nosuch:latest' locally\nbireme: Error response from daemon: there is no registry here\n"
    )
    assert bireme("run", "--pull", "never", "nosuch").err.startswith(
        "bireme: Error response from daemon: No such image"
    )


def test_an_image_that_was_fetched_is_used(engine: FakeEngine, bireme: CommandLine) -> None:
    engine.error("POST /containers/create", 404, "No such image: some:1")
    engine.on("POST /containers/create", {"Id": ID, "Warnings": ["careful"]}, status=201)
    engine.on("POST /images/create?fromImage=some&tag=1", body=b'{"status":"Pulling from some","id":"1"}\n')
    ran = bireme("create", "some:1")
    assert ran.out == f"{ID}\n"
    assert ran.err == "Unable to find image 'some:1' locally\n1: Pulling from some\nWARNING: careful\n"


def test_an_image_for_another_platform_is_fetched(engine: FakeEngine, bireme: CommandLine) -> None:
    create, pull = "POST /containers/create?platform=arm", "POST /images/create?fromImage=some&tag=1&platform=arm"
    other = "image with reference some:1 was found but does not match the specified platform: wanted ..., actual: ..."
    engine.error(create, 404, other)
    engine.on(create, {"Id": ID, "Warnings": []}, status=201)
    engine.on(pull, body=b'{"status":"Pulling from some","id":"1"}\n')
    assert bireme("create", "-q", "--platform", "arm", "some:1").out == f"{ID}\n"
    assert engine.lines == [create, pull, create]
    engine.replace(create, {"message": other}, status=404)
    ran = bireme("create", "--pull", "never", "--platform", "arm", "some:1")
    assert ran == (1, "", f"Error response from daemon: {other}\n")


def test_the_id_is_noted_in_a_file(engine: FakeEngine, bireme: CommandLine, tmp_path: Path) -> None:
    runnable(engine)
    note = tmp_path / "cid"
    assert bireme("run", "-d", "--cidfile", str(note), "busybox").status == 0
    assert note.read_text() == ID
    ran = bireme("run", "-d", "--cidfile", str(note), "busybox")
    assert (ran.status, ran.out) == (125, "")
    assert "container ID file found" in ran.err
    assert note.read_text() == ID


def test_no_id_no_file(engine: FakeEngine, bireme: CommandLine, tmp_path: Path) -> None:
    engine.error("POST /containers/create", 400, "no")
    assert bireme("run", "--cidfile", str(tmp_path / "cid"), "busybox").status == 125
    assert not (tmp_path / "cid").exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["-v", "name:/path"], "volumes have no names"),
        (["-v", "rel"], "absolute path"),
        (["--tmpfs", "rel:ro"], 'invalid argument "rel:ro" for "--tmpfs" flag: a tmpfs needs an absolute path'),
        (["--mount", "type=tmpfs"], "the path of a tmpfs is empty"),
        (["--volumes-from", "c:x"], "invalid mode"),
        (["--rm", "--restart", "always"], "cannot specify both --restart and --rm"),
        (["-d", "-a", "stdout"], "cannot specify both --attach and --detach"),
        (["--pull", "often"], "invalid pull option"),
        (["--uts", "container:x"], "--uts: invalid UTS mode"),
        (["--pid", "private"], "--pid: invalid PID mode"),
        (["--pid", "container:"], "--pid: invalid PID mode"),
        (["--env-file", "/nonexistent"], "open /nonexistent: no such file or directory"),
        (["-it"], "the input device is not a TTY"),
        (["-m", "lots"], "invalid size"),
        (["--log-driver", "none", "--log-opt", "max-size=1m"], "invalid logging opts for driver none"),
    ],
)
def test_run_refuses_before_it_asks(engine: FakeEngine, bireme: CommandLine, words: list[str], complaint: str) -> None:
    ran = bireme("run", *words, "busybox")
    assert (ran.status, ran.out) == (125, "")
    assert complaint in ran.err
    assert engine.lines == []


def test_an_engine_that_dies_is_told(engine: FakeEngine, bireme: CommandLine) -> None:
    runnable(engine)
    engine.replace(ATTACH, body=frame(1, b"hi\n")[:-1], upgrade=True)
    assert bireme("run", "busybox") == (125, "hi", "bireme: the engine went away in the middle of the output\n")


def test_no_engine_at_a_named_socket(bireme: CommandLine, tmp_path: Path) -> None:
    ran = bireme("ps")
    assert ran.status == 1
    assert ran.err.startswith(f"Cannot connect to the Bireme engine at unix://{tmp_path}/engine.sock")
    assert bireme("run", "busybox").status == 125


# --- lifecycle


def test_several_names_each_done_or_told(engine: FakeEngine, bireme: CommandLine) -> None:
    engine.on("POST /containers/a/stop?t=0")
    engine.error("POST /containers/b/stop?t=0", 404, "No such container: b")
    engine.on("POST /containers/c/stop?t=0")
    ran = bireme("stop", "-t", "0", "a", "b", "c")
    assert ran == (1, "a\nc\n", "Error response from daemon: No such container: b\n")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["kill", "x"], "POST /containers/x/kill"),
        (["kill", "-s", "TERM", "x"], "POST /containers/x/kill?signal=TERM"),
        (["restart", "-t", "3", "-s", "INT", "x"], "POST /containers/x/restart?signal=INT&t=3"),
        (["stop", "--time", "2", "x"], "POST /containers/x/stop?t=2"),
        (["pause", "x"], "POST /containers/x/pause"),
        (["unpause", "x"], "POST /containers/x/unpause"),
        (["rm", "x"], "DELETE /containers/x"),
        (["rm", "-fv", "x"], "DELETE /containers/x?force=1&v=1"),
        (["start", "x"], "POST /containers/x/start"),
        (["volume", "rm", "x"], "DELETE /volumes/x"),
    ],
)
def test_a_verb_is_one_request(engine: FakeEngine, bireme: CommandLine, words: list[str], line: str) -> None:
    engine.on(line)
    assert bireme(*words) == (0, "x\n", "")
    assert engine.lines == [line]


def test_removing_by_force_what_is_not_there_is_no_failure(engine: FakeEngine, bireme: CommandLine) -> None:
    engine.error("DELETE /containers/x?force=1", 404, "No such container: x")
    engine.on("DELETE /containers/y?force=1")
    assert bireme("rm", "-f", "x", "y") == (0, "y\n", "Error response from daemon: No such container: x\n")


def test_wait_asks_for_all_before_it_hears_from_one(engine: FakeEngine, bireme: CommandLine) -> None:
    engine.on("POST /containers/a/wait", {"StatusCode": 1})
    engine.error("POST /containers/b/wait", 404, "No such container: b")
    engine.on("POST /containers/c/wait", {"StatusCode": 137})
    assert bireme("wait", "a", "b", "c") == (1, "1\n137\n", "Error response from daemon: No such container: b\n")
    assert len(engine.lines) == 3


def test_start_tells_who_did_not(engine: FakeEngine, bireme: CommandLine) -> None:
    engine.on("POST /containers/a/start")
    engine.error("POST /containers/b/start", 404, "No such container: b")
    assert bireme("start", "b", "a") == (
        1,
        "a\n",
        "Error response from daemon: No such container: b\nError: failed to start containers: b\n",
    )
    assert bireme("start", "-a", "a", "b") == (1, "", "you cannot start and attach multiple containers at once\n")


def test_start_in_the_foreground(engine: FakeEngine, bireme: CommandLine) -> None:
    runnable(engine, 4)
    engine.on("GET /containers/w2/json", {"Id": ID, "Config": {"Tty": False, "OpenStdin": True}, "HostConfig": {}})
    assert bireme("start", "-a", "w2") == (4, "hi\n", "err\n")
    assert engine.lines[1:] == [
        ATTACH,
        f"POST /containers/{ID}/wait?condition=next-exit",
        f"POST /containers/{ID}/start",
    ]
    engine.on(f"POST /containers/{ID}/attach?stream=1&stdin=1&stdout=1&stderr=1", body=OUTPUT, after_input=True)
    assert bireme("start", "-ai", "w2", stdin=b"x").status == 4
    assert engine.typed[-1] == b"x"


def test_attach_ends_as_the_container_does(engine: FakeEngine, bireme: CommandLine) -> None:
    facts = {"Id": ID, "Config": {}, "State": {"Running": True}}
    engine.on("GET /containers/w/json", facts)
    engine.on(f"POST /containers/{ID}/wait", {"StatusCode": 9})
    engine.on(ATTACH, body=OUTPUT, upgrade=True)
    assert bireme("attach", "w") == (9, "hi\n", "err\n")


@pytest.mark.parametrize(
    ("state", "complaint"),
    [
        ({"Running": False}, "cannot attach to a stopped container, start it first"),
        ({"Running": True, "Paused": True}, "cannot attach to a paused container, unpause it first"),
        ({"Running": True, "Restarting": True}, "cannot attach to a restarting container, wait until it is running"),
    ],
)
def test_attach_to_what_does_not_run(
    engine: FakeEngine, bireme: CommandLine, state: dict[str, bool], complaint: str
) -> None:
    engine.on("GET /containers/w/json", {"Id": ID, "Config": {}, "State": state})
    assert bireme("attach", "w") == (1, "", f"{complaint}\n")


def test_update_and_rename(engine: FakeEngine, bireme: CommandLine) -> None:
    engine.on("POST /containers/w/update", {"Warnings": None})
    assert bireme("update", "--restart", "on-failure:2", "-m", "1g", "w").out == "w\n"
    assert engine.requests[0].json == {
        "Memory": 1 << 30,
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2},
    }
    assert bireme("update", "w").status == 1
    engine.error("POST /containers/a/rename?name=b", 404, "No such container: a")
    assert bireme("rename", "a", "b").err.endswith("a\nError: failed to rename container named a\n")


# --- exec


def executable(engine: FakeEngine, status: int = 0) -> None:
    engine.on("GET /containers/w3/json", {"Id": ID})
    engine.on("POST /containers/w3/exec", {"Id": "e1"}, status=201)
    engine.on("POST /exec/e1/start", body=OUTPUT, upgrade=True)
    engine.on("GET /exec/e1/json", {"ID": "e1", "Running": False, "ExitCode": status})


def test_exec_ends_as_its_process_does(engine: FakeEngine, bireme: CommandLine) -> None:
    executable(engine, 7)
    assert bireme("exec", "w3", "echo", "x") == (7, "hi\n", "err\n")
    assert engine.lines == [
        "GET /containers/w3/json",
        "POST /containers/w3/exec",
        "POST /exec/e1/start",
        "GET /exec/e1/json",
    ]
    assert engine.requests[1].json == {"AttachStderr": True, "AttachStdout": True, "Cmd": ["echo", "x"]}
    assert engine.requests[2].json == {}


def test_exec_with_everything(engine: FakeEngine, bireme: CommandLine, tmp_path: Path) -> None:
    executable(engine)
    engine.replace("POST /exec/e1/start", body=OUTPUT, after_input=True)
    variables = tmp_path / "env"
    variables.write_text("A=1\n")
    words = ["-i", "-e", "B=2", "-e", "HOME", "--env-file", str(variables), "-u", "1:2", "-w", "/x", "--privileged"]
    assert bireme("exec", *words, "w3", "cat", stdin=b"abc", environ={"HOME": "/h"}).status == 0
    assert engine.typed == [b"abc"]
    assert engine.requests[1].json == {
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Cmd": ["cat"],
        "Env": ["A=1", "B=2", "HOME=/h"],
        "Privileged": True,
        "User": "1:2",
        "WorkingDir": "/x",
    }


def test_exec_in_the_background(engine: FakeEngine, bireme: CommandLine) -> None:
    executable(engine)
    engine.replace("POST /exec/e1/start", status=200)
    assert bireme("exec", "-d", "w3", "true") == (0, "", "")
    assert engine.requests[2].json == {"Detach": True}
    assert engine.lines[-1] == "POST /exec/e1/start"


@pytest.mark.parametrize(
    ("reason", "status"), [("executable file not found", 127), ("permission denied", 126), ("container is paused", 1)]
)
def test_exec_of_what_cannot_be(engine: FakeEngine, bireme: CommandLine, reason: str, status: int) -> None:
    executable(engine)
    engine.replace("POST /exec/e1/start", {"message": reason}, status=400)
    assert bireme("exec", "w3", "x") == (status, "", f"Error response from daemon: {reason}\n")


def test_exec_needs_a_running_container(engine: FakeEngine, bireme: CommandLine) -> None:
    engine.on("GET /containers/w1/json", {"Id": ID})
    engine.error("POST /containers/w1/exec", 409, "Container ID is not running")
    assert bireme("exec", "w1", "true") == (1, "", "Error response from daemon: Container ID is not running\n")
    engine.error("GET /containers/no/json", 404, "No such container: no")
    assert bireme("exec", "-it", "no", "true").err == "Error response from daemon: No such container: no\n"
    assert bireme("exec", "-it", "w1", "true").err == "the input device is not a TTY\n"


# --- logs, events


def test_logs_keep_the_streams_apart(engine: FakeEngine, bireme: CommandLine) -> None:
    engine.on("GET /containers/w/json", {"Id": ID, "Config": {"Tty": False}})
    engine.on(f"GET /containers/{ID}/logs?stderr=1&stdout=1&tail=all", body=OUTPUT)
    assert bireme("logs", "w") == (0, "hi\n", "err\n")
    line = f"GET /containers/{ID}/logs?follow=1&since=5&stderr=1&stdout=1&tail=1&timestamps=1&until=6.500000000"
    engine.on(line, body=OUTPUT)
    assert bireme("logs", "-ft", "--tail", "1", "--since", "5", "--until", "6.5", "w").status == 0
    assert engine.lines[-1] == line


def test_logs_of_a_terminal_are_raw(engine: FakeEngine, bireme: CommandLine) -> None:
    engine.on("GET /containers/w/json", {"Id": ID, "Config": {"Tty": True}})
    engine.on(f"GET /containers/{ID}/logs?stderr=1&stdout=1&tail=all", body=b"\x01raw\x00\r\n")
    assert bireme("logs", "w").out.encode() == b"\x01raw\x00\n"  # read back with universal newlines
    assert bireme("logs", "--since", "soon", "w").status == 1


def test_events(engine: FakeEngine, bireme: CommandLine) -> None:
    events = [
        {"Type": "container", "Action": action, "Actor": {"ID": ID, "Attributes": {"name": "x"}}, "timeNano": 10**9}
        for action in ("create", "start")
    ]
    line = "GET /events?filters=%7B%22type%22%3A%7B%22container%22%3Atrue%7D%7D&since=1&until=2"
    engine.on(line, body=b"".join(json.dumps(event).encode() + b"\n" for event in events))
    words = ["events", "--since", "1", "--until", "2", "-f", "type=container"]
    assert [text.split(" ", 1)[1] for text in bireme(*words).out.splitlines()] == [
        f"container create {ID} (name=x)",
        f"container start {ID} (name=x)",
    ]
    assert bireme(*words, "--format", "{{.Action}} {{.Actor.Attributes.name}}").out == "create x\nstart x\n"
    assert [json.loads(text) for text in bireme(*words, "--format", "json").out.splitlines()] == events


# --- lists


def test_ps(engine: FakeEngine, bireme: CommandLine) -> None:
    engine.on(
        "GET /containers/json", [{"Id": ID, "Names": ["/w"], "Image": "busybox", "Command": "true", "Created": 1}]
    )
    assert bireme("ps", "-q").out == "4a3162e06825\n"
    assert bireme("ps", "-q", "--no-trunc").out == f"{ID}\n"
    assert bireme("ps", "--format", "{{.Names}} {{.Image}}").out == "w busybox\n"
    assert bireme("ps").out.splitlines()[0].split() == [
        *("CONTAINER", "ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES")
    ]
    assert bireme("ps", "-q", "--format", "x").err.startswith("WARNING: Ignoring custom format")
    asked = len(engine.lines)
    assert bireme("ps", "--format", "{{.Names").err.startswith("failed to parse template")
    assert len(engine.lines) == asked


@pytest.mark.parametrize(
    ("words", "query"),
    [
        (["-a"], "?all=1"),
        (["-l"], "?limit=1"),
        (["-n", "3"], "?limit=3"),
        (["-s"], "?size=1"),
        (["--format", "{{.Size}}"], "?size=1"),
        (
            ["-f", "status=exited"],
            "?filters=%7B%22status%22%3A%7B%22exited%22%3Atrue%7D%7D",
        ),
    ],
)
def test_ps_asks_for_what_is_wanted(engine: FakeEngine, bireme: CommandLine, words: list[str], query: str) -> None:
    engine.on(f"GET /containers/json{query}", [])
    assert bireme("ps", *words).status == 0
    assert engine.lines == [f"GET /containers/json{query}"]


def test_images(engine: FakeEngine, bireme: CommandLine) -> None:
    image = {"Id": "sha256:" + "1" * 64, "RepoTags": ["busybox:latest", "a:1"], "Created": 1, "Size": 5}
    engine.on("GET /images/json", [image])
    assert bireme("images", "-q").out == f"{'1' * 12}\n{'1' * 12}\n"
    assert bireme("images", "--format", "{{.Repository}}:{{.Tag}}").out == "busybox:latest\na:1\n"
    assert bireme("images", "--no-trunc", "-q").out.startswith("sha256:111")
    engine.on("GET /images/json?filters=%7B%22reference%22%3A%7B%22busy%2A%22%3Atrue%7D%7D", [image])
    assert bireme("images", "busy*").status == 0
    engine.on("GET /images/json?digests=1", [image])
    assert "DIGEST" in bireme("images", "--digests").out


def test_tags_and_removal_of_images(engine: FakeEngine, bireme: CommandLine) -> None:
    engine.on("POST /images/busybox/tag?repo=host%3A5000%2Fb&tag=t2", status=201)
    assert bireme("tag", "busybox", "host:5000/b:t2") == (0, "", "")
    engine.on("DELETE /images/busybox:t2", [{"Untagged": "busybox:t2"}, {"Deleted": "sha256:1"}])
    engine.error("DELETE /images/no", 404, "No such image: no:latest")
    ran = bireme("rmi", "no", "busybox:t2")
    assert ran == (
        1,
        "Untagged: busybox:t2\nDeleted: sha256:1\n",
        "Error response from daemon: No such image: no:latest\n",
    )
    engine.error("DELETE /images/no?force=1", 404, "No such image: no:latest")
    assert bireme("rmi", "-f", "no").status == 0


def test_history(engine: FakeEngine, bireme: CommandLine) -> None:
    engine.on("GET /images/b/history", [{"Id": "sha256:" + "1" * 64, "Created": 1, "CreatedBy": "x\ty", "Size": 2000}])
    assert bireme("history", "--format", "{{.ID}} {{.CreatedBy}} {{.Size}}", "b").out == f"{'1' * 12} x y 2kB\n"
    assert bireme("history", "--human=false", "--format", "{{.Size}}", "b").out == "2000\n"
    assert bireme("history", "-q", "b").out == f"{'1' * 12}\n"


def test_volumes(engine: FakeEngine, bireme: CommandLine) -> None:
    volumes = [{"Name": name, "Driver": "local", "Mountpoint": f"/v/{name}"} for name in ("b", "a")]
    engine.on("GET /volumes", {"Volumes": volumes, "Warnings": ["odd"]})
    assert bireme("volume", "ls", "-q") == (0, "a\nb\n", "WARNING: odd\n")
    assert bireme("volume", "ls", "--format", "{{.Mountpoint}}").out == "/v/a\n/v/b\n"
    usage = [{"Name": "a", "UsageData": {"Size": 5, "RefCount": 0}}]
    engine.on("GET /system/df?type=volume", {"Volumes": usage})
    assert bireme("volume", "ls", "--format", "{{.Name}} {{.Size}}").out == "a 5B\nb N/A\n"
    engine.error("DELETE /volumes/x?force=1", 404, "no such volume")
    assert bireme("volume", "rm", "-f", "x") == (0, "x\n", "")


def test_inspect_shows_what_it_finds_and_tells_what_not(engine: FakeEngine, bireme: CommandLine) -> None:
    facts = {"Id": ID, "Config": {"Volumes": {"/d": {}}, "Env": None}, "Mounts": [{"Source": "/s", "RW": True}]}
    engine.on("GET /containers/w/json", facts)
    engine.error("GET /containers/no/json", 404, "No such container: no")
    engine.error("GET /containers/i/json", 404, "No such container: i")
    engine.on("GET /images/i/json", {"Id": "sha256:1"})
    engine.error("GET /images/no/json", 404, "No such image: no")
    engine.error("GET /volumes/no", 404, "no such volume")
    ran = bireme("inspect", "w", "no", "i")
    assert (ran.status, ran.err) == (1, "Error: No such object: no\n")
    assert json.loads(ran.out) == [facts, {"Id": "sha256:1"}]
    assert bireme("inspect", "no") == (1, "[]\n", "Error: No such object: no\n")
    assert bireme("inspect", "-f", "{{.Id}}", "no") == (1, "\n", "Error: No such object: no\n")
    form = "{{range .Mounts}}{{.Source}} {{.RW}}{{end}} {{json .Config.Env}} {{.ID}}"
    assert bireme("inspect", "-f", form, "w").out == f"/s true null {ID}\n"
    assert bireme("inspect", "-f", "{{.Nope}}", "w").status == 1
    assert bireme("inspect", "-f", "{{nope}}", "w").status == 64
    assert bireme("inspect", "--type", "image", "no").err == "Error response from daemon: No such image: no\n"
    assert bireme("inspect", "--type", "network", "no").err.startswith('unknown type: "network"')
    assert bireme("container", "inspect", "no").err == "Error response from daemon: No such container: no\n"


def test_inspect_passes_other_errors_on(engine: FakeEngine, bireme: CommandLine) -> None:
    engine.error("GET /containers/4/json", 400, "Multiple IDs found with provided prefix: 4")
    ran = bireme("inspect", "4")
    assert ran == (1, "[]\n", "Error response from daemon: Multiple IDs found with provided prefix: 4\n")


# --- the rest


def test_prunes_ask_first(engine: FakeEngine, bireme: CommandLine) -> None:
    engine.on("POST /containers/prune", {"ContainersDeleted": ["a", "b"], "SpaceReclaimed": 1234})
    ran = bireme("container", "prune", stdin=b"n\n")
    assert ran.status == 0
    assert ran.out.startswith("WARNING! This will remove all stopped containers.\nAre you sure")
    assert engine.lines == []
    assert bireme("container", "prune", stdin=b"y\n").out.endswith(
        "Deleted Containers:\na\nb\n\nTotal reclaimed space: 1.234kB\n"
    )
    engine.on("POST /volumes/prune", {"VolumesDeleted": None, "SpaceReclaimed": 0})
    assert bireme("volume", "prune", "-f").out == "Total reclaimed space: 0B\n"
    engine.on(
        "POST /images/prune?filters=%7B%22dangling%22%3A%7B%22false%22%3Atrue%7D%7D",
        {"ImagesDeleted": [{"Untagged": "a:1"}, {"Deleted": "sha256:1"}], "SpaceReclaimed": 0},
    )
    assert bireme("image", "prune", "-af").out.startswith("Deleted Images:\nuntagged: a:1\ndeleted: sha256:1\n\n")


def test_all_at_once_is_pruned_after_one_question(engine: FakeEngine, bireme: CommandLine) -> None:
    engine.on("POST /containers/prune", {"ContainersDeleted": ["c"], "SpaceReclaimed": 1000})
    engine.on("POST /volumes/prune", {"VolumesDeleted": ["v"], "SpaceReclaimed": 200})
    images = "POST /images/prune?filters=%7B%22dangling%22%3A%7B%22true%22%3Atrue%7D%7D"
    engine.on(images, {"ImagesDeleted": None, "SpaceReclaimed": 30})
    refused = bireme("system", "prune", stdin=b"n\n")
    assert "  - all stopped containers\n  - all dangling images\n" in refused.out
    assert "volumes" not in refused.out
    assert engine.lines == []
    assert bireme("system", "prune", "-f").out == "Deleted Containers:\nc\n\nTotal reclaimed space: 1.03kB\n"
    assert [line.partition("?")[0] for line in engine.lines] == ["POST /containers/prune", "POST /images/prune"]
    assert bireme("system", "prune", "-f", "--volumes").out == (
        "Deleted Containers:\nc\n\nDeleted Volumes:\nv\n\nTotal reclaimed space: 1.23kB\n"
    )


def test_diff_and_top(engine: FakeEngine, bireme: CommandLine) -> None:
    engine.on(
        "GET /containers/w/changes", [{"Path": "/t", "Kind": 0}, {"Path": "/t/n", "Kind": 1}, {"Path": "/g", "Kind": 2}]
    )
    assert bireme("diff", "w").out == "C /t\nA /t/n\nD /g\n"
    engine.on("GET /containers/w/top?ps_args=-o%20pid", {"Titles": ["PID", "CMD"], "Processes": [["1", "sh"]]})
    assert bireme("top", "w", "-o", "pid").out == "PID                 CMD\n1                   sh\n"


def test_stats_work_out_shares_between_two_samples(
    engine: FakeEngine, bireme: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[float] = []
    monkeypatch.setattr("bireme.cli.verbs.stats.time.sleep", rounds.append)
    line = "GET /containers/w/stats?stream=0&one-shot=1"
    for used in (100, 300):
        cpu = {"cpu_usage": {"total_usage": used}, "system_cpu_usage": used * 5, "online_cpus": 1}
        engine.on(line, {"id": ID, "name": "/w", "cpu_stats": cpu})
    engine.on("GET /containers/w/json", {"Id": ID})
    assert bireme("stats", "--no-stream", "--format", "{{.Name}} {{.CPUPerc}} {{.PIDs}}", "w").out == "w 20.00% 0\n"
    assert rounds == [1.0]
    engine.error("GET /containers/no/json", 404, "No such container: no")
    assert bireme("stats", "no").status == 1


def test_info_and_version(engine: FakeEngine, bireme: CommandLine) -> None:
    engine.on(
        "GET /info", {"Containers": 2, "EnginePid": 5, "LauncherPid": 6, "Warnings": ["odd"], "MemTotal": 1 << 30}
    )
    assert json.loads(bireme("info", "--format", "json").out)["LauncherPid"] == 6
    assert bireme("info", "-f", "{{.EnginePid}}").out == "5\n"
    ran = bireme("info")
    assert ran.err == "odd\n"
    assert " Containers: 2\n" in ran.out
    assert " Total Memory: 1GiB\n" in ran.out
    engine.on(
        "GET /version", {"Version": "9", "ApiVersion": "1.41", "MinAPIVersion": "1.24", "Os": "linux", "Arch": "amd64"}
    )
    assert bireme("version", "--format", "{{.Server.Version}} {{.Client.APIVersion}}").out == "9 1.41\n"
    assert "  API version:     1.41 (minimum version 1.24)\n" in bireme("version").out


def test_version_tells_of_itself_where_no_engine_is(bireme: CommandLine) -> None:
    ran = bireme("version")
    assert ran.status == 1
    assert ran.out.startswith("Client: Bireme\n Version:")
    assert ran.err.startswith("Cannot connect")


def test_disk_usage(engine: FakeEngine, bireme: CommandLine) -> None:
    engine.on("GET /system/df", {"LayersSize": 5, "Images": [], "Containers": [], "Volumes": []})
    assert (
        bireme("system", "df", "--format", "{{.Type}} {{.Size}}").out == "Images 5B\nContainers 0B\nLocal Volumes 0B\n"
    )
    for flags in ((), ("--format", "table")):
        assert bireme("system", "df", "-v", *flags).out.startswith("Images space usage:\n\nREPOSITORY")


def test_disk_usage_of_each_thing_is_one_value_for_a_template(engine: FakeEngine, bireme: CommandLine) -> None:
    volume = {"Name": "v1", "Driver": "local", "UsageData": {"Size": 3000, "RefCount": 2}}
    engine.on("GET /system/df", {"LayersSize": 0, "Images": [], "Containers": [], "Volumes": [volume]})
    out = bireme("system", "df", "-v", "--format", "{{range .Volumes}}{{.Name}} {{.Links}} {{.Size}}{{end}}").out
    assert out == "v1 2 3kB\n"
    found = json.loads(bireme("system", "df", "-v", "--format", "json").out)
    assert [row["Name"] for row in found["Volumes"]] == ["v1"]
    assert found["Images"] == found["Containers"] == found["BuildCache"] == []


def test_shutdown_without_an_engine(bireme: CommandLine, tmp_path: Path) -> None:
    assert bireme("shutdown") == (0, "", f"no engine runs at unix://{tmp_path}/engine.sock\n")
