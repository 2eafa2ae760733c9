"""Output that is handed on and not kept: what Docker calls the log driver ``none``.

Theory of operation. Nothing is written anywhere, and without a reader nothing is remembered either. A reader has its
place from when it is made, before the container starts if need be, and sees all from there on to the end of the run.
What the slowest has not done with is held in memory. At MOST_BYTES of it the output is *full*: whoever brings more
waits, as a writer to a pipe does. A reader that takes nothing at all while it is waited for is given up after
PATIENCE: it is told so, and the container goes on. So no byte is lost on a reader that reads, memory is bounded, and
nothing is held up for ever.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import NoReturn, Self
from weakref import WeakSet

import trio

from bireme.storage._log_lines import LogEntry
from bireme_actors import BiremeError, OutputNotKept

_log = logging.getLogger("bireme")

MOST_BYTES = 4 << 20
"""What is held of one container's output before it is waited for readers."""

PATIENCE = 10.0
"""Seconds that the slowest reader may take for one entry (at most 64 KiB) while it is waited for."""

_ENTRY_BYTES = 256
"""What an entry takes besides its data."""


class OutputLost(BiremeError):
    """The reader held the container up for too long and was given up; what came after is lost to it."""


def not_kept(container: str) -> OutputNotKept:
    """The refusal to read what a container has printed, in Docker's words."""
    return OutputNotKept(
        f"configured logging driver does not support reading: nothing of what container {container} prints is kept "
        "(log driver none); attach to it, or make it with the log driver json-file"
    )


class LiveReader:
    """One reader's way through the output: an async iterator, for one task, to be closed."""

    def __init__(self, output: LiveOutput, number: int) -> None:
        self._output = output
        self.number = number
        """Of the first entry that it is not done with."""
        self.stop: int | None = None
        """The number behind its last entry, once that is known."""
        self.lost = False
        self._handed = False

    @property
    def pending(self) -> bool:
        """Whether there may be something that it is still to be given."""
        return self.stop is None or self.number < self.stop

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> LogEntry:
        """The next entry; the one before it is done with. Raises OutputLost. Cancelled: nothing is lost."""
        await trio.lowlevel.checkpoint()
        if self._handed:
            self._handed = False
            self.number += 1
            self._output.trim()
        entry = await self._output.wait_entry(self)
        if entry is None:
            raise StopAsyncIteration
        self._handed = True
        return entry

    async def aclose(self) -> None:
        """Nothing is held for it any more."""
        self._output.leave(self)
        await trio.lowlevel.cancel_shielded_checkpoint()


class LiveOutput:
    """One container's output: ``bireme_actors.OutputLog``, with readers but without a past."""

    def __init__(self, name: str, clock: Callable[[], int] = time.time_ns) -> None:
        self._name = name
        self._clock = clock
        self._entries: deque[LogEntry] = deque()
        self._first = 0
        """The number of the oldest entry that is held."""
        self._bytes = 0
        self._readers: WeakSet[LiveReader] = WeakSet()
        self._changed = trio.lowlevel.ParkingLot()
        self._taken = trio.lowlevel.ParkingLot()
        self._closed = False

    def __repr__(self) -> str:
        return f"<LiveOutput of {self._name}: {len(self._entries)} entries held, {len(self._readers)} read>"

    # Writing.

    @property
    def full(self) -> bool:
        """See ``OutputLog.full``. Who still reads an earlier run holds up no later one."""
        return self._bytes >= MOST_BYTES and self._wanted

    def append(self, stream: str, data: bytes) -> None:
        """Hold ``data`` of ``stdout`` or ``stderr``, stamped now, for those who read; forget it if nobody does.

        Of twice what should be there, the slowest reader is given up at once.
        """
        if not data or self._closed or not self._wanted:
            return
        self._entries.append(LogEntry(stream, self._clock(), data))
        self._bytes += len(data) + _ENTRY_BYTES
        if self._bytes >= 2 * MOST_BYTES:
            self._give_up_slowest()
        self._changed.unpark_all()

    async def wait_room(self) -> None:
        """See ``OutputLog.wait_room``."""
        await trio.lowlevel.checkpoint()
        self.trim()
        while self.full:
            with trio.move_on_after(PATIENCE) as patience:
                await self._taken.park()
            if patience.cancelled_caught:
                self._give_up_slowest()

    def end(self) -> None:
        """The process has ended and all of its output is in: readers finish."""
        for reader in self._readers:
            if reader.stop is None:
                reader.stop = self._count
        self._changed.unpark_all()

    def close(self) -> None:
        """No more output; readers finish."""
        self.end()
        self._closed = True

    @property
    def _wanted(self) -> bool:
        """Whether somebody is there for what comes."""
        return any(reader.stop is None for reader in self._readers)

    def _give_up_slowest(self) -> None:
        for reader in [reader for reader in self._readers if reader.pending and reader.number == self._first]:
            reader.lost = True
            self._readers.discard(reader)
            _log.warning("a reader of container %s's output takes nothing and is given up", self._name)
        self.trim()

    # Reading.

    @property
    def _count(self) -> int:
        """The number of the next entry."""
        return self._first + len(self._entries)

    def attach(self, *, logs: bool, follow: bool) -> LiveReader:
        """All from now on to the end of the run, the next one if none is under way; nothing without ``follow``.

        Raises OutputNotKept for ``logs``: there is no past.
        """
        if logs:
            self.read()
        reader = LiveReader(self, self._count)
        if not follow or self._closed:
            reader.stop = reader.number
        self._readers.add(reader)
        return reader

    def read(self, **options: object) -> NoReturn:
        """Raises OutputNotKept."""
        raise not_kept(self._name)

    async def wait_entry(self, reader: LiveReader) -> LogEntry | None:
        """What the reader is to have next, once it is there; None at the end. Raises OutputLost."""
        while reader.pending:
            if reader.lost:
                raise OutputLost(
                    f"output of container {self._name} is lost: its reader was too far behind and took nothing for "
                    f"{PATIENCE:g} seconds, and nothing is kept (log driver none)"
                )
            if reader.number < self._count:
                return self._entries[reader.number - self._first]
            await self._changed.park()
        return None

    def trim(self) -> None:
        """Forget what all have done with, and let who waits for room go on."""
        needed = min((reader.number for reader in self._readers if reader.pending), default=self._count)
        if needed <= self._first:
            return
        while self._first < needed:
            self._bytes -= len(self._entries.popleft().data) + _ENTRY_BYTES
            self._first += 1
        self._taken.unpark_all()

    def leave(self, reader: LiveReader) -> None:
        """Hold nothing for this reader any more; it has come to its end."""
        reader.stop = reader.number
        self._readers.discard(reader)
        self.trim()
        self._taken.unpark_all()  # it may have been the only one for whom there was anything to wait
