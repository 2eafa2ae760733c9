"""The recorded exchanges, byte by byte, with a real engine."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import socket
import tarfile

import pytest

from bireme.images.platforms import host
from bireme.server.streams import frame
from tests.runtime.server.served import Engine, frames

pytestmark = pytest.mark.root

UPGRADE = ("Connection: Upgrade", "Upgrade: tcp")


def create(engine: Engine, command: list[str], **fields: object) -> str:
    status, answer = engine.ask("POST", "/containers/create", {"Image": "busybox", "Cmd": command, **fields})
    assert (status, answer["Warnings"]) == (201, [])
    return str(answer["Id"])


def post(engine: Engine, target: str, *headers: str, body: bytes = b"") -> tuple[socket.socket, bytes]:
    """Send by hand; the connection, and the answer's head with what came along."""
    sock = engine.connect()
    lines = (f"POST /v1.41{target} HTTP/1.1", "Host: docker", f"Content-Length: {len(body)}", *headers, "", "")
    sock.sendall("\r\n".join(lines).encode() + body)
    head = b""
    while b"\r\n\r\n" not in head:
        head += sock.recv(1)
    return sock, head


def rest(sock: socket.socket) -> bytes:
    data = b"".join(iter(lambda: sock.recv(65536), b""))
    sock.close()
    return data


def test_run_in_the_foreground(engine: Engine) -> None:
    container = create(engine, ["sh", "-c", "echo hi; echo err >&2; exit 3"])
    streams, head = post(engine, f"/containers/{container}/attach?stderr=1&stdout=1&stream=1", *UPGRADE)
    assert head.startswith(b"HTTP/1.1 101 UPGRADED\r\n")
    streams.shutdown(socket.SHUT_WR)
    waiting, head = post(engine, f"/containers/{container}/wait?condition=next-exit")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert engine.ask("POST", f"/containers/{container}/start") == (204, b"")
    assert sorted(frames(rest(streams))) == [(1, b"hi\n"), (2, b"err\n")]
    assert waiting.recv(1000).startswith(b'1e\r\n{"Error":null,"StatusCode":3}\n\r\n')
    waiting.close()
    assert engine.ask("POST", f"/containers/{container}/start")[0] == 204
    assert engine.ask("POST", f"/containers/{container}/wait")[1] == {"Error": None, "StatusCode": 3}
    assert engine.ask("DELETE", f"/containers/{container}") == (204, b"")
    assert engine.ask("DELETE", f"/containers/{container}") == (404, {"message": f"No such container: {container}"})


def test_waiting_for_a_removal_outlives_the_container(engine: Engine) -> None:
    container = create(engine, ["true"], HostConfig={"AutoRemove": True})
    waiting, _ = post(engine, f"/containers/{container}/wait?condition=removed", "Connection: close")
    assert engine.ask("POST", f"/containers/{container}/start")[0] == 204
    assert b'"StatusCode":0' in rest(waiting)
    assert engine.ask("GET", f"/containers/{container}/json")[0] == 404


