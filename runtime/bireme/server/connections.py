"""All connections of a server: how many there may be, which are idle, and since when nothing was asked.

At the limit the connection that has been idle longest makes room; if none is idle, the newcomer is told so and sent
away.
"""

from __future__ import annotations

import logging
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from bireme.server.errors import Refusal
from bireme.server.fanout import FanOut
from bireme.server.hangups import HangUps
from bireme.server.http import Connection, Handle
from bireme.server.messages import Headers, error_response

_log = logging.getLogger("bireme.server")

MOST = 4096
"""Connections at a time, at most; fewer where the process may not have so many descriptors."""

_FAREWELL_SECONDS = 1.0
_MOST_LEAVING = 64
_CHUNK = 1 << 16


def most_connections() -> int:
    """Half of the descriptors that this process may open; the rest is for containers."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else max(16, min(MOST, soft // 2))


class Connections:
    """Serves streams; ``handle`` answers their requests."""

    def __init__(self, handle: Handle, hangups: HangUps, common: Headers, *, most: int) -> None:
        self._handle = handle
        self._hangups = hangups
        self._fanout = FanOut()
        self._common = common
        self._most = most
        self._count = 0
        self._leaving = 0
        self._idle: dict[trio.CancelScope, None] = {}
        self.requests = 0
        """Under way now."""
        self.last_request = trio.current_time()
        """When the last one ended."""
        self._quiet = trio.Event()

    def __repr__(self) -> str:
        return f"<Connections: {self.statistics()}>"

    def statistics(self) -> dict[str, int]:
        """``connections`` there are, ``idle`` ones of them, ``requests`` under way."""
        return {"connections": self._count, "idle": len(self._idle), "requests": self.requests}

    def allow(self, most: int) -> None:
        """So many at a time from now on."""
        self._most = most

    async def wait_quiet(self) -> None:
        """Until no request is under way. Cancelling changes nothing."""
        while self.requests:
            await self._quiet.wait()

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection, to its end. Never raises but what cancels it."""
        if self._count >= self._most and not self._make_room():
            await self._send_away(stream)
            return
        self._count += 1
        try:
            await self._serve(stream)
        except Exception:  # noqa: BLE001 - contained here, and told
            _log.exception("a connection failed by a bug in bireme; the others go on")
        finally:
            self._count -= 1

    async def _serve(self, stream: trio.SocketStream) -> None:
        with trio.CancelScope() as scope:
            self._idle[scope] = None
            try:
                await self._connection(stream, scope).run()
            finally:
                self._idle.pop(scope, None)

    def _connection(self, stream: trio.SocketStream, scope: trio.CancelScope) -> Connection:
        @contextmanager
        def under_way() -> Iterator[None]:
            self._idle.pop(scope, None)
            self.requests += 1
            try:
                yield
            finally:
                self.requests -= 1
                if not self.requests:
                    self._quiet.set()
                    self._quiet = trio.Event()
                self.last_request = trio.current_time()
                self._idle[scope] = None

        return Connection(
            stream, self._handle, hangups=self._hangups, fanout=self._fanout, common=self._common, under_way=under_way
        )

    def _make_room(self) -> bool:
        if not self._idle:
            return False
        scope = next(iter(self._idle))
        del self._idle[scope]
        scope.cancel()
        return True

    async def _send_away(self, stream: trio.SocketStream) -> None:
        answer = error_response(Refusal(503, f"too many connections: there are {self._most}, all of them at work"))
        kind = "Connection: close\r\nContent-Type: application/json\r\n"
        head = f"HTTP/1.1 503 Service Unavailable\r\n{kind}Content-Length: {len(answer.body)}\r\n\r\n"
        async with stream:
            if self._leaving < _MOST_LEAVING:
                self._leaving += 1
                try:
                    await _say_and_close(stream, head.encode() + answer.body)
                finally:
                    self._leaving -= 1


async def _say_and_close(stream: trio.SocketStream, data: bytes) -> None:
    """Send, and read what the client still sends: to close with that unread would reset the connection."""
    with trio.move_on_after(_FAREWELL_SECONDS):
        try:
            await stream.send_all(data)
            await stream.send_eof()
            while await stream.receive_some(_CHUNK):
                pass
        except trio.BrokenResourceError:
            return
