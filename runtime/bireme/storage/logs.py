"""Containers' output, kept and followed.

Theory of operation. ``append`` writes one line to the file and remembers the entry in the *recent* ones, a bounded
queue; it knows nothing of readers but that some may be parked. A reader has a place: a number (how many entries came
before) and a file offset. While its place is among the recent entries it takes them from memory; one that has fallen
behind reads the file from its offset, in a thread, up to where the recent ones begin. So no reader holds up
``append``, memory is bounded by the queue, and a reader sees each entry once. If the disk is full, output still
reaches whoever follows closely enough.

A run ends with ``end``, which marks the place. Who follows from a place sees everything up to the first mark made
after he took it: of a container that has not started yet that is the whole next run.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar, TypeVarTuple

import trio

from bireme import _files
from bireme.storage._errors import storage_error
from bireme.storage._log_file import Line, LogEntry, find_tail, is_whole, read_lines
from bireme.storage.paths import Layout
from bireme_actors import ContainerId

_log = logging.getLogger("bireme")

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
_RECENT_BYTES = 16 << 10
_FOLLOWED_BYTES = 1 << 20
"""How much output is remembered, without and with somebody who reads."""

_MARKS = 1024
_BLOCK = 1 << 20
_BEFORE = -1
"""The number of a place in the file whose number is not known: before all that are."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place between two entries of a log. Only ``ContainerLog`` looks into it."""

    number: int
    offset: int
    ends: int


