"""A client's hijacked connection joined to a process's streams, until the output ends or the client leaves.

Input and output are two tasks that know nothing of each other: a process that does not read holds up its own input
only, a client that does not read its own output only. The end of the client's input is passed on and is not the end of
the output; the client's detach keys are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

import trio

from bireme._keys import KeyWatch
from bireme.engine import open_background
from bireme.server.messages import Raw
from bireme.server.streams import Encoder
from bireme_actors import DriverError


class Entry(Protocol):
    """One piece of output."""

    @property
    def stream(self) -> str: ...

    @property
    def time(self) -> int: ...

    @property
    def data(self) -> bytes: ...


class Input(Protocol):
    """Where the client's input goes."""

    async def send(self, data: bytes) -> None: ...

    async def send_eof(self) -> None: ...


async def join(
    raw: Raw, entries: AsyncIterator[Entry], encoder: Encoder, process_input: Input | None, watch: KeyWatch | None
) -> bool:
    """True when the output has ended, False if the client detached by its keys.

    Without ``process_input`` what the client sends is read and dropped. Raises trio.BrokenResourceError if the client
    went away. Cancelled: the process goes on without the client.
    """
    with trio.CancelScope() as scope:
        async with open_background() as background:
            background.start_soon(_feed_until_detached, raw, process_input, watch, scope)
            await _send_all(raw, entries, encoder)
    return not scope.cancelled_caught


async def _send_all(raw: Raw, entries: AsyncIterator[Entry], encoder: Encoder) -> None:
    async for entry in entries:
        data = encoder.encode(entry.stream, entry.time, entry.data)
        if data:
            await raw.send_all(data)


async def _feed_until_detached(
    raw: Raw, process_input: Input | None, watch: KeyWatch | None, scope: trio.CancelScope
) -> None:
    if await _feed(raw, process_input, watch):
        scope.cancel()


async def _feed(raw: Raw, process_input: Input | None, watch: KeyWatch | None) -> bool:
    """Until the client's input ends: False; or until its detach keys: True."""
    while data := await raw.receive_some():
        complete = False
        if watch is not None:
            data, complete = watch.feed(data)
        if data and process_input is not None:
            try:
                await process_input.send(data)
            except DriverError:
                process_input = None  # the process has ended; its output tells
        if complete:
            return True
    if process_input is not None:
        await process_input.send_eof()
    return False
