"""The client on a terminal and under signals: a process of its own, seen from the other end of a pseudo-terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from typing import TYPE_CHECKING

import pytest

from tests.runtime.cli.fake_engine import frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.runtime.cli.fake_engine import FakeEngine

ID = "4a3162e06825" + "ab" * 26
_LIMIT = 10.0


class Session:
    """A client whose terminal we hold the other end of."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int) -> None:
        self.process = process
        self.terminal = terminal
        self.seen = b""

    def read_until(self, text: bytes) -> None:
        """Until the terminal has shown ``text``."""
        while text not in self.seen:
            readable, _, _ = select.select([self.terminal], [], [], _LIMIT)
            assert readable, f"{text!r} never came: {self.seen!r}"
            self.seen += self._read()

    def _read(self) -> bytes:
        with contextlib.suppress(OSError):  # the terminal's last user has gone
            data = os.read(self.terminal, 4096)
            if data:
                return data
        pytest.fail(f"the terminal ended: {self.seen!r}")

    def type(self, keys: bytes) -> None:
        os.write(self.terminal, keys)

    @property
    def raw(self) -> bool:
        flags: int = termios.tcgetattr(self.terminal)[3]
        return not flags & termios.ICANON


@contextlib.contextmanager
def on_a_terminal(engine: FakeEngine, *words: str, rows: int = 30, columns: int = 100) -> Iterator[Session]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "bireme", "-H", f"unix://{engine.path}", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    try:
        yield Session(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(theirs)
        os.close(ours)


def interactive(engine: FakeEngine, output: bytes, *, after_input: bool) -> None:
    engine.on("POST /containers/create", {"Id": ID, "Warnings": []}, status=201)
    line = f"POST /containers/{ID}/attach?stream=1&stdin=1&stdout=1&stderr=1"
    engine.on(line, body=output, upgrade=True, after_input=after_input, hello=b"$ ")
    engine.on(f"POST /containers/{ID}/wait?condition=next-exit", {"StatusCode": 5})
    engine.on(f"POST /containers/{ID}/start")
    engine.on(f"POST /containers/{ID}/resize?h=30&w=100", status=200)


def test_a_terminal_is_raw_while_the_container_has_it(engine: FakeEngine) -> None:
    interactive(engine, b"tty\r\n", after_input=False)
    with on_a_terminal(engine, "run", "-it", "busybox") as session:
        session.read_until(b"tty\r\n")
        assert session.process.wait(_LIMIT) == 5
        assert not session.raw
    body = engine.requests[0].json
    assert isinstance(body, dict)
    assert body["Tty"] is True
    assert body["HostConfig"]["ConsoleSize"] == [30, 100]
    assert f"POST /containers/{ID}/resize?h=30&w=100" in engine.lines


def test_the_detach_keys_leave_the_container_running(engine: FakeEngine) -> None:
    interactive(engine, b"", after_input=True)
    with on_a_terminal(engine, "run", "-it", "busybox") as session:
        session.read_until(b"$ ")
        assert session.raw
        session.type(b"ls\r\x10\x11")
        assert session.process.wait(_LIMIT) == 0
        assert not session.raw
    engine.join()
    assert engine.typed == [b"ls\r"]


def test_leaving_an_attached_container_is_told(engine: FakeEngine) -> None:
    facts = {"Id": ID, "Config": {"Tty": True, "OpenStdin": True}, "State": {"Running": True}}
    engine.on("GET /containers/w/json", facts)
    engine.on(f"POST /containers/{ID}/wait", {"StatusCode": 0})
    line = f"POST /containers/{ID}/attach?stream=1&stdin=1&stdout=1&stderr=1"
    engine.on(line, after_input=True, hello=b"$ ")
    engine.on(f"POST /containers/{ID}/resize?h=30&w=100", status=200)
    with on_a_terminal(engine, "attach", "--detach-keys", "ctrl-a", "w") as session:
        session.read_until(b"$ ")
        session.type(b"\x01")
        session.read_until(b"read escape sequence")
        assert session.process.wait(_LIMIT) == 1


def test_an_archive_is_not_written_to_a_terminal(engine: FakeEngine) -> None:
    with on_a_terminal(engine, "save", "busybox") as session:
        session.read_until(b"cowardly refusing to save to a terminal")
        assert session.process.wait(_LIMIT) == 1
    with on_a_terminal(engine, "load") as session:
        session.read_until(b"requested load from stdin, but stdin is empty")
    assert engine.lines == []


def foreground(engine: FakeEngine) -> None:
    """A container that writes ``ready`` and runs until it is killed."""
    engine.on("POST /containers/create", {"Id": ID, "Warnings": []}, status=201)
    line = f"POST /containers/{ID}/attach?stream=1&stdout=1&stderr=1"
    killed = engine.until("POST /containers/" + ID + "/kill")
    engine.on(line, body=frame(1, b"ended\n"), upgrade=True, hello=frame(1, b"ready\n"), until=killed)
    engine.on(f"POST /containers/{ID}/wait?condition=next-exit", {"StatusCode": 143}, until=killed)
    engine.on(f"POST /containers/{ID}/start")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_belong_to_the_container(engine: FakeEngine, signum: signal.Signals) -> None:
    foreground(engine)
    line = f"POST /containers/{ID}/kill?signal={signum.name.removeprefix('SIG')}"
    engine.on(line)
    process = subprocess.Popen(
        [sys.executable, "-m", "bireme", "-H", f"unix://{engine.path}", "run", "busybox"], stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signum)
        assert process.stdout.read() == b"ended\n"
        assert process.wait(_LIMIT) == 143
    assert line in engine.lines


def test_signals_are_ours_where_that_is_asked_for(engine: FakeEngine) -> None:
    foreground(engine)
    command = [sys.executable, "-m", "bireme", "-H", f"unix://{engine.path}", "run", "--sig-proxy=false", "busybox"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(_LIMIT) == 130
    engine.let_go()
    assert not [line for line in engine.lines if "/kill" in line]


def test_a_reader_who_has_enough_ends_the_client_quietly(engine: FakeEngine) -> None:
    engine.on("GET /containers/w/json", {"Id": ID, "Config": {}})
    engine.on(f"GET /containers/{ID}/logs?stderr=1&stdout=1&tail=all", body=frame(1, b"line\n" * 100_000))
    process = subprocess.Popen(
        [sys.executable, "-m", "bireme", "-H", f"unix://{engine.path}", "logs", "w"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"line\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(_LIMIT) == -signal.SIGPIPE
