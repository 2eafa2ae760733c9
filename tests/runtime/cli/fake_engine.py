"""A small engine of recorded answers on a unix socket, and the command line run against it inside this process.

The engine is a thread that accepts, and a thread for each connection: what a client asks is noted in ``requests``,
what it is answered was laid down before with ``on``. Nothing here waits for time: the client's end ends everything.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bireme.cli._main import run as run_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_LIMIT = 10.0


class Request(NamedTuple):
    """``line`` is method, path and query without the version; ``body`` is what came, decoded from its chunks."""

    line: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> object:
        return json.loads(self.body)


class Answer(NamedTuple):
    """``upgrade``: ``body`` is a process's output, and all its input is read; ``after_input``: that first."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    upgrade: bool
    after_input: bool
    hello: bytes
    until: threading.Event | None


class FakeEngine:
    """Answers by the request's line; several answers for one line are given in turn, the last again and again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.requests: list[Request] = []
        self.typed: list[bytes] = []
        self.served: list[str] = []
        self._answers: dict[str, list[Answer]] = {}
        self._awaited: list[tuple[str, threading.Event]] = []
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> FakeEngine:
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(_LIMIT)
        assert not any(thread.is_alive() for thread in self._threads), "a client left its connection open"

    def on(
        self,
        line: str,
        answer: object = None,
        *,
        status: int = 0,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        upgrade: bool = False,
        after_input: bool = False,
        hello: bytes = b"",
        until: threading.Event | None = None,
    ) -> None:
        """``answer`` goes as JSON, ``body`` as it is, after ``hello`` and not before ``until`` is set."""
        content = body if body is not None else b"" if answer is None else json.dumps(answer).encode() + b"\n"
        status = status or (101 if upgrade or after_input else 200 if content else 204)
        self._answers.setdefault(line, []).append(
            Answer(status, content, headers or {}, upgrade or after_input, after_input, hello, until)
        )

    def until(self, start: str) -> threading.Event:
        """Set when a request whose line begins so has come, or ``let_go`` says so."""
        event = threading.Event()
        self._awaited.append((start, event))
        return event

    def let_go(self) -> None:
        """Whatever waits for a request waits no more."""
        for _, event in self._awaited:
            event.set()

    def join(self) -> None:
        """Until every connection so far has ended."""
        for thread in self._threads[1:]:
            thread.join(_LIMIT)

    def replace(self, line: str, answer: object = None, **how: Any) -> None:
        """As ``on``, in place of what was laid down before."""
        self._answers.pop(line, None)
        self.on(line, answer, **how)

    def error(self, line: str, status: int, message: str) -> None:
        self.on(line, {"message": message}, status=status)

    @property
    def lines(self) -> list[str]:
        return [request.line for request in self.requests]

    def last(self, start: str) -> Request:
        """The last request whose line begins so."""
        return next(request for request in reversed(self.requests) if request.line.startswith(start))

    def _spawn(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._spawn(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        with sock, sock.makefile("rb") as stream, contextlib.suppress(ConnectionError):
            while (request := _read_request(stream)) is not None:
                with self._lock:
                    self.requests.append(request)
                    for start, event in self._awaited:
                        if request.line.startswith(start):
                            event.set()
                    answers = self._answers.get(request.line) or [_unknown(request.line)]
                    answer = answers.pop(0) if len(answers) > 1 else answers[0]
                self._reply(sock, stream, request, answer)
                if answer.upgrade:
                    return

    def _reply(self, sock: socket.socket, stream: io.BufferedReader, request: Request, answer: Answer) -> None:
        head = [f"HTTP/1.1 {answer.status} SAID", *(f"{name}: {value}" for name, value in answer.headers.items())]
        if answer.upgrade:
            head += ["Connection: Upgrade", "Upgrade: tcp"]
        elif answer.status != 204 and not request.line.startswith("HEAD"):
            head += ["Transfer-Encoding: chunked", "Content-Type: application/json"]
        sock.sendall("\r\n".join(head).encode() + b"\r\n\r\n")
        sock.sendall(answer.hello)
        if answer.until is not None:
            assert answer.until.wait(_LIMIT)
        if answer.after_input:
            self.typed.append(stream.read())
        if answer.upgrade:
            sock.sendall(answer.body)
            sock.shutdown(socket.SHUT_WR)
            stream.read()
        elif answer.status != 204 and not request.line.startswith("HEAD"):
            chunk = b"%x\r\n%b\r\n" % (len(answer.body), answer.body) if answer.body else b""
            sock.sendall(chunk + b"0\r\n\r\n")
        self.served.append(request.line)


def _unknown(line: str) -> Answer:
    body = json.dumps({"message": f"nothing was laid down for {line}"}).encode()
    return Answer(501, body, {}, False, False, b"", None)


def _read_request(stream: io.BufferedReader) -> Request | None:
    first = stream.readline().decode()
    if not first:
        return None
    method, target, _ = first.split()
    headers: dict[str, str] = {}
    while line := stream.readline().decode().strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    target = "/" + target.split("/", 2)[2] if target.startswith("/v1.") else target
    return Request(f"{method} {target}", headers, _read_body(stream, headers))


def _read_body(stream: io.BufferedReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return stream.read(int(headers.get("content-length", "0")))
    body = b""
    while size := int(stream.readline() or b"-1", 16):
        if size < 0:
            raise ConnectionError("the client gave up in the middle of an upload")
        body += stream.read(size)
        stream.readline()
    stream.readline()
    return body


def frame(stream: int, data: bytes) -> bytes:
    """One frame of a process's output, as it is on the wire."""
    return bytes((stream, 0, 0, 0)) + len(data).to_bytes(4, "big") + data


class Ran(NamedTuple):
    status: int
    out: str
    err: str


class CommandLine:
    """Runs the command line in this process, with pipes of files for its descriptors 0, 1 and 2."""

    def __init__(self, socket_path: Path, directory: Path) -> None:
        self._socket_path = socket_path
        self._directory = directory

    def __call__(
        self, *words: str, stdin: bytes = b"", environ: Mapping[str, str] | None = None, host: bool = True
    ) -> Ran:
        given = ["-H", f"unix://{self._socket_path}", *words] if host else list(words)
        source = self._directory / "stdin"
        source.write_bytes(stdin)
        with _redirected(source, self._directory / "stdout", self._directory / "stderr"):
            status = run_words(given, environ or {})
        return Ran(
            status,
            (self._directory / "stdout").read_text("utf-8", "surrogateescape"),
            (self._directory / "stderr").read_text("utf-8", "surrogateescape"),
        )


@contextlib.contextmanager
def _redirected(source: Path, out: Path, err: Path) -> Iterator[None]:
    """Descriptors 0 to 2, and the streams above them, changed for the time of the block."""
    kept = [os.dup(fd) for fd in range(3)]
    streams = sys.stdin, sys.stdout, sys.stderr
    files: Sequence[io.TextIOWrapper] = [source.open(), out.open("w"), err.open("w")]
    try:
        for fd, file in enumerate(files):
            os.dup2(file.fileno(), fd)
        sys.stdin, sys.stdout, sys.stderr = [os.fdopen(fd, mode, closefd=False) for fd, mode in enumerate("rww")]
        yield
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        sys.stdin, sys.stdout, sys.stderr = streams
        for fd, copy in enumerate(kept):
            os.dup2(copy, fd)
            os.close(copy)
        for file in files:
            file.close()
