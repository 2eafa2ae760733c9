"""One client's connection: HTTP/1.1 by h11, one request after the other, each answered before the next is read.

Theory of operation. h11 knows the protocol and does no I/O; this module moves bytes and decides what becomes of a
connection. Every connection is a task of its own, so a slow client holds up nobody. While a request is under way its
connection is watched for a hang-up, which cancels it. Three rules: whatever is buffered is bounded; a client that has
begun to send something has to finish in time; a client that breaks the protocol gets Docker's error shape if an answer
can still be sent, else the connection just ends.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from http import HTTPStatus
from urllib.parse import unquote

import h11
import trio

from bireme.server.bodies import Body, RawStream
from bireme.server.errors import Refusal
from bireme.server.fanout import FanOut
from bireme.server.hangups import HangUps
from bireme.server.messages import Answer, Awaited, Headers, Hijacked, Request, Response, Streamed, error_response
from bireme.server.query import Query
from bireme_actors import BiremeError

MOST_HEAD = 1 << 16
"""Bytes of a request's head: filters and registry credentials travel in it."""

HEAD_SECONDS = 30.0
"""From a head's first byte to its last."""

SEND_SECONDS = 60.0
"""For a client to take an answer with a whole body."""

LINGER_SECONDS = 5.0
"""How long what a client still sends is read and dropped, so that our answer is not lost by closing too soon."""

_CHUNK = 1 << 16

_log = logging.getLogger("bireme.server")

Handle = Callable[[Request], Awaitable[Answer]]
UnderWay = Callable[[], AbstractContextManager[None]]

_UPGRADE: Headers = (("Connection", "Upgrade"), ("Upgrade", "tcp"))
_RAW: Headers = ()

_GONE = (trio.BrokenResourceError, trio.ClosedResourceError)


