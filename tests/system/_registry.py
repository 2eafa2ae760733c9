"""A registry as others run it: Debian's docker-registry on loopback, and a line to it that can be cut."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

PROGRAM = shutil.which("docker-registry") or ""
USER, PASSWORD = "me", "secret"
_HTPASSWD = "me:$2b$04$R7MbmX765tORpyO/sliTQuy7agqih/o01l.fygsU8mLwfUT50NcZ6\n"
"""That name and password, by bcrypt: the only kind that the registry takes."""
_START = 30.0
_PIECE = 1 << 14
_CONFIG = """\
version: 0.1
log: {{level: warn}}
storage:
  filesystem: {{rootdirectory: {place}/data}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@contextlib.contextmanager
def running_registry(place: Path, *, password: bool = False) -> Iterator[str]:
    """``host:port`` of a registry with data of its own, for the length of the block."""
    port = free_port()
    text = _CONFIG.format(place=place, port=port)
    if password:
        (place / "htpasswd").write_text(_HTPASSWD)
        text += f"auth: {{htpasswd: {{realm: test, path: {place}/htpasswd}}}}\n"
    (place / "config.yml").write_text(text)
    with (
        open(place / "log", "wb") as log,
        subprocess.Popen([PROGRAM, "serve", str(place / "config.yml")], stdout=log, stderr=log, cwd=place) as process,
    ):
        try:
            _wait_for_answer(port, process, place / "log")
            yield f"127.0.0.1:{port}"
        finally:
            process.kill()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _wait_for_answer(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=5).close()
            return
        except urllib.error.HTTPError as answer:
            answer.close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the registry does not answer: {log.read_text()[-2000:]}") from None
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)


class Line:
    """A proxy to a registry. After ``allowed`` bytes of one connection's answers it is cut, or stalls.

    Only the first connection that gets there is; ``ranges`` are the beginnings that clients asked to go on from.
    """

    def __init__(self, target: str, *, allowed: int, stall: bool = False) -> None:
        host, _, port = target.partition(":")
        self._target = host, int(port)
        self._allowed = allowed
        self._stall = stall
        self._server = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = [self._server]
        self._threads: list[threading.Thread] = []
        self.host = f"127.0.0.1:{self._server.getsockname()[1]}"
        self.broken = threading.Event()
        """Set once the line has been cut, or stalls."""
        self.ranges: list[int] = []

    def __enter__(self) -> Line:
        self._run(self._accept)
        return self

    def __exit__(self, *error: object) -> None:
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(10)

    def _run(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)  # type: ignore[arg-type]  # any callable does
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                upstream = socket.create_connection(self._target)
                self._open += [client, upstream]
                self._run(self._requests, client, upstream)
                self._run(self._answers, upstream, client)

    def _requests(self, client: socket.socket, upstream: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(_PIECE):
                self.ranges += [int(found) for found in re.findall(rb"[Rr]ange: bytes=(\d+)-", data)]
                upstream.sendall(data)
        _hang_up(upstream)

    def _answers(self, upstream: socket.socket, client: socket.socket) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := upstream.recv(_PIECE):
                client.sendall(data)
                passed += len(data)
                if passed > self._allowed and not self.broken.is_set():
                    self.broken.set()
                    if self._stall:
                        return
                    break
        _hang_up(client)
        _hang_up(upstream)


def _hang_up(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
