"""HTTP/1.1 over a unix socket, as much of it as the engine's API needs.

``http.client`` would do, but importing it (with ``email`` and ``ssl``) takes longer than everything else this client
does. Rules: one response is read to its end before the next request; a connection whose response was left unread, or
whose upload was cut short, is never used again.
"""

from __future__ import annotations

import os
import select
import socket

from bireme.cli._errors import Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_CHUNK = 1 << 16
_LONGEST_PATH = 107
_LONGEST_HEAD = 1 << 20
_LONGEST_STATUS = 64
_GONE = "the engine closed the connection without an answer"


def connect(path: str) -> socket.socket:
    """A connection to the socket at ``path``, however long the path. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if len(os.fsencode(path)) <= _LONGEST_PATH:
            sock.connect(path)
            return sock
        directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sock.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
        finally:
            os.close(directory)
    except BaseException:
        sock.close()
        raise
    return sock


class Response:
    """One answer: its head, and its body as it comes."""

    def __init__(self, connection: Connection, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.headers = headers
        self._connection = connection
        self._chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        length = headers.get("content-length")
        self._left = int(length) if length is not None and length.isdigit() else None
        self.finished = False

    def without_body(self) -> Response:
        """Declare that no body follows, whatever the head says (HEAD, 1xx, 204, 304)."""
        self._end()
        return self

    def __iter__(self) -> Iterator[bytes]:
        """The body in pieces as they arrive. Raises Unreachable if it ends early."""
        while not self.finished:
            piece = self._piece()
            if piece:
                yield piece

    def read(self) -> bytes:
        return b"".join(self)

    def lines(self) -> Iterator[bytes]:
        """The body cut at line ends, each as soon as it is whole."""
        rest = b""
        for piece in self:
            *whole, rest = (rest + piece).split(b"\n")
            yield from whole
        if rest:
            yield rest

    def close(self) -> None:
        """Drop the rest of the body and the connection with it."""
        self._connection.close()

    def _piece(self) -> bytes:
        if self._chunked:
            return self._chunk()
        if self._left is None:
            data = self._connection.receive()
            if not data:
                self._connection.close()
                self.finished = True
            return data
        return self._counted()

    def _chunk(self) -> bytes:
        if self._left is None:
            size = self._connection.line().split(b";")[0].strip()
            try:
                self._left = int(size, 16)
            except ValueError:
                raise Unreachable(f"the engine's answer is garbled: chunk size {size[:20]!r}") from None
            if self._left == 0:
                while self._connection.line():
                    pass
                self._end()
                return b""
        data = self._connection.take(self._left)
        self._left -= len(data)
        if self._left == 0:
            self._connection.line()
            self._left = None
        return data

    def _counted(self) -> bytes:
        if not self._left:
            self._end()
            return b""
        data = self._connection.take(self._left)
        self._left -= len(data)
        return data

    def _end(self) -> None:
        self.finished = True
        if self._connection.once or self.headers.get("connection", "").lower() == "close":
            self._connection.close()


class Connection:
    """One connection, one request at a time; with ``once`` it closes after the first answer."""

    def __init__(self, sock: socket.socket, *, once: bool = False) -> None:
        self.sock = sock
        self.once = once
        self.closed = False
        self._buffer = bytearray()

    def close(self) -> None:
        self.closed = True
        self.sock.close()

    def request(
        self,
        method: str,
        target: str,
        *,
        body: bytes | None = None,
        upload: Iterable[bytes] | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Response:
        """Send one request and read the head of its answer.

        ``upload`` is sent in chunks and cut short if the engine refuses before its end. Raises Unreachable,
        ConnectionError if the engine closed the connection before it read anything.
        """
        head = [f"{method} {target} HTTP/1.1", "Host: bireme"]
        if upload is not None:
            head.append("Transfer-Encoding: chunked")
        elif body is not None or method != "GET":
            head.append(f"Content-Length: {len(body or b'')}")
        head += [f"{name}: {value}" for name, value in headers]
        self._send("\r\n".join(head).encode() + b"\r\n\r\n" + (body or b""))
        if upload is not None:
            self._upload(upload)
        response = self._head()
        if method == "HEAD" or response.status in (204, 304):
            response.without_body()
        return response

    def hijacked(self) -> tuple[socket.socket, bytes]:
        """The socket and what came after the head of a ``101`` answer; the connection is no longer ours."""
        self.closed = True
        return self.sock, bytes(self._buffer)

    def receive(self) -> bytes:
        """Whatever is there, waiting for at least a byte; empty at the end."""
        if self._buffer:
            data = bytes(self._buffer)
            self._buffer.clear()
            return data
        return self.sock.recv(_CHUNK)

    def take(self, most: int) -> bytes:
        """Between one and ``most`` bytes. Raises Unreachable at the end."""
        if not self._buffer:
            self._fill()
        data = bytes(self._buffer[:most])
        del self._buffer[:most]
        return data

    def line(self) -> bytes:
        """The next line without its end. Raises Unreachable at the end of the stream."""
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > _LONGEST_HEAD:
                raise Unreachable("the engine's answer is garbled: a line without end")
            self._fill()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.rstrip(b"\r")

    def _fill(self) -> None:
        data = self.sock.recv(_CHUNK)
        if not data:
            self.close()
            raise Unreachable(_GONE)
        self._buffer += data

    def _head(self) -> Response:
        while True:
            words = self.line().split(b" ", 2)
            if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
                raise Unreachable(f"what listens there does not speak HTTP: {b' '.join(words)[:40]!r}")
            headers: dict[str, str] = {}
            while line := self.line():
                name, _, value = line.decode("latin-1").partition(":")
                headers[name.strip().lower()] = value.strip()
            status = int(words[1])
            if status != 100:
                return Response(self, status, headers)

    def _send(self, data: bytes) -> None:
        self.sock.sendall(data, socket.MSG_NOSIGNAL)

    def _upload(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            if piece and not self._send_unless_refused(b"%x\r\n" % len(piece) + piece + b"\r\n"):
                return
        self._send_unless_refused(b"0\r\n\r\n")

    def _send_unless_refused(self, data: bytes) -> bool:
        """False if the engine has refused or hung up already: what it said is there to be read.

        An engine may begin to answer while it still takes the upload; that answer is kept for later.
        """
        rest = memoryview(data)
        waiting = select.poll()
        waiting.register(self.sock, select.POLLIN | select.POLLOUT)
        while rest:
            events = waiting.poll()[0][1]
            if events & (select.POLLIN | select.POLLHUP | select.POLLERR) and not self._going_on():
                return False
            try:
                rest = rest[self.sock.send(rest, socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT) :]
            except BlockingIOError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                return False
        return True

    def _going_on(self) -> bool:
        """Take in what has come; False if it is a refusal or the end."""
        try:
            data = self.sock.recv(_CHUNK, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        self._buffer += data
        words = bytes(self._buffer[:_LONGEST_STATUS]).split(b" ", 2)
        return bool(data) and (len(words) < 3 or words[1] < b"400")