class Connection:
    """``handle`` answers requests, ``common`` are the headers of every answer, ``under_way`` wraps every exchange."""

    def __init__(
        self,
        stream: trio.SocketStream,
        handle: Handle,
        *,
        hangups: HangUps,
        fanout: FanOut,
        common: Headers,
        under_way: UnderWay,
    ) -> None:
        self._stream = stream
        self._handle = handle
        self._hangups = hangups
        self._fanout = fanout
        self._common = common
        self._under_way = under_way
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST_HEAD)

    async def run(self) -> None:
        """Until either side ends it. Cancelled: the connection is closed at once."""
        async with self._stream:
            try:
                while await self._exchange():
                    pass
            except _GONE:
                return

    async def _exchange(self) -> bool:
        """One request and its answer; True if another may come."""
        head = await self._read_head()
        if head is None:
            return False
        with self._under_way(), self._hangups.watching(self._stream.socket):
            body = Body(self.next_event)
            try:
                request = _request(head, body)
            except (BiremeError, Refusal) as error:
                await self._send(head.method, error_response(error))
                return False
            return await self._answer(request, body)
        return False

    async def _answer(self, request: Request, body: Body) -> bool:
        try:
            answer = await self._handle(request)
        except Exception as error:  # noqa: BLE001 - every failure of a handler is answered
            answer = error_response(error)
        if isinstance(answer, Hijacked):
            await self._hijack(request, body, answer)
            return False
        if isinstance(answer, Streamed):
            if not await self._send_stream(request.method, answer):
                return False
        elif isinstance(answer, Awaited):
            await self._send_awaited(request.method, answer)
        else:
            await self._send(request.method.encode(), answer)
        return await self._next_cycle(body)

    async def _next_cycle(self, body: Body) -> bool:
        if not body.ended:
            with trio.move_on_after(LINGER_SECONDS):
                await body.drop()
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            self._h11.start_next_cycle()
            return True
        await self._linger()
        return False

    # Receiving.

    async def _read_head(self) -> h11.Request | None:
        """The next request's head; None at the end of the connection, and after a head that made no sense."""
        try:
            if not self._h11.trailing_data[0]:
                self._h11.receive_data(await self._stream.receive_some(_CHUNK))
            with trio.move_on_after(HEAD_SECONDS):
                event = await self.next_event()
                return event if isinstance(event, h11.Request) else None
            await self._send(b"GET", error_response(Refusal(408, "the request was not sent in time")))
        except h11.RemoteProtocolError as error:
            await self._refuse(error)
        return None

    async def _refuse(self, error: h11.RemoteProtocolError) -> None:
        if self._h11.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            await self._send(b"GET", error_response(Refusal(error.error_status_hint, f"malformed request: {error}")))
            await self._linger()

    async def next_event(self) -> object:
        """The next part of the request. Raises h11.RemoteProtocolError. Cancelled: nothing is lost."""
        while True:
            event = self._h11.next_event()
            if event is not h11.NEED_DATA:
                return event
            if self._h11.they_are_waiting_for_100_continue:
                await self._stream.send_all(self._bytes(h11.InformationalResponse(status_code=100, headers=[])))
            self._h11.receive_data(await self._stream.receive_some(_CHUNK))

    # Sending.

    def _bytes(self, event: h11.Event) -> bytes:
        return self._h11.send(event) or b""

    def _head(self, status: int, headers: Headers) -> bytes:
        closing = (("Connection", "close"),) if self._h11.they_are_waiting_for_100_continue else ()
        named = [(name.encode(), value.encode()) for name, value in (*self._common, *headers, *closing)]
        reason = HTTPStatus(status).phrase.encode()
        return self._bytes(h11.Response(status_code=status, headers=named, reason=reason))

    async def _send(self, method: bytes, answer: Response) -> None:
        length = () if answer.status in (204, 304) else (("Content-Length", str(len(answer.body))),)
        data = self._head(answer.status, (*answer.headers, *length))
        if answer.body and method != b"HEAD" and length:
            data += self._bytes(h11.Data(data=answer.body))
        data += self._bytes(h11.EndOfMessage())
        with trio.move_on_after(SEND_SECONDS) as patience:
            await self._stream.send_all(data)
        if patience.cancelled_caught:
            raise trio.BrokenResourceError("the client did not read its answer")

    async def _send_stream(self, method: str, answer: Streamed) -> bool:
        """False if the body broke off: the client sees that by the connection's end."""
        begun = False
        try:
            async with answer.opened as pieces:
                head = self._head(200, answer.headers)
                begun = True
                await self._stream.send_all(head)
                if method != "HEAD":
                    async for piece in pieces:
                        if piece:
                            await self._stream.send_all(self._bytes(h11.Data(data=piece)))
            await self._stream.send_all(self._bytes(h11.EndOfMessage()))
        except Exception as error:  # noqa: BLE001 - told to the client, or to the log
            if not begun:
                await self._send(method.encode(), error_response(error))
                return True
            _report_broken(error)
            return False
        return True

    async def _send_awaited(self, method: str, answer: Awaited) -> None:
        """Of those who wait for the same, the first to hear of it sends to all, and h11 only learns of it."""
        await self._stream.send_all(self._head(200, answer.headers))
        same = (answer.source, method, self._h11.their_http_version)  # which decide how h11 frames a body
        with self._fanout.joined(same, self._stream.socket.fileno()) as member:
            body = await answer.body()
            data = b"" if method == "HEAD" else self._bytes(h11.Data(data=body))
            rest = member.answer(data + self._bytes(h11.EndOfMessage()))
        if rest:
            await self._stream.send_all(rest)

    async def _hijack(self, request: Request, body: Body, answer: Hijacked) -> None:
        await body.read_all()
        early, ended = self._h11.trailing_data
        if request.wants_upgrade:
            start, upgrade = "101 UPGRADED", _UPGRADE
        else:
            start, upgrade = "200 OK", _RAW
        headers = (("Content-Type", answer.content_type), *upgrade, *self._common)
        lines = [f"HTTP/1.1 {start}", *(f"{name}: {value}" for name, value in headers), "", ""]
        try:
            await self._stream.send_all("\r\n".join(lines).encode())
            await answer.run(RawStream(self._stream, early, ended))
        except Exception as error:  # noqa: BLE001 - the client sees the end, the log the reason
            _report_broken(error)
        await self._linger()

    async def _linger(self) -> None:
        """Say that nothing more comes and let the client finish: closing at once could destroy what it has not read."""
        with trio.move_on_after(LINGER_SECONDS):
            await self._stream.send_eof()
            while await self._stream.receive_some(_CHUNK):
                pass


def _request(head: h11.Request, body: Body) -> Request:
    """Raises Refusal, InvalidConfig for a target that is no path and query in UTF-8."""
    target = head.target.decode("ascii", "surrogateescape")
    path, _, query = target.partition("?")
    try:
        path = unquote(path, errors="strict")
    except UnicodeDecodeError:
        raise Refusal(400, "malformed request: the path is not UTF-8") from None
    if not path.startswith("/") or "\0" in path:
        raise Refusal(400, "malformed request: the target is not a path")
    headers = {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers}
    return Request(method=head.method.decode("ascii"), path=path, query=Query(query), headers=headers, body=body)


def _report_broken(error: Exception) -> None:
    rest = error.split(_GONE)[1] if isinstance(error, ExceptionGroup) else error
    if rest is None or isinstance(rest, _GONE):
        return
    expected = isinstance(rest, BiremeError | Refusal)
    _log.warning("an answer broke off: %s", rest, exc_info=None if expected else rest)
