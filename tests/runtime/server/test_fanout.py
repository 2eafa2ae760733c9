"""Many connections that wait for the same: each is answered once, whoever else hangs up, does not read or goes on."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress

import h11
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from bireme.server.fanout import FanOut
from bireme.server.messages import Answer, Awaited, Request, Response
from tests.runtime.server.wire import Served, serving

CROWD = 10
REQUEST = b"POST /wait HTTP/1.1\r\nHost: x\r\n\r\n"
CLOSING = b"POST /wait HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
OLD = b"POST /wait HTTP/1.0\r\nHost: x\r\n\r\n"
HEAD = b"HEAD /wait HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

Pair = tuple[socket.socket, socket.socket]


# The sockets alone.


@contextmanager
def pairs(count: int) -> Iterator[list[Pair]]:
    """Connected sockets that do not block: a server's, a client's."""
    with ExitStack() as stack:
        found = [socket.socketpair() for _ in range(count)]
        for sock in (sock for pair in found for sock in pair):
            sock.setblocking(False)
            stack.callback(sock.close)
        yield found


def fill(sock: socket.socket) -> None:
    with suppress(BlockingIOError):
        while True:
            sock.send(bytes(4096))


def hears_nothing(sock: socket.socket) -> bool:
    """There is nothing to read, nor an end."""
    with pytest.raises(BlockingIOError):
        sock.recv(100)
    return True


def test_the_first_answers_for_all_and_the_others_send_nothing() -> None:
    fanout = FanOut()
    with pairs(3) as socks, ExitStack() as stack:
        members = [stack.enter_context(fanout.joined("same", ours.fileno())) for ours, _ in socks]
        assert fanout.waiting == 3
        assert [member.answer(b"here") for member in members] == [b"", b"", b""]
        assert [theirs.recv(100) for _, theirs in socks] == [b"here"] * 3
        for _, theirs in socks:
            assert hears_nothing(theirs)
    assert fanout.waiting == 0


def test_who_waits_for_something_else_hears_nothing() -> None:
    fanout = FanOut()
    with pairs(2) as ((ours, _), (other, silent)):
        with fanout.joined("a", ours.fileno()) as member, fanout.joined("b", other.fileno()):
            member.answer(b"here")
            assert hears_nothing(silent)
        assert fanout.waiting == 0


def test_a_full_socket_holds_up_nobody_and_its_own_task_has_all_to_send() -> None:
    fanout = FanOut()
    with pairs(3) as socks, ExitStack() as stack:
        fill(socks[1][0])
        members = [stack.enter_context(fanout.joined("same", ours.fileno())) for ours, _ in socks]
        assert [member.answer(b"here") for member in members] == [b"", b"here", b""]
        assert socks[2][1].recv(100) == b"here"


def test_a_client_that_has_gone_keeps_the_answer_from_nobody() -> None:
    fanout = FanOut()
    with pairs(3) as socks, ExitStack() as stack:
        socks[0][1].close()
        members = [stack.enter_context(fanout.joined("same", ours.fileno())) for ours, _ in socks]
        assert [member.answer(b"here") for member in members] == [b"here", b"", b""]


def test_who_comes_after_the_answer_answers_for_itself() -> None:
    fanout = FanOut()
    with pairs(2) as ((early, _), (late, theirs)), fanout.joined("same", early.fileno()) as first:
        first.answer(b"here")
        with fanout.joined("same", late.fileno()) as second:
            assert first.answer(b"here") == b""
            assert hears_nothing(theirs)
            assert second.answer(b"here") == b""
            assert theirs.recv(100) == b"here"


def test_who_leaves_before_the_answer_hears_nothing_and_leaves_nothing() -> None:
    fanout = FanOut()
    with pairs(2) as ((ours, _), (gone, silent)), fanout.joined("same", ours.fileno()) as member:
        with fanout.joined("same", gone.fileno()):
            pass
        member.answer(b"here")
        assert hears_nothing(silent)
    assert fanout.waiting == 0


# Connections.


class Crowd:
    """Connections whose requests to ``/wait`` are answered with ``body`` once ``happened`` is set."""

    def __init__(self, body: bytes) -> None:
        self.happened = trio.Event()
        self.fanout = FanOut()
        self.served: list[Served] = []
        self._body = body

    async def handle(self, request: Request) -> Answer:
        return Awaited(self._wait, source=self) if request.path == "/wait" else Response(200, b"next")

    async def _wait(self) -> bytes:
        await self.happened.wait()
        return self._body


@asynccontextmanager
async def crowd(*requests: bytes, body: bytes = b"it is over\n") -> AsyncIterator[Crowd]:
    """All wait, their heads not yet read."""
    found = Crowd(body)
    async with AsyncExitStack() as stack:
        for request in requests:
            found.served.append(await stack.enter_async_context(serving(found.handle, found.fanout)))
            await found.served[-1].client.send(request)
        await wait_all_tasks_blocked()
        assert found.fanout.waiting == len(requests)
        yield found
    assert found.fanout.waiting == 0


def framed(request: bytes, body: bytes) -> bytes:
    """What a client that has sent ``request`` hears after the head, as h11 makes it."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(request)
    head = server.next_event()
    assert isinstance(head, h11.Request)
    server.send(h11.Response(status_code=200, headers=[]))
    data = b"" if head.method == b"HEAD" else server.send(h11.Data(data=body)) or b""
    return data + (server.send(h11.EndOfMessage()) or b"")


