"""What a client sends besides a head: a request's body, and the raw bytes of a hijacked connection."""

from __future__ import annotations

import fcntl
import sys
import termios
from collections.abc import Awaitable, Callable

import h11
import trio

from bireme.server.errors import Refusal

MOST_BODY = 4 << 20
"""Bytes of a body that is read whole; the largest there is holds a seccomp profile."""

BODY_SECONDS = 60.0
"""For a body that is read whole."""

HEAD_READ_SECONDS = 1.0
"""What a client may take to read an answer's head before it gets what follows."""

_LOOK_SECONDS = 0.0005
_CHUNK = 1 << 16
_GONE = (trio.BrokenResourceError, trio.ClosedResourceError)


class Body:
    """A request's body as it comes."""

    def __init__(self, next_event: Callable[[], Awaitable[object]]) -> None:
        """``next_event`` gives h11's next event of the request."""
        self._next_event = next_event
        self._rest = b""
        self.ended = False

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next bytes, ``b""`` at the end. Raises Refusal if the client stops in the middle of it."""
        if not self._rest and not self.ended:
            self._rest = await self._next()
        else:
            await trio.lowlevel.checkpoint()
        most = len(self._rest) if max_bytes is None else max_bytes
        data, self._rest = self._rest[:most], self._rest[most:]
        return data

    async def _next(self) -> bytes:
        try:
            event = await self._next_event()
        except (h11.RemoteProtocolError, *_GONE) as error:
            self.ended = True
            raise Refusal(400, f"the request's body broke off: {error}") from error
        if isinstance(event, h11.Data):
            return bytes(event.data)
        self.ended = True
        return b""

    async def read_all(self) -> bytes:
        """All of it. Raises Refusal: 413 where it is too long, 408 where it takes too long."""
        data = bytearray()
        with trio.move_on_after(BODY_SECONDS):
            while piece := await self.receive_some():
                data += piece
                if len(data) > MOST_BODY:
                    raise Refusal(413, f"the request's body is larger than {MOST_BODY} bytes")
            return bytes(data)
        raise Refusal(408, "the request's body was not sent in time")

    async def drop(self) -> None:
        """Read the rest and forget it."""
        try:
            while await self.receive_some():
                pass
        except Refusal:
            return

    async def aclose(self) -> None:
        """Nothing to do: the connection reads on where its reader stopped."""
        await trio.lowlevel.checkpoint()


class RawStream:
    """A hijacked connection. ``early`` came together with the request.

    The first bytes wait until the client has read the head: what comes along with it ends up in a buffer of its HTTP
    library, and docker-py, which goes on with the bare socket, would never see it.
    """

    def __init__(self, stream: trio.SocketStream, early: bytes, ended: bool) -> None:
        self._stream = stream
        self._early = early
        self._ended = ended
        self._begun = False

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The client's next bytes; ``b""`` once it has ended its side, or gone."""
        if self._early:
            data, self._early = self._early, b""
            return data
        if self._ended:
            return b""
        try:
            return bytes(await self._stream.receive_some(max_bytes or _CHUNK))
        except _GONE:
            return b""

    async def send_all(self, data: bytes) -> None:
        """Raises trio.BrokenResourceError once the client has gone."""
        if not self._begun:
            self._begun = True
            await self._head_read()
        await self._stream.send_all(data)

    async def _head_read(self) -> None:
        with trio.move_on_after(HEAD_READ_SECONDS):
            while _unread(self._stream.socket):  # noqa: ASYNC110 - the kernel tells of it only if asked
                await trio.sleep(_LOOK_SECONDS)


def _unread(sock: trio.socket.SocketType) -> int:
    """Bytes that the other side has not read yet."""
    return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)

