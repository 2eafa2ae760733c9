"""A client joined to a process: input and output apart, ends passed on, keys obeyed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import trio
from trio.testing import wait_all_tasks_blocked

from bireme._keys import KeyWatch
from bireme.server.joining import join
from bireme.server.streams import Encoder
from bireme.storage import LogEntry


class FakeClient:
    """What a client types, and what it was sent."""

    def __init__(self, *typed: bytes, ends: bool = True) -> None:
        self._typed = list(typed)
        self._ends = ends
        self.seen = b""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        if not self._typed and not self._ends:
            await trio.sleep_forever()
        return self._typed.pop(0) if self._typed else b""

    async def send_all(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.seen += data


class FakeProcess:
    """Prints what it is told to; its output ends when ``done`` is set."""

    def __init__(self, *prints: tuple[str, bytes]) -> None:
        self._prints = prints
        self.done = trio.Event()
        self.input: list[bytes] = []

    async def output(self) -> AsyncIterator[LogEntry]:
        for stream, data in self._prints:
            yield LogEntry(stream, 0, data)
        await self.done.wait()

    async def send(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.input.append(data)

    async def send_eof(self) -> None:
        await trio.lowlevel.checkpoint()
        self.input.append(b"")


async def test_input_its_end_and_output_are_passed_on() -> None:
    client, process = FakeClient(b"a", b"b"), FakeProcess(("stdout", b"out"), ("stderr", b"err"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(join, client, process.output(), Encoder(tty=False), process, None)
        await wait_all_tasks_blocked()
        assert process.input == [b"a", b"b", b""]
        process.done.set()
    assert client.seen == b"\x01\0\0\0\0\0\0\x03out\x02\0\0\0\0\0\0\x03err"


async def test_the_end_of_output_ends_it_while_the_client_still_types() -> None:
    client, process = FakeClient(ends=False), FakeProcess()
    process.done.set()
    assert await join(client, process.output(), Encoder(tty=False), process, None)
    assert process.input == []


async def test_detach_keys_leave_the_process_as_it_is() -> None:
    client, process = FakeClient(b"x\x10", b"\x11y"), FakeProcess()
    assert not await join(client, process.output(), Encoder(tty=True), process, KeyWatch(b"\x10\x11"))
    assert process.input == [b"x"]


async def test_without_stdin_input_is_dropped() -> None:
    client, process = FakeClient(b"a"), FakeProcess(("stdout", b"x"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(join, client, process.output(), Encoder(tty=True), None, None)
        await wait_all_tasks_blocked()
        process.done.set()
    assert (client.seen, process.input) == (b"x", [])


async def test_cancelled_it_leaves_nothing() -> None:
    client, process = FakeClient(ends=False), FakeProcess()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(join, client, process.output(), Encoder(tty=True), process, None)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert process.input == []
