"""Connections, request by request, over a socket pair: what the protocol allows, and what it does not."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from bireme.server import bodies, http
from bireme.server.decompression import decompressed
from bireme.server.errors import Refusal
from bireme.server.messages import Answer, Hijacked, Raw, Request, Response, Streamed, streamed
from bireme.server.models import ExecBody
from bireme_actors import Conflict, NotModified
from tests.runtime.server.wire import echo, serving

UPGRADE = (("Connection", "Upgrade"), ("Upgrade", "tcp"))


async def test_answers_keep_the_connection() -> None:
    async with serving(echo) as served:
        for number in range(3):
            await served.client.request("POST", f"/{number}", body=b"x" * number)
            status, headers, body = await served.client.answer()
            assert (status, body) == (200, f"POST /{number} ".encode() + b"x" * number)
            assert headers["api-version"] == "1.49"
    assert served.under_way == ["begin", "end"] * 3


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with serving(echo) as served:
        two = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        await served.client.send(two)
        answers = await served.client.raw()
        assert answers.index(b"GET /a ") < answers.index(b"GET /b ")


async def test_a_request_may_come_byte_by_byte() -> None:
    async with serving(echo) as served:
        for byte in b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi":
            await served.client.send(bytes([byte]))
        assert (await served.client.raw()).endswith(b"\r\n\r\nPOST /a hi")


async def test_chunked_bodies_in() -> None:
    async with serving(echo) as served:
        await served.client.send(
            b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
            b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
        )
        assert (await served.client.raw()).endswith(b"POST /a abcde")


async def test_head_has_headers_and_no_body() -> None:
    async with serving(echo) as served:
        await served.client.send(b"HEAD /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        head, _, body = (await served.client.raw()).partition(b"\r\n\r\n")
        assert b"content-length: 8" in head.lower()
        assert body == b""


async def test_expect_is_answered_only_when_the_body_is_wanted() -> None:
    async with serving(echo) as served:
        await served.client.send(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert bytes(await served.client.stream.receive_some()).startswith(b"HTTP/1.1 100 ")
        await served.client.send(b"hi")
        assert bytes(await served.client.stream.receive_some()).endswith(b"POST /a hi")


async def test_expect_that_is_refused_ends_the_connection_instead() -> None:
    async def refuse(request: Request) -> Answer:
        raise Refusal(404, "page not found")

    async with serving(refuse) as served:
        await served.client.send(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        await served.client.stream.send_eof()
        answer = await served.client.raw()
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b"connection: close" in answer.lower()


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (Conflict("it runs"), 409, {"message": "it runs"}),
        (Refusal(501, "no"), 501, {"message": "no"}),
        (Conflict("bad \udcff text"), 409, {"message": "bad ? text"}),
    ],
)
async def test_errors_have_dockers_shape(error: Exception, status: int, body: object) -> None:
    async def fail(request: Request) -> Answer:
        raise error

    async with serving(fail) as served:
        await served.client.request("GET", "/a")
        found, _, text = await served.client.answer()
        assert (found, json.loads(text)) == (status, body)


async def test_not_modified_has_no_body() -> None:
    async def fail(request: Request) -> Answer:
        raise NotModified("it runs")

    async with serving(fail) as served:
        await served.client.request("POST", "/a")
        assert (await served.client.answer())[::2] == (304, b"")
        await served.client.request("POST", "/a")
        assert (await served.client.answer())[0] == 304


async def test_a_bug_is_told_and_logged_and_the_connection_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(request: Request) -> Answer:
        raise ZeroDivisionError("oops")

    async with serving(fail) as served:
        for _ in range(2):
            await served.client.request("GET", "/a")
            status, _, body = await served.client.answer()
            assert status == 500
            assert "ZeroDivisionError" in json.loads(body)["message"]
    assert "by a bug" in caplog.text


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTQ/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET nopath HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /%ff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /?a=%ff HTTP/1.1\r\nHost: x\r\nX: " + b"y" * http.MOST_HEAD * 2, 431),
        (b"GET /" + b"y" * http.MOST_HEAD * 2, 431),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    ],
)
async def test_broken_protocol_is_answered_and_the_connection_ends(data: bytes, status: int) -> None:
    async with serving(echo) as served, trio.open_nursery() as nursery:

        async def send() -> None:
            try:
                await served.client.send(data)
                await served.client.stream.send_eof()
            except trio.BrokenResourceError:
                return

        nursery.start_soon(send)
        answer = await served.client.raw()
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["message"].startswith("malformed request")


async def test_a_client_that_says_nothing_and_goes_is_no_error() -> None:
    async with serving(echo) as served:
        await served.client.stream.send_eof()
        assert await served.client.raw() == b""


async def test_half_a_head_and_the_end() -> None:
    async with serving(echo) as served:
        await served.client.send(b"GET / HTTP/1.1\r\nHo")
        await served.client.stream.send_eof()
        assert (await served.client.raw()).startswith(b"HTTP/1.1 400 ")


async def test_half_a_head_times_out(autojump_clock: MockClock) -> None:
    async with serving(echo) as served:
        await served.client.send(b"GET / HTTP/1.1\r\nHo")
        begun = trio.current_time()
        assert (await served.client.raw()).startswith(b"HTTP/1.1 408 ")
        assert trio.current_time() - begun >= http.HEAD_SECONDS


async def test_silence_between_requests_does_not_time_out(autojump_clock: MockClock) -> None:
    async with serving(echo) as served:
        for _ in range(2):
            await trio.sleep(http.HEAD_SECONDS * 10)
            await served.client.request("GET", "/a")
            assert (await served.client.answer())[0] == 200


async def test_half_a_body_times_out(autojump_clock: MockClock) -> None:
    async with serving(echo) as served:
        await served.client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
        assert (await served.client.raw()).startswith(b"HTTP/1.1 408 ")


async def test_half_a_body_and_the_end() -> None:
    async with serving(echo) as served:
        await served.client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
        await served.client.stream.send_eof()
        assert (await served.client.raw()).startswith(b"HTTP/1.1 400 ")


async def test_a_body_that_is_too_long_is_not_kept() -> None:
    async with serving(echo) as served, trio.open_nursery() as nursery:

        async def send() -> None:
            try:
                await served.client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
                for _ in range(bodies.MOST_BODY // 65536 + 2):
                    await served.client.send(bytes(65536))
                await served.client.stream.send_eof()
            except trio.BrokenResourceError:
                return

        nursery.start_soon(send)
        assert (await served.client.raw()).startswith(b"HTTP/1.1 413 ")


async def test_an_early_answer_survives_a_long_upload() -> None:
    async def refuse(request: Request) -> Answer:
        await request.body.receive_some()
        raise Conflict("enough")

    async with serving(refuse) as served, trio.open_nursery() as nursery:

        async def send() -> None:
            await served.client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n" + bytes(4000000))

        nursery.start_soon(send)
        status, _, body = await served.client.answer_unasked()
        assert (status, json.loads(body)) == (409, {"message": "enough"})


# JSON.


async def decode(request: Request) -> Answer:
    body = await request.json(ExecBody)
    return Response(200, repr(body.document()).encode())


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b'{"Cmd": ["a"], "Tty": true, "Nosuch": 1, "User": null}', "application/json", 200),
        (b"", "", 200),
        (b"{}", "application/json; charset=utf-8", 200),
        (b"{", "application/json", 400),
        (b'{"Tty": "yes"}', "application/json", 400),
        (b'{"Cmd": [1]}', "application/json", 400),
        (b"[]", "application/json", 400),
        (b"1", "application/json", 400),
        (b"{}", "text/plain", 400),
        (b"{}", "", 400),
        (b"[" * 100000, "application/json", 400),
        (b'{"Env": ' + b"[" * 80 + b"]" * 80 + b"}", "application/json", 400),
        (b'{"X": ' + b"[" * 900 + b"]" * 900 + b"}", "application/json", 400),
        (b'{"User": "\xff"}', "application/json", 400),
    ],
)
async def test_bodies_are_checked(body: bytes, kind: str, status: int) -> None:
    async with serving(decode) as served:
        headers = (("Content-Type", kind),) if kind else ()
        await served.client.request("POST", "/a", *headers, body=body)
        found, _, text = await served.client.answer()
        assert found == status, text


# Streams.


async def test_a_streams_head_goes_out_before_its_body() -> None:
    event = trio.Event()

    async def body() -> AsyncGenerator[bytes]:
        await event.wait()
        yield b"end"
        yield b""
        yield b"!"

    async def handle(request: Request) -> Answer:
        return streamed(body())

    async with serving(handle) as served:
        await served.client.request("GET", "/a")
        status, headers = await served.client.head()
        assert (status, headers["transfer-encoding"]) == (200, "chunked")
        await wait_all_tasks_blocked()
        event.set()
        assert [await served.client.data() for _ in range(3)] == [b"end", b"!", b""]


async def test_an_error_on_opening_a_stream_is_an_answer() -> None:
    @asynccontextmanager
    async def opened() -> AsyncIterator[AsyncIterator[bytes]]:
        raise Conflict("not now")
        yield

    async def handle(request: Request) -> Answer:
        return Streamed(opened())

    async with serving(handle) as served:
        await served.client.request("GET", "/a")
        assert (await served.client.answer())[0] == 409


async def test_a_stream_that_breaks_off_does_not_look_whole(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> AsyncGenerator[bytes]:
        yield b"begun"
        raise Conflict("gone wrong")

    async def handle(request: Request) -> Answer:
        return streamed(body())

    async with serving(handle) as served:
        await served.client.send(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await served.client.raw()).endswith(b"5\r\nbegun\r\n")
    assert "gone wrong" in caplog.text


@pytest.mark.parametrize("streaming", [True, False])
async def test_hanging_up_cancels_the_request_at_once(streaming: bool) -> None:
    cancelled = trio.Event()

    async def body() -> AsyncGenerator[bytes]:
        try:
            yield b"x"
            await trio.sleep_forever()
        finally:
            cancelled.set()

    async def handle(request: Request) -> Answer:
        if streaming:
            return streamed(body())
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    async with serving(handle) as served:
        await served.client.request("GET", "/a")
        if streaming:
            await served.client.head()
        await wait_all_tasks_blocked()
        assert not cancelled.is_set()
        await served.client.stream.aclose()
        with trio.fail_after(5):
            await cancelled.wait()
            await served.ended.wait()


async def test_hanging_up_in_the_middle_of_an_upload_cancels() -> None:
    async def handle(request: Request) -> Answer:
        while await request.body.receive_some():
            pass
        raise AssertionError("the body was not whole")

    async with serving(handle) as served:
        await served.client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
        await wait_all_tasks_blocked()
        await served.client.stream.aclose()
        with trio.fail_after(5):
            await served.ended.wait()


async def test_a_client_that_only_ends_its_sending_is_answered() -> None:
    event = trio.Event()

    async def handle(request: Request) -> Answer:
        await event.wait()
        return Response(200, b"here")

    async with serving(handle) as served:
        await served.client.request("GET", "/a")
        await served.client.stream.send_eof()
        await wait_all_tasks_blocked()
        event.set()
        assert (await served.client.raw()).endswith(b"here")


async def test_a_client_that_does_not_read_its_answer_is_given_up(autojump_clock: MockClock) -> None:
    async def handle(request: Request) -> Answer:
        return Response(200, bytes(8 << 20))

    async with serving(handle) as served:
        await served.client.request("GET", "/a")
        await served.ended.wait()
        assert trio.current_time() >= http.SEND_SECONDS


# Hijacked connections.


async def shout(raw: Raw) -> None:
    while data := await raw.receive_some():
        await raw.send_all(data.upper())
    await raw.send_all(b"(end)")


async def hijack(request: Request) -> Answer:
    return Hijacked(shout, "application/vnd.docker.raw-stream")


async def test_upgrade_as_docker_spells_it() -> None:
    async with serving(hijack) as served:
        await served.client.request("POST", "/a", *UPGRADE)
        await served.client.send(b"hello")
        await served.client.stream.send_eof()
        head, _, body = (await served.client.raw()).partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        assert lines[0] == b"HTTP/1.1 101 UPGRADED"
        assert {b"Connection: Upgrade", b"Upgrade: tcp"} < set(lines)
        assert body == b"HELLO(end)"


async def test_without_upgrade_it_is_200_and_raw_all_the_same() -> None:
    async with serving(hijack) as served:
        await served.client.send(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\nearly")
        await served.client.stream.send_eof()
        head, _, body = (await served.client.raw()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"chunked" not in head.lower()
        assert body == b"EARLY(end)"


async def test_what_follows_a_body_at_once_belongs_to_the_stream() -> None:
    async def handle(request: Request) -> Answer:
        assert await request.body.read_all() == b"{}"
        return Hijacked(shout, "x/y")

    async with serving(handle) as served:
        await served.client.request("POST", "/a", *UPGRADE, body=b"{}")
        await served.client.send(b"more")
        await served.client.stream.send_eof()
        assert (await served.client.raw()).endswith(b"\r\n\r\nMORE(end)")


async def test_output_goes_on_after_the_clients_input_has_ended() -> None:
    event = trio.Event()

    async def run(raw: Raw) -> None:
        assert await raw.receive_some() == b""
        await event.wait()
        await raw.send_all(b"late")

    async def handle(request: Request) -> Answer:
        return Hijacked(run, "x/y")

    async with serving(handle) as served:
        await served.client.request("POST", "/a", *UPGRADE)
        await served.client.stream.send_eof()
        await wait_all_tasks_blocked()
        event.set()
        assert (await served.client.raw()).endswith(b"late")


async def test_a_client_that_goes_away_ends_the_stream_and_no_more() -> None:
    left = trio.Event()

    async def run(raw: Raw) -> None:
        try:
            await trio.sleep_forever()
        finally:
            left.set()

    async def handle(request: Request) -> Answer:
        return Hijacked(run, "x/y")

    async with serving(handle) as served:
        await served.client.request("POST", "/a", *UPGRADE)
        await served.client.stream.receive_some()
        await served.client.stream.aclose()
        with trio.fail_after(5):
            await left.wait()


async def test_unread_input_does_not_destroy_output() -> None:
    """A process that ends without reading: closing at once would reset the connection under the client's last bytes."""

    async def run(raw: Raw) -> None:
        await raw.send_all(b"x" * 1000)

    async def handle(request: Request) -> Answer:
        return Hijacked(run, "x/y")

    async with serving(handle) as served:
        await served.client.request("POST", "/a", *UPGRADE)
        await served.client.send(b"input nobody wants" * 100)
        assert (await served.client.raw()).endswith(b"x" * 1000)


