"""A container's three streams: input that outlives the processes it goes to, and output pumped into the log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from bireme_actors._actor import protected
from bireme_actors._model import ExitStatus
from bireme_actors._ports import ByteSink, ByteSource, OutputLog, OutputSource, Process

CHUNK = 1 << 16
"""Bytes read at once: what a pipe holds."""

DRAIN_SECONDS = 2.0
"""How long output may still come after the exit, from somebody who was handed the pipe; as Docker waits."""

CLOSE_SECONDS = 1.0
"""The longest that closing a stream may take."""


class Stdin:
    """The input of a container's first process, open to several writers, before it starts and from run to run."""

    __slots__ = ("_connected", "_lock", "_sink")

    def __init__(self) -> None:
        self._lock: trio.Lock | None = None
        self._connected: trio.Event | None = None
        self._sink: ByteSink | None = None

    def connect(self, sink: ByteSink | None) -> None:
        """A process runs; None: it has no input, and what is sent is dropped."""
        self._sink = sink
        self._connection().set()

    async def disconnect(self) -> None:
        """The process has ended; what is sent from now on waits for the next one, what is being sent is dropped."""
        sink, self._sink = self._sink, None
        if self._connection().is_set():
            self._connected = None
        if sink is not None:
            await close(sink)

    def end(self) -> None:
        """No process will run any more: what is sent is dropped."""
        self._sink = None
        self._connection().set()

    async def send(self, data: bytes) -> None:
        """Write once the process runs; waits while it does not read. What it does not want any more is dropped.

        Cancelled: some of it may be in.
        """
        while True:
            await self._connection().wait()
            async with self._writing():
                if not self._connection().is_set():
                    continue  # that process has ended while others wrote
                if self._sink is not None:
                    await self._send_to(self._sink, data)
                return

    async def send_eof(self) -> None:
        """End the process's input, once it runs. Cancelled: it may have ended."""
        await self._connection().wait()
        async with self._writing():
            sink, self._sink = self._sink, None
            if sink is not None:
                await sink.aclose()

    async def _send_to(self, sink: ByteSink, data: bytes) -> None:
        try:
            await sink.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            if self._sink is sink:
                self._sink = None
                await sink.aclose()

    def _connection(self) -> trio.Event:
        if self._connected is None:
            self._connected = trio.Event()
        return self._connected

    def _writing(self) -> trio.Lock:
        if self._lock is None:
            self._lock = trio.Lock()
        return self._lock


Spawn = Callable[[Callable[[], Awaitable[None]]], None]
"""Runs a task beside; cancelling it is its business."""


async def watch(process: Process, log: OutputLog, stdin: Stdin, spawn: Spawn) -> ExitStatus:
    """Connect a process's streams, take its output until the exit and at most DRAIN_SECONDS longer; its exit.

    Cancelled: what was read is kept.
    """
    stdin.connect(process.stdin)
    streams = (("stdout", process.stdout), ("stderr", process.stderr))
    pumps = [Pump(name, source, log, spawn) for name, source in streams if source is not None]
    try:
        status = await process.wait()
        with trio.move_on_after(DRAIN_SECONDS):
            for pump in pumps:
                pump.hurry()
            await stdin.disconnect()
            for pump in pumps:
                await pump.wait_ended()
    finally:
        for pump in pumps:
            await pump.end()
    for pump in pumps:
        await pump.wait_ended()
    return status


class Pump:
    """Copies one output stream into the log until it ends, no faster than the log can take it.

    It sleeps, without a task, until the stream has something to read.
    """

    __slots__ = ("_awake", "_ended", "_held", "_hurried", "_log", "_name", "_source", "_spawn", "_waiting")

    def __init__(self, name: str, source: OutputSource, log: OutputLog, spawn: Spawn) -> None:
        self._name = name
        self._source = source
        self._log = log
        self._spawn = spawn
        self._awake = self._ended = self._hurried = False
        self._held: trio.CancelScope | None = None
        self._waiting: trio.Event | None = None
        source.when_ready(self._wake)

    def _wake(self) -> None:
        if not self._awake:
            self._awake = True
            self._spawn(self._run)

    @protected
    async def _run(self) -> None:
        """Cancelled: what was read is in."""
        try:
            while data := await self._source.receive_some(CHUNK):
                self._log.append(self._name, bytes(data))
                if self._log.full and not self._hurried:
                    await self._wait_room()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        finally:
            await close(self._source)
            self._ended = True
            if self._waiting is not None:
                self._waiting.set()

    async def _wait_room(self) -> None:
        with trio.CancelScope() as self._held:
            await self._log.wait_room()

    def hurry(self) -> None:
        """The process has ended, so not much can come: wait for no reader any more, lest the rest be lost."""
        self._hurried = True
        self._wake()
        if self._held is not None:
            self._held.cancel()

    async def wait_ended(self) -> None:
        """Wait for the end of the stream; for one task, and no checkpoint if it has ended."""
        if not self._ended:
            self._waiting = trio.Event()
            await self._waiting.wait()

    async def end(self) -> None:
        """End it now, whoever may still write; nothing is kept any more once it has ended."""
        if not self._ended:
            self._ended, self._awake = not self._awake, True
            await close(self._source)


async def close(stream: ByteSource | ByteSink) -> None:
    """Close a stream also when cancelled; what cannot be closed in time is left."""
    with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_SECONDS):
        await stream.aclose()