@pytest.mark.parametrize("condition", ["not-running", "next-exit", "removed"])
def test_a_crowd_that_waits_hears_of_it_once_and_its_connections_go_on(engine: Engine, condition: str) -> None:
    container = create(engine, ["sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.05; done"])
    assert engine.ask("POST", f"/containers/{container}/start")[0] == 204
    target = f"/containers/{container}/wait?condition={condition}"
    staying = [post(engine, target)[0] for _ in range(50)]
    closing = [post(engine, target, "Connection: close")[0] for _ in range(50)]
    for sock in (staying.pop(), closing.pop()):
        sock.close()
    assert engine.ask("POST", f"/containers/{container}/stop")[0] == 204
    assert engine.ask("DELETE", f"/containers/{container}")[0] == 204
    answer = b'1e\r\n{"Error":null,"StatusCode":5}\n\r\n0\r\n\r\n'
    assert [rest(sock) for sock in closing] == [answer] * 49
    for sock in staying:
        sock.sendall(b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")
        assert rest(sock).startswith(answer + b"HTTP/1.1 200 ")


def test_the_end_of_input_is_passed_on_and_output_goes_on(engine: Engine) -> None:
    body = {"OpenStdin": True, "StdinOnce": True, "AttachStdin": True, "HostConfig": {"AutoRemove": True}}
    container = create(engine, ["sh", "-c", "cat; echo end"], **body)
    streams, _ = post(engine, f"/containers/{container}/attach?stdin=1&stdout=1&stderr=1&stream=1", "Upgrade: tcp")
    engine.ask("POST", f"/containers/{container}/start")
    streams.sendall(b"abc")
    streams.shutdown(socket.SHUT_WR)
    assert b"".join(data for _, data in frames(rest(streams))) == b"abcend\n"


def test_states_that_forbid(engine: Engine) -> None:
    container = create(engine, ["sleep", "1000"])
    assert engine.ask("POST", f"/containers/{container}/stop") == (304, b"")
    assert engine.ask("POST", f"/containers/{container}/kill")[0] == 409
    assert engine.ask("POST", f"/containers/{container}/exec", {"Cmd": ["true"]})[0] == 409
    assert engine.ask("POST", f"/containers/{container}/resize?h=1&w=1")[0] == 409
    assert engine.ask("POST", f"/containers/{container}/start")[0] == 204
    assert engine.ask("POST", f"/containers/{container}/start") == (304, b"")
    assert engine.ask("POST", f"/containers/{container}/unpause")[0] == 409
    assert engine.ask("DELETE", f"/containers/{container}")[0] == 409
    assert engine.ask("POST", f"/containers/{container}/wait?condition=nosuch")[0] == 400
    assert engine.ask("POST", f"/containers/{container}/kill?signal=NOSUCH")[0] == 400
    assert engine.ask("POST", f"/containers/{container}/stop?t=0")[0] == 204
    assert engine.ask("DELETE", f"/containers/{container}")[0] == 204


def test_exec_over_the_wire(engine: Engine) -> None:
    container = create(engine, ["sleep", "1000"])
    engine.ask("POST", f"/containers/{container}/start")
    made = {"AttachStdout": True, "AttachStderr": True, "Cmd": ["sh", "-c", "echo x; exit 5"]}
    status, answer = engine.ask("POST", f"/containers/{container}/exec", made)
    assert status == 201
    json_kind = "Content-Type: application/json"
    upgrade = ("Connection: Upgrade", "Upgrade: tcp", json_kind)
    streams, head = post(engine, f"/exec/{answer['Id']}/start", *upgrade, body=b"{}")
    assert head.startswith(b"HTTP/1.1 101 UPGRADED\r\n")
    assert frames(rest(streams)) == [(1, b"x\n")]
    found = engine.ask("GET", f"/exec/{answer['Id']}/json")[1]
    assert (found["Running"], found["ExitCode"], found["ContainerID"]) == (False, 5, container)
    assert engine.ask("POST", f"/exec/{answer['Id']}/start", {})[0] == 409
    assert engine.ask("GET", "/exec/nosuch/json")[0] == 404
    engine.ask("DELETE", f"/containers/{container}?force=1")


def test_frames_are_for_who_starts_without_a_terminal_also_of_a_process_that_has_one(engine: Engine) -> None:
    container = create(engine, ["sleep", "1000"])
    engine.ask("POST", f"/containers/{container}/start")
    made = {"AttachStdout": True, "Tty": True, "Cmd": ["printf", "x"]}
    head = ("Connection: Upgrade", "Upgrade: tcp", "Content-Type: application/json")
    for start, expected in ((b"{}", frame("stdout", b"x")), (b'{"Tty": true}', b"x")):
        answer = engine.ask("POST", f"/containers/{container}/exec", made)[1]
        streams, _ = post(engine, f"/exec/{answer['Id']}/start", *head, body=start)
        assert rest(streams) == expected
    engine.ask("DELETE", f"/containers/{container}?force=1")


def test_what_was_killed_has_ended_when_the_answer_comes(engine: Engine) -> None:
    for _ in range(10):
        container = create(engine, ["sleep", "1000"])
        engine.ask("POST", f"/containers/{container}/start")
        assert engine.ask("POST", f"/containers/{container}/kill") == (204, b"")
        assert engine.ask("DELETE", f"/containers/{container}") == (204, b"")


def test_each_line_of_a_log_is_a_frame_of_its_own(engine: Engine) -> None:
    container = create(engine, ["printf", "one\\ntwo\\n\\rthree"])
    engine.ask("POST", f"/containers/{container}/start")
    engine.ask("POST", f"/containers/{container}/wait")
    log = engine.ask("GET", f"/containers/{container}/logs?stdout=1")[1]
    assert frames(log) == [(1, b"one\n"), (1, b"two\n"), (1, b"\rthree")]
    engine.ask("DELETE", f"/containers/{container}")


def test_nothing_comes_along_with_the_head_of_a_stream(engine: Engine) -> None:
    """A client whose HTTP library reads the head through a buffer goes on with the bare socket."""
    container = create(engine, ["echo", "out"])
    engine.ask("POST", f"/containers/{container}/start")
    engine.ask("POST", f"/containers/{container}/wait")
    for _ in range(20):
        sock = engine.connect()
        sock.sendall(f"POST /containers/{container}/attach?stdout=1&logs=1 HTTP/1.1\r\nHost: d\r\n\r\n".encode())
        head = sock.recv(1 << 16)
        assert head.endswith(b"\r\n\r\n")
        assert frames(rest(sock)) == [(1, b"out\n")]
    engine.ask("DELETE", f"/containers/{container}")


def test_compressed_archives_go_in(engine: Engine) -> None:
    container = create(engine, ["cat", "/tmp/file"])
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            member = tarfile.TarInfo("file")
            member.size = 7
            tar.addfile(member, io.BytesIO(b"content"))
        archive = buffer.getvalue()
    target = f"/containers/{container}/archive?path=/tmp"
    assert engine.ask("PUT", target, gzip.compress(archive), "application/x-tar")[0] == 200
    status, packed = engine.ask("GET", f"/containers/{container}/archive?path=/tmp/file")
    assert status == 200
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        found = tar.extractfile("file")
        assert found is not None
        assert found.read() == b"content"
    assert engine.ask("PUT", target, b"no tar at all" * 100, "application/x-tar")[0] == 400
    assert engine.ask("PUT", f"/containers/{container}/archive?path=/nosuch", archive, "application/x-tar")[0] == 404
    assert engine.ask("GET", f"/containers/{container}/archive?path=/nosuch")[0] == 404
    engine.ask("DELETE", f"/containers/{container}")


def test_what_was_asked_for_is_what_inspect_shows(engine: Engine) -> None:
    host = {"PortBindings": {}, "LogConfig": {"Type": "json-file", "Config": {}}, "CpuPeriod": 10000, "CpuQuota": 5000}
    exposed: dict[str, object] = {"80/tcp": {}}
    container = create(engine, ["true"], ExposedPorts=exposed, AttachStdout=True, HostConfig=host, Domainname="d")
    found = engine.ask("GET", f"/containers/{container}/json?size=1")[1]
    assert (found["Config"]["ExposedPorts"], found["Config"]["AttachStdout"]) == (exposed, True)
    assert (found["HostConfig"]["CpuQuota"], found["Config"]["Domainname"]) == (5000, "d")
    assert found["SizeRootFs"] > found["SizeRw"] >= 0
    engine.ask("DELETE", f"/containers/{container}")


HOSTS = {"PidMode": "host", "UTSMode": "host"}


def run(engine: Engine, script: str, host: dict[str, str]) -> tuple[dict[str, str], str]:
    """What ``inspect`` shows of the host's part, and what was printed."""
    container = create(engine, ["sh", "-c", script], HostConfig=host)
    engine.ask("POST", f"/containers/{container}/start")
    engine.ask("POST", f"/containers/{container}/wait")
    shown = engine.ask("GET", f"/containers/{container}/json")[1]["HostConfig"]
    logs = engine.ask("GET", f"/containers/{container}/logs?stdout=1")[1]
    engine.ask("DELETE", f"/containers/{container}")
    return shown, b"".join(data for _, data in frames(logs)).decode()


@pytest.fixture(scope="module")
def sharing(engine: Engine) -> Engine:
    """One that has shared the host's PIDs before: the launcher for that stays."""
    run(engine, "true", HOSTS)
    return engine


def test_a_container_with_the_hosts_pids_and_its_name(sharing: Engine) -> None:
    shown, printed = run(sharing, "for i in pid uts; do readlink /proc/self/ns/$i; done; hostname", HOSTS)
    assert (shown["PidMode"], shown["UTSMode"]) == ("host", "host")
    namespaces = [os.readlink(f"/proc/self/ns/{kind}") for kind in ("pid", "uts")]
    assert printed.splitlines() == [*namespaces, os.uname().nodename]
    shown, printed = run(sharing, "for i in pid uts; do readlink /proc/self/ns/$i; done", {})
    assert (shown["PidMode"], shown["UTSMode"]) == ("", "")
    assert not {*printed.splitlines()} & {*namespaces}


@pytest.mark.parametrize("mode", ["container:x", "mine"])
def test_other_pids_are_refused(engine: Engine, mode: str) -> None:
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"PidMode": mode}}
    status, answer = engine.ask("POST", "/containers/create", body)
    assert (status, f"invalid PID mode '{mode}'" in answer["message"]) == (400, True)