# Compressed archives.


class Pieces:
    """A source that gives what it is told, a few bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data = data
        self._size = size

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        data, self._data = self._data[: self._size], self._data[self._size :]
        return data

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def unpacked(data: bytes, size: int) -> bytes:
    source, found = decompressed(Pieces(data, size)), b""
    while piece := await source.receive_some(100):
        found += piece
    await source.aclose()
    return found


@pytest.mark.parametrize("size", [1, 7, 100000])
@pytest.mark.parametrize("kind", ["plain", "gzip", "bz2", "xz", "members", "padded"])
async def test_archives_come_plain(kind: str, size: int) -> None:
    import bz2
    import lzma

    content = bytes(range(256)) * 20
    packed = {
        "plain": content,
        "gzip": gzip.compress(content),
        "bz2": bz2.compress(content),
        "xz": lzma.compress(content),
        "members": gzip.compress(content[:1000]) + gzip.compress(content[1000:]),
        "padded": gzip.compress(content) + bytes(512),
    }[kind]
    assert await unpacked(packed, size) == content


@pytest.mark.parametrize("damage", [lambda data: data[:-20], lambda data: data[:30] + b"\xff" * 20 + data[50:]])
async def test_damaged_archives_are_told(damage: object) -> None:
    from bireme_actors import InvalidConfig

    assert callable(damage)
    with pytest.raises(InvalidConfig, match="archive is damaged"):
        await unpacked(damage(gzip.compress(bytes(range(256)) * 20, mtime=0)), 50)


async def test_an_empty_body_is_an_empty_archive() -> None:
    assert await unpacked(b"", 1) == b""


def test_a_socket_pair_has_an_end_for_each() -> None:
    """The tests above rest on this: a hang-up of both directions differs from the end of one."""
    import select

    ours, theirs = socket.socketpair()
    with ours, theirs, select.epoll() as watched:
        watched.register(theirs, 0)
        ours.shutdown(socket.SHUT_WR)
        assert watched.poll(0) == []
        ours.close()
        assert watched.poll(0) == [(theirs.fileno(), select.EPOLLHUP)]
