"""An engine's ends and its next beginnings: containers that go on, and nothing of theirs that is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.runtime.server.served import PATIENCE, Engine, frames

pytestmark = pytest.mark.root

COUNT = "i=0; while [ ! -e /go/on ]; do sleep 0.05; done; echo after; exit 9"


@pytest.fixture
def first(tmp_path: Path) -> Iterator[Engine]:
    engine = Engine(tmp_path)
    yield engine
    engine.shutdown()


def run(engine: Engine, *command: str) -> str:
    body = {"Image": "busybox", "Cmd": list(command), "Volumes": {"/go": {}}}
    container = str(engine.ask("POST", "/containers/create", body)[1]["Id"])
    assert engine.ask("POST", f"/containers/{container}/start")[0] == 204
    return container


def let_go(engine: Engine, container: str) -> None:
    (volume,) = engine.ask("GET", f"/containers/{container}/json")[1]["Mounts"]
    (Path(volume["Source"]) / "on").touch()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_containers_go_on_without_their_engine(first: Engine, signum: int) -> None:
    container = run(first, "sh", "-c", COUNT)
    first.end(signum)
    assert os.path.exists(first.socket) is (signum == signal.SIGKILL)
    second = Engine(first.directory)
    try:
        assert second.ask("GET", f"/containers/{container}/json")[1]["State"]["Running"]
        let_go(second, container)
        assert second.ask("POST", f"/containers/{container}/wait")[1]["StatusCode"] == 9
        assert frames(second.ask("GET", f"/containers/{container}/logs?stdout=1")[1]) == [(1, b"after\n")]
    finally:
        second.shutdown()


def test_what_is_not_kept_is_read_live_also_after_the_engine_was_replaced(first: Engine) -> None:
    body = {"Image": "busybox", "Cmd": ["sh", "-c", COUNT], "Volumes": {"/go": {}}}
    host = {"HostConfig": {"LogConfig": {"Type": "none"}}}
    container = str(first.ask("POST", "/containers/create", {**body, **host})[1]["Id"])
    assert first.ask("POST", f"/containers/{container}/start")[0] == 204
    first.end(signal.SIGKILL)
    second = Engine(first.directory)
    try:
        assert second.ask("GET", f"/containers/{container}/logs?stdout=1")[0] == 501
        streams = second.connect()
        streams.sendall(f"POST /containers/{container}/attach?stdout=1&stream=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += streams.recv(1)
        let_go(second, container)
        assert frames(b"".join(iter(lambda: streams.recv(65536), b""))) == [(1, b"after\n")]
        streams.close()
        assert second.ask("POST", f"/containers/{container}/wait")[1]["StatusCode"] == 9
    finally:
        second.shutdown()


def test_an_exit_while_no_engine_is_there_is_not_lost(first: Engine) -> None:
    container = run(first, "sh", "-c", COUNT)
    let_go_path = first.ask("GET", f"/containers/{container}/json")[1]["Mounts"][0]["Source"]
    pid = first.ask("GET", f"/containers/{container}/json")[1]["State"]["Pid"]
    process = os.pidfd_open(pid)
    first.end()
    (Path(let_go_path) / "on").touch()
    import select

    assert select.select([process], [], [], PATIENCE)[0]
    os.close(process)
    second = Engine(first.directory)
    try:
        assert second.ask("POST", f"/containers/{container}/wait")[1]["StatusCode"] == 9
    finally:
        second.shutdown()


def test_shutdown_stops_what_runs_and_answers_who_waits(first: Engine) -> None:
    container = run(first, "sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.05; done")
    waiting = first.connect()
    waiting.sendall(f"POST /containers/{container}/wait HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert waiting.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert first.ask("POST", "/bireme/shutdown")[0] == 200
    assert b'"StatusCode":5' in waiting.recv(1000)
    waiting.close()
    assert first.process.wait(PATIENCE) == 0
    assert not os.path.exists(first.socket)
    second = Engine(first.directory)
    try:
        assert second.ask("GET", f"/containers/{container}/json")[1]["State"]["ExitCode"] == 5
    finally:
        second.shutdown()


def test_who_waits_for_what_goes_on_without_the_engine_is_told_that_it_is_not_known(first: Engine) -> None:
    container = run(first, "sleep", "1000")
    waiting = [first.connect() for _ in range(20)]
    for sock in waiting:
        sock.sendall(f"POST /containers/{container}/wait HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert sock.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert first.end() == 0
    for sock in waiting:
        told = b"".join(iter(partial(sock.recv, 1000), b""))
        assert b'"StatusCode":-1' in told
        assert told.endswith(b"\r\n0\r\n\r\n")
        sock.close()
    Engine(first.directory).shutdown()


def test_a_root_in_use_is_refused_in_one_line(first: Engine, tmp_path: Path) -> None:
    program = (
        "import sys; from bireme.server import EngineSettings, run_engine; "
        "sys.exit(run_engine(EngineSettings(root=sys.argv[1], run_dir=sys.argv[2])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(first.directory / "root"), str(tmp_path / "other")],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("bireme: ")
    assert "in use" in done.stderr