def test_listing_with_filters(engine: Engine) -> None:
    containers = [create(engine, ["true"], Labels={"n": str(number)}) for number in range(3)]

    def listed(query: str = "", **filters: list[str]) -> list[str]:
        answer = engine.ask("GET", f"/containers/json?{query}&filters={json.dumps(filters).replace(' ', '')}")[1]
        return [entry["Id"] for entry in answer]

    assert listed("all=1") == containers[::-1]
    assert listed() == []
    assert listed("limit=2") == containers[:0:-1]
    assert listed("all=1", label=["n=1"]) == [containers[1]]
    assert listed("all=1", before=[containers[1]]) == [containers[0]]
    assert listed("all=1", since=[containers[1]]) == [containers[2]]
    assert listed(status=["created"]) == containers[::-1]
    assert listed("all=1", ancestor=["busybox"]) == containers[::-1]
    assert listed("all=1", ancestor=["nosuch"]) == []
    assert listed("all=1", id=[containers[0][:12]]) == [containers[0]]
    assert engine.ask("GET", '/containers/json?filters={"status":["nosuch"]}')[0] == 400
    removed = engine.ask("POST", '/containers/prune?filters={"label":["n=1"]}')[1]
    assert removed["ContainersDeleted"] == [containers[1]]
    removed = engine.ask("POST", "/containers/prune")[1]
    assert set(removed["ContainersDeleted"]) == {containers[0], containers[2]}


