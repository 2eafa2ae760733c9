"""Containers' output, kept and followed. (What is not kept is in ``_live``.)

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
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar, TypeVarTuple

import trio

from bireme.storage._errors import storage_error
from bireme.storage._live import LiveOutput
from bireme.storage._log_file import LogFile
from bireme.storage._log_lines import Line, LogEntry, Read, find_tail, read_lines
from bireme.storage._log_rotation import RotatedFile, Rotation
from bireme.storage._recent import BEFORE, Recent
from bireme.storage.paths import Layout
from bireme_actors import ContainerId

_log = logging.getLogger("bireme")

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

RECENT_BYTES = 16 << 10
READ_BYTES = 1 << 20
"""How much output is remembered, without and with somebody who reads."""

_MARKS = 1024
"""Ends of runs that are remembered."""

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What becomes of a container's output."""

    kept: bool = True
    """False: it is handed on to who reads at the time, and nothing else."""
    rotation: Rotation | None = None
    """How large it may become; None: as large as the disk allows."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place between two entries of a log. Only ``ContainerLog`` looks into it."""

    number: int
    offset: int
    ends: int


class ContainerLog:
    """One container's output: ``bireme_actors.OutputLog`` with readers."""

    full = False
    """No reader is ever waited for."""

    def __init__(
        self, path: str, name: str, clock: Callable[[], int] = time.time_ns, rotation: Rotation | None = None
    ) -> None:
        """Goes on after what the file holds already; it is made when there is something to write."""
        self._name = name
        self._clock = clock
        self._file = LogFile(path) if rotation is None else RotatedFile(path, rotation)
        self._ends = 0
        self._marks: deque[Position] = deque(maxlen=_MARKS)
        self._readers = 0
        self._changed = trio.lowlevel.ParkingLot()
        self._running = self._losing = self._closed = False

    @cached_property
    def _recent(self) -> Recent:
        """To be there before something is written: they begin where the file ends."""
        return Recent(self._file.size)

    def __repr__(self) -> str:
        return f"<ContainerLog of {self._name}: {self._recent.count} new entries, {self._readers} read>"

    # Writing.

    def append(self, stream: str, data: bytes) -> None:
        """Keep ``data`` of ``stdout`` or ``stderr``, stamped now. Never raises: a full disk loses output, not work."""
        if not data or self._closed:
            return
        self._running = True
        entry, recent = LogEntry(stream, self._clock(), data), self._recent
        try:
            self._file.append(Line.of(entry))
        except OSError as error:
            self._lose(error)
        recent.add(entry, self._file.size, READ_BYTES if self._readers else RECENT_BYTES)
        self._changed.unpark_all()

    async def wait_room(self) -> None:
        """There always is."""
        await trio.lowlevel.checkpoint()

    def end(self) -> None:
        """The process has ended and all of its output is in: followers finish."""
        self._ends += 1
        self._marks.append(self.position())
        self._running = False
        self._release_unused()
        self._changed.unpark_all()

    def close(self) -> None:
        """Nothing is kept any more; followers finish. Its file may go: whoever still has this log can still read it."""
        self._file.keep()
        self._closed = True
        self._changed.unpark_all()

    def _lose(self, error: OSError) -> None:
        if not self._losing:
            self._losing = True
            failure = storage_error(f"keep the output of container {self._name}", error)
            _log.warning("%s; the container goes on", failure)

    def _release_unused(self) -> None:
        """Keep no descriptor for a container that does not run."""
        if not (self._running or self._readers or self._closed):
            self._file.close()

    # Reading.

    def position(self) -> Position:
        """The present end of the log."""
        return Position(self._recent.count, self._file.size, self._ends)

    def attach(self, *, logs: bool, follow: bool) -> AsyncGenerator[LogEntry]:
        """As ``read``, from now on, or with ``logs`` from the first entry."""
        return self.read(start=None if logs else self.position(), follow=follow)

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
        place = start if start is not None else Position(BEFORE, 0, now.ends)
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
        begin = max(place.offset, self._file.start)
        if lines <= 0 or now.offset <= begin:
            return Position(now.number, now.offset, place.ends), 0
        try:
            offset, cut = await self._in_thread(find_tail, begin, now.offset, lines)
        except OSError as error:
            self._unreadable(error)
            return place, 0
        return Position(self._recent.number_at(offset), offset, place.ends), cut

    async def _batches(self, place: Position, bound: Position | None, until: int) -> AsyncGenerator[list[LogEntry]]:
        """All entries from a place to ``bound``, or to the end of the run; those of one batch are there already."""
        while True:
            stop = bound or self._end_after(place.ends)
            if stop is not None and place.number >= stop.number:
                return
            if place.number >= self._recent.count:
                if not await self._more(until):
                    return
            elif place.number >= self._recent.first:
                until_number = self._recent.count if stop is None else stop.number
                entries, offset = self._recent.take(place.number, until_number)
                place = Position(place.number + len(entries), offset, place.ends)
                await trio.lowlevel.checkpoint_if_cancelled()
                yield entries
            else:
                goal = Position(self._recent.first, self._recent.begin, place.ends)
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
            while (offset := max(offset, self._file.start)) < end:
                entries, offset = await self._in_thread(read_lines, offset, end, _BLOCK)
                yield entries
        except OSError as error:
            self._unreadable(error)

    def _unreadable(self, error: OSError) -> None:
        failure = storage_error(f"read the output of container {self._name}", error)
        _log.warning("%s; that part of it is left out", failure)

    async def _in_thread(self, work: Callable[[Read, *Ts], T], *args: *Ts) -> T:
        """Do something with the file, which stays open for as long as there are readers."""
        with self._file.reading() as read:
            return await trio.to_thread.run_sync(work, read, *args)


class JsonLogs:
    """``bireme_actors.LogStore``: the logs of a root's containers, one object each while they are open."""

    def __init__(self, layout: Layout, clock: Callable[[], int] = time.time_ns) -> None:
        self._layout = layout
        self._clock = clock
        self._open: dict[ContainerId, ContainerLog | LiveOutput] = {}
        self.options: Callable[[ContainerId], LogOptions] = lambda container: LogOptions()
        """What becomes of a container's output."""

    def open_log(self, container: ContainerId) -> ContainerLog | LiveOutput:
        """The container's log, to go on with after what it holds already."""
        log = self._open.get(container)
        if log is None:
            log = self._open[container] = self._new(container, self.options(container))
        return log

    def _new(self, container: ContainerId, options: LogOptions) -> ContainerLog | LiveOutput:
        if not options.kept:
            return LiveOutput(container, self._clock)
        return ContainerLog(self._layout.log(container), container, self._clock, options.rotation)

    def close_log(self, container: ContainerId) -> None:
        """Close the log and let its followers end; its file goes with the container's directory."""
        log = self._open.pop(container, None)
        if log is not None:
            log.close()