async def test_all_are_answered_and_their_connections_go_on() -> None:
    async with crowd(*[REQUEST] * CROWD) as waiting:
        waiting.happened.set()
        for served in waiting.served:
            assert (await served.client.answer_unasked())[2] == b"it is over\n"
        for served in waiting.served:
            await served.client.request("GET", "/other")
            assert (await served.client.answer())[2] == b"next"
    assert {tuple(served.under_way) for served in waiting.served} == {("begin", "end") * 2}


async def test_each_gets_the_bytes_that_its_own_request_asks_for() -> None:
    requests = [CLOSING, OLD, HEAD] * 3
    async with crowd(*requests) as waiting:
        waiting.happened.set()
        for request, served in zip(requests, waiting.served, strict=True):
            head, _, body = (await served.client.raw()).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            assert body == framed(request, b"it is over\n")


async def test_what_was_asked_meanwhile_is_answered_after_it() -> None:
    async with crowd(*[REQUEST + b"GET /other HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"] * 3) as waiting:
        waiting.happened.set()
        for served in waiting.served:
            whole = await served.client.raw()
            assert whole.count(b"HTTP/1.1 200 ") == 2
            assert framed(REQUEST, b"it is over\n") + b"HTTP/1.1 200 " in whole
            assert whole.endswith(b"next")


@pytest.mark.parametrize("gone", [{0}, {CROWD - 1}, set(range(0, CROWD, 2)), set(range(CROWD - 1))])
@pytest.mark.parametrize("noticed", [True, False])
async def test_who_hangs_up_takes_nobody_along(gone: set[int], noticed: bool) -> None:
    """``noticed``: before it happens; else both come in the same instant, and the first to wake may be cancelled."""
    async with crowd(*[REQUEST] * CROWD) as waiting:
        for number in gone:
            await waiting.served[number].client.stream.aclose()
        if noticed:
            await wait_all_tasks_blocked()
            assert waiting.fanout.waiting == CROWD - len(gone)
        waiting.happened.set()
        for number, served in enumerate(waiting.served):
            if number not in gone:
                assert (await served.client.answer_unasked())[2] == b"it is over\n"
        for number in gone:
            with trio.fail_after(5):
                await waiting.served[number].ended.wait()


async def test_who_does_not_read_holds_up_nobody_and_gets_the_rest_later() -> None:
    """The body is more than any socket takes at once."""
    body = os.urandom(4 << 20)
    async with crowd(*[CLOSING] * 4, body=body) as waiting:
        waiting.happened.set()
        slow, *others = waiting.served
        with trio.fail_after(5):
            for served in others:
                assert (await served.client.raw()).endswith(framed(CLOSING, body))
        assert not slow.ended.is_set()
        assert (await slow.client.raw()).endswith(framed(CLOSING, body))


async def test_who_asks_after_it_happened_is_answered_too() -> None:
    async with crowd(REQUEST) as waiting:
        waiting.happened.set()
        async with serving(waiting.handle, waiting.fanout) as late:
            await late.client.send(CLOSING)
            assert (await late.client.raw()).endswith(framed(CLOSING, b"it is over\n"))
        assert (await waiting.served[0].client.answer_unasked())[2] == b"it is over\n"