def test_what_is_not_kept_cannot_be_read_again(engine: Engine) -> None:
    container = create(engine, ["echo", "hi"], HostConfig={"LogConfig": {"Type": "none"}})
    for path in ("logs?stdout=1", "logs?stdout=1&follow=1"):
        status, answer = engine.ask("GET", f"/containers/{container}/{path}")
        assert status == 501
        assert answer["message"].startswith("configured logging driver does not support reading")
    assert engine.ask("GET", f"/containers/{container}/logs")[0] == 400
    assert engine.ask("POST", f"/containers/{container}/attach?stdout=1&logs=1")[0] == 501
    streams, _ = post(engine, f"/containers/{container}/attach?stdout=1&stream=1", *UPGRADE)
    assert engine.ask("POST", f"/containers/{container}/start")[0] == 204
    assert frames(rest(streams)) == [(1, b"hi\n")]
    inspected = engine.ask("GET", f"/containers/{container}/json")[1]
    assert (inspected["LogPath"], inspected["HostConfig"]["LogConfig"]) == ("", {"Type": "none", "Config": {}})
    assert engine.ask("DELETE", f"/containers/{container}")[0] == 204


def test_a_client_that_hangs_up_holds_nothing_up_that_is_not_kept(engine: Engine) -> None:
    """It has read a little; the container would write for ever."""
    command = ["sh", "-c", "yes | head -c 100000000"]
    container = create(engine, command, HostConfig={"LogConfig": {"Type": "none"}})
    streams, _ = post(engine, f"/containers/{container}/attach?stdout=1&stream=1", *UPGRADE)
    assert engine.ask("POST", f"/containers/{container}/start")[0] == 204
    assert streams.recv(8)[:1] == b"\1"
    streams.close()
    assert engine.ask("POST", f"/containers/{container}/wait")[1]["StatusCode"] == 0
    assert engine.ask("DELETE", f"/containers/{container}")[0] == 204


