"""One connection of the server over a socket pair, with a handler of the test's own."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import h11
import trio

from bireme.server.fanout import FanOut
from bireme.server.hangups import HangUps
from bireme.server.http import Connection, Handle, UnderWay
from bireme.server.messages import Answer, Request, Response


class Client:
    """The other end of a connection; reads answers with h11, so that what is malformed fails the test."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._h11 = h11.Connection(h11.CLIENT)

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def request(self, method: str, target: str, *headers: tuple[str, str], body: bytes = b"") -> None:
        """Send one request; a body is announced with its length."""
        given = [("Host", "docker"), *headers, *([("Content-Length", str(len(body)))] if body else [])]
        sent = self._h11.send(h11.Request(method=method, target=target, headers=given)) or b""
        sent += self._h11.send(h11.Data(data=body)) or b"" if body else b""
        await self.stream.send_all(sent + (self._h11.send(h11.EndOfMessage()) or b""))

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next whole answer: status, headers, body."""
        status, headers = await self.head()
        body = bytearray()
        while isinstance(event := await self._event(), h11.Data):
            body += event.data
        assert isinstance(event, h11.EndOfMessage), event
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            self._h11.start_next_cycle()
        return status, headers, bytes(body)

    async def answer_unasked(self) -> tuple[int, dict[str, str], bytes]:
        """The answer to a request that was sent by hand."""
        self._h11.send(h11.Request(method="GET", target="/", headers=[("Host", "docker")]))
        self._h11.send(h11.EndOfMessage())
        return await self.answer()

    async def head(self) -> tuple[int, dict[str, str]]:
        """The next answer's status and headers; 100 is an answer too."""
        event = await self._event()
        assert isinstance(event, h11.Response | h11.InformationalResponse), event
        return event.status_code, {name.decode(): value.decode() for name, value in event.headers}

    async def data(self) -> bytes:
        """The next piece of a body; empty at its end."""
        event = await self._event()
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    async def _event(self) -> object:
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            self._h11.receive_data(await self.stream.receive_some())
        return event

    async def raw(self) -> bytes:
        """Whatever comes until the server's end."""
        early = bytes(self._h11.trailing_data[0])
        return early + b"".join([bytes(data) async for data in self.stream])


@dataclass
class Served:
    """What a test has of a connection under test."""

    client: Client
    under_way: list[str] = field(default_factory=list)
    """``begin`` and ``end`` of every exchange."""
    ended: trio.Event = field(default_factory=trio.Event)
    """The server has let the connection go."""


@asynccontextmanager
async def serving(handle: Handle, fanout: FanOut | None = None) -> AsyncIterator[Served]:
    """A connection whose requests ``handle`` answers. At the end the client hangs up, and the server must notice."""
    ours, theirs = socket.socketpair()
    hangups = HangUps()
    client = Client(trio.SocketStream(trio.socket.from_stdlib_socket(ours)))
    served = Served(client)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hangups.run)

        async def run() -> None:
            stream = trio.SocketStream(trio.socket.from_stdlib_socket(theirs))
            common = (("Api-Version", "1.49"),)
            await Connection(
                stream, handle, hangups=hangups, fanout=fanout or FanOut(), common=common, under_way=noting(served)
            ).run()
            served.ended.set()

        nursery.start_soon(run)
        yield served
        await client.stream.aclose()
        with trio.fail_after(5):
            await served.ended.wait()
        nursery.cancel_scope.cancel()
    hangups.close()


def noting(served: Served) -> UnderWay:
    """Notes when exchanges begin and end."""

    @contextmanager
    def under_way() -> Iterator[None]:
        served.under_way.append("begin")
        try:
            yield
        finally:
            served.under_way.append("end")

    return under_way


async def echo(request: Request) -> Answer:
    """Answers with method, path and body."""
    body = await request.body.read_all()
    return Response(200, f"{request.method} {request.path} ".encode() + body)