class ContainerLog:
    """One container's output: ``bireme_actors.OutputLog`` with readers."""

    def __init__(self, path: str, name: str, clock: Callable[[], int] = time.time_ns) -> None:
        """Goes on after what the file holds already; it is made when there is something to write."""
        self._path = path
        self._name = name
        self._clock = clock
        self._fd = -1
        self._release: Callable[[], object] = _nothing
        self._size = _size_of(path)
        self._recent: deque[tuple[LogEntry, int]] = deque()
        """Entries, each with the file offset behind it."""
        self._recent_bytes = 0
        self._recent_start = self._size
        self._number = 0
        self._ends = 0
        self._marks: deque[Position] = deque(maxlen=_MARKS)
        self._readers = 0
        self._changed = trio.lowlevel.ParkingLot()
        self._mended = self._running = self._losing = self._closed = False

    def __repr__(self) -> str:
        return f"<ContainerLog of {self._name}: {self._size} bytes, {self._number} new entries, {self._readers} read>"

    # Writing.

    def append(self, stream: str, data: bytes) -> None:
        """Keep ``data`` of ``stdout`` or ``stderr``, stamped now. Never raises: a full disk loses output, not work."""
        if not data or self._closed:
            return
        self._running = True
        entry = LogEntry(stream, self._clock(), data)
        try:
            self._write(Line.of(entry))
        except OSError as error:
            self._lose(error)
        self._remember(entry)
        self._changed.unpark_all()

    def end(self) -> None:
        """The process has ended and all of its output is in: followers finish."""
        self._ends += 1
        self._marks.append(self.position())
        self._running = False
        self._release_unused()
        self._changed.unpark_all()

    def close(self) -> None:
        """Nothing is kept any more; followers finish. Its file may go: whoever still has this log can still read it."""
        if self._size and self._fd < 0:
            with contextlib.suppress(OSError):
                self._open()
        self._closed = True
        self._changed.unpark_all()

    def _write(self, line: bytes) -> None:
        if self._fd < 0:
            self._open(os.O_CREAT)
        if not self._mended:
            self._mend()
        written = os.write(self._fd, line)
        if written < len(line):
            self._finish(line, written)
        self._size += len(line)

    def _mend(self) -> None:
        """End the line that an engine was writing when it was killed."""
        if not is_whole(self._fd, self._size):
            self._size += os.write(self._fd, b"\n")
        self._mended = True

    def _finish(self, line: bytes, written: int) -> None:
        """The disk has taken a part: all of the line now, or nothing of it."""
        try:
            _files.write_all(self._fd, memoryview(line)[written:])
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise

    def _lose(self, error: OSError) -> None:
        if not self._losing:
            self._losing = True
            failure = storage_error(f"keep the output of container {self._name}", error)
            _log.warning("%s; the container goes on", failure)

    def _remember(self, entry: LogEntry) -> None:
        self._number += 1
        self._recent.append((entry, self._size))
        self._recent_bytes += len(entry.data)
        bound = _FOLLOWED_BYTES if self._readers else _RECENT_BYTES
        while self._recent_bytes > bound:
            oldest, self._recent_start = self._recent.popleft()
            self._recent_bytes -= len(oldest.data)

    def _open(self, create: int = 0) -> None:
        """For reading and writing, whoever comes first."""
        self._fd = fd = os.open(self._path, create | _FLAGS, 0o600)
        self._release = weakref.finalize(self, os.close, fd)

    def _release_unused(self) -> None:
        """Keep no descriptor for a container that does not run."""
        if not (self._running or self._readers or self._closed):
            self._release()
            self._fd = -1

    # Reading.

    def position(self) -> Position:
        """The present end of the log."""
        return Position(self._number, self._size, self._ends)

    def read(
        self,
        *,
        start: Position | None = None,
        follow: bool,
        tail: int | None = None,
        since: int = 0,
        until: int = 0,
    ) -> AsyncGenerator[LogEntry]:
        """Entries from ``start`` (None: the first) to the present end, or with ``follow`` to the end of the run.

        The run is the one under way at ``start`` (None: at this call), else the next. ``tail`` keeps the last so many
        lines of what is there now; ``since`` and ``until`` are times in nanoseconds, inclusive, 0 for none. To be
        wrapped in ``aclosing``. Cancelled: nothing is left. What the disk cannot give back is left out, with a warning.
        """
        now = self.position()
        place = start if start is not None else Position(_BEFORE, 0, now.ends)
        return self._read(place, None if follow else now, now, tail, since, until)

    async def _read(
        self, place: Position, bound: Position | None, now: Position, tail: int | None, since: int, until: int
    ) -> AsyncGenerator[LogEntry]:
        self._readers += 1
        try:
            cut = 0
            if tail is not None:
                place, cut = await self._tail(place, now, tail)
            async with contextlib.aclosing(self._batches(place, bound, until)) as batches:
                async for entries in batches:
                    for entry in entries:
                        if until and entry.time > until:
                            return
                        wanted = entry if not cut else LogEntry(entry.stream, entry.time, entry.data[cut:])
                        cut = 0
                        if entry.time >= since:
                            yield wanted
        finally:
            self._readers -= 1
            self._release_unused()

    async def _tail(self, place: Position, now: Position, lines: int) -> tuple[Position, int]:
        """The place where the last lines begin, and how much of the entry there is not wanted."""
        begin = max(place.offset, 0)
        if lines <= 0 or now.offset <= begin:
            return Position(now.number, now.offset, place.ends), 0
        offset, cut = await self._in_thread(find_tail, begin, now.offset, lines)
        return Position(self._number_at(offset), offset, place.ends), cut

    def _number_at(self, offset: int) -> int:
        """The number of the entry at an offset, if it is among the recent ones."""
        number, begin = self._first_recent(), self._recent_start
        for _, after in self._recent:
            if begin >= offset:
                break
            number, begin = number + 1, after
        return number if begin == offset else _BEFORE

    def _first_recent(self) -> int:
        return self._number - len(self._recent)

    async def _batches(self, place: Position, bound: Position | None, until: int) -> AsyncGenerator[list[LogEntry]]:
        """All entries from a place to ``bound``, or to the end of the run; those of one batch are there already."""
        while True:
            stop = bound or self._end_after(place.ends)
            if stop is not None and place.number >= stop.number:
                return
            if place.number >= self._number:
                if not await self._more(until):
                    return
            elif place.number >= self._first_recent():
                entries, place = self._take_recent(place, stop)
                yield entries
            else:
                goal = Position(self._first_recent(), self._recent_start, place.ends)
                if stop is not None and stop.number < goal.number:
                    goal = stop
                async with contextlib.aclosing(self._stored(place.offset, goal.offset)) as stored:
                    async for entries in stored:
                        yield entries
                place = Position(goal.number, goal.offset, place.ends)

    def _end_after(self, ends: int) -> Position | None:
        """Where the first run ended that did so after ``ends`` others."""
        if self._ends > ends:
            return self._marks[max(0, len(self._marks) - (self._ends - ends))]
        return self.position() if self._closed else None

    def _take_recent(self, place: Position, stop: Position | None) -> tuple[list[LogEntry], Position]:
        begin = place.number - self._first_recent()
        end = None if stop is None else begin + stop.number - place.number
        taken = list(islice(self._recent, begin, end))
        return [entry for entry, _ in taken], Position(place.number + len(taken), taken[-1][1], place.ends)

    async def _more(self, until: int) -> bool:
        """Wait for something to happen; False once ``until`` has come."""
        if not until:
            await self._changed.park()
            return True
        with trio.move_on_after(max(0, until - self._clock()) / 1e9):
            await self._changed.park()
            return True
        return False

    async def _stored(self, offset: int, end: int) -> AsyncGenerator[list[LogEntry]]:
        """What the file has between two offsets."""
        try:
            while offset < end:
                entries, offset = await self._in_thread(read_lines, offset, end, _BLOCK)
                yield entries
        except OSError as error:
            _log.warning("output of container %s cannot be read: %s", self._name, error)

    async def _in_thread(self, work: Callable[[int, *Ts], T], *args: *Ts) -> T:
        """Do something with the file, which stays open for as long as there are readers."""
        if self._fd < 0:
            self._open()
        return await trio.to_thread.run_sync(work, self._fd, *args)


def _nothing() -> None:
    """There is nothing to release."""


class JsonLogs:
    """``bireme_actors.LogStore``: the logs of a root's containers, one object each while they are open."""

    def __init__(self, layout: Layout, clock: Callable[[], int] = time.time_ns) -> None:
        self._layout = layout
        self._clock = clock
        self._open: dict[ContainerId, ContainerLog] = {}

    def open_log(self, container: ContainerId) -> ContainerLog:
        """The container's log, to go on with after what it holds already."""
        log = self._open.get(container)
        if log is None:
            log = self._open[container] = ContainerLog(self._layout.log(container), container, self._clock)
        return log

    def close_log(self, container: ContainerId) -> None:
        """Close the log and let its followers end; its file goes with the container's directory."""
        log = self._open.pop(container, None)
        if log is not None:
            log.close()


def _size_of(path: str) -> int:
    with contextlib.suppress(OSError):
        return os.stat(path).st_size
    return 0