def test_a_client_that_does_not_read_is_given_up_and_told_when_it_does(engine: Engine) -> None:
    command = ["sh", "-c", "yes | head -c 50000000"]
    container = create(engine, command, HostConfig={"LogConfig": {"Type": "none"}})
    streams, _ = post(engine, f"/containers/{container}/attach?stdout=1&stream=1", *UPGRADE)
    assert engine.ask("POST", f"/containers/{container}/start")[0] == 204
    assert engine.ask("POST", f"/containers/{container}/wait")[1]["StatusCode"] == 0
    stream, text = frames(rest(streams))[-1]
    assert stream == 2
    assert text.startswith(b"bireme: output of container ")
    assert b" is lost: " in text
    assert engine.ask("DELETE", f"/containers/{container}")[0] == 204


def test_the_platform_of_an_image_is_asked_for(engine: Engine) -> None:
    body = {"Image": "busybox", "Cmd": ["true"]}
    for platform in ("linux", f"linux/{host().architecture}"):
        status, answer = engine.ask("POST", f"/containers/create?platform={platform}", body)
        assert status == 201
        engine.ask("DELETE", f"/containers/{answer['Id']}")
    for platform, status, reason in (
        ("linux/s390x", 404, "image with reference busybox was found but does not match the specified platform"),
        ("windows", 404, "wanted windows/"),
        ("linux/", 400, "is an invalid component"),
    ):
        found, answer = engine.ask("POST", f"/containers/create?platform={platform}", body)
        assert (found, reason in answer["message"]) == (status, True)
    missing = engine.ask("POST", "/containers/create?platform=linux", {**body, "Image": "nosuch"})
    assert missing == (404, {"message": "No such image: nosuch:latest"})


def test_an_image_of_other_machines_is_warned_of_unless_it_was_asked_for(engine: Engine) -> None:
    loading, _ = post(engine, "/images/load", "Connection: close", body=foreign_image())
    assert b"Loaded image: foreign:latest" in rest(loading)
    body = {"Image": "foreign", "Cmd": ["/x"]}
    status, answer = engine.ask("POST", "/containers/create", body)
    assert (status, len(answer["Warnings"])) == (201, 1)
    assert "platform (linux/s390x) does not match the detected host platform" in answer["Warnings"][0]
    engine.ask("DELETE", f"/containers/{answer['Id']}")
    status, answer = engine.ask("POST", "/containers/create?platform=linux/s390x", body)
    assert (status, answer["Warnings"]) == (201, [])
    engine.ask("DELETE", f"/containers/{answer['Id']}")
    assert engine.ask("DELETE", "/images/foreign")[0] == 200


def foreign_image() -> bytes:
    """What ``docker save`` writes of an image of another machine, without files."""
    layer = tar_of({})
    config = {
        "architecture": "s390x", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }  # fmt: skip
    manifest = [{"Config": "config.json", "RepoTags": ["foreign:latest"], "Layers": ["layer.tar"]}]
    documents = {"config.json": json.dumps(config).encode(), "manifest.json": json.dumps(manifest).encode()}
    return tar_of({**documents, "layer.tar": layer})


def tar_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def test_an_address_that_will_not_be_there_is_refused(engine: Engine) -> None:
    endpoint = {"EndpointsConfig": {"none": {"IPAMConfig": {"IPv4Address": "10.0.0.5"}}}}
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"}}
    status, answer = engine.ask("POST", "/containers/create", {**body, "NetworkingConfig": endpoint})
    assert status == 400
    assert answer["message"].startswith("user specified IP address is supported on user defined networks only")
    wrong = {**body, "NetworkingConfig": {"EndpointsConfig": {"none": 5}}}
    assert engine.ask("POST", "/containers/create", wrong)[0] == 400
