"""A container's three streams: input that outlives the processes it goes to, and output pumped into the log."""

from __future__ import annotations

import trio

from bireme_actors._ports import ByteSink, ByteSource, OutputLog, Process

CHUNK = 1 << 16
"""Bytes read at once: what a pipe holds."""

DRAIN_SECONDS = 2.0
"""How long output may still come after the exit, from somebody who was handed the pipe; as Docker waits."""


class Stdin:
    """The input of a container's first process, open to several writers, before it starts and from run to run."""

    def __init__(self) -> None:
        self._lock = trio.Lock()
        self._connected = trio.Event()
        self._sink: ByteSink | None = None

    def connect(self, sink: ByteSink | None) -> None:
        """A process runs; None: it has no input, and what is sent is dropped."""
        self._sink = sink
        self._connected.set()

    def disconnect(self) -> None:
        """The process has ended; what is sent from now on waits for the next one."""
        self._connected = trio.Event()
        self._sink = None

    async def send(self, data: bytes) -> None:
        """Write once the process runs; waits while it does not read. What it does not want any more is dropped."""
        await self._connected.wait()
        async with self._lock:
            if self._sink is not None:
                try:
                    await self._sink.send_all(data)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    self._sink = None

    async def send_eof(self) -> None:
        """End the process's input, once it runs."""
        await self._connected.wait()
        async with self._lock:
            if self._sink is not None:
                sink, self._sink = self._sink, None
                await sink.aclose()


async def pump(process: Process, log: OutputLog) -> None:
    """Copy both output streams into the log until they end. Cancelled: what was read is in."""
    async with trio.open_nursery() as nursery:
        if process.stderr is not None:
            nursery.start_soon(_pump_one, "stderr", process.stderr, log)
        if process.stdout is not None:
            await _pump_one("stdout", process.stdout, log)


async def _pump_one(name: str, source: ByteSource, log: OutputLog) -> None:
    try:
        while data := await source.receive_some(CHUNK):
            log.append(name, bytes(data))
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return
    finally:
        with trio.CancelScope(shield=True):
            await source.aclose()
