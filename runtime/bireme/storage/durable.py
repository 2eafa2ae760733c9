"""The disk, shared: all who wait for it at the same time are served by one pass of one worker thread.

Theory of operation. A hop to a thread and back costs an event loop more than the few file operations it is made for,
and a disk flush costs more than both. So tasks queue their *jobs*, and one of them *leads*: it takes the queue to a
worker thread, in which the jobs are done in turn. A job that needs something on disk before it goes on yields a
``Flush``; once every job of the pass has come that far, all are flushed together and then go on. Newcomers meanwhile
queue for the next pass, which begins when this one ends: so they are many, and hops and flushes few. A pass takes no
more than are worth a flush: of a thousand containers that are to start the first ones are not to wait for the last.
Once that many wait, another pass may be under way beside the first.

Rules. There is at most one leader that has not left yet (``_gathering``), and its own job is the first in the queue
until it leaves. Whoever leaves, ends a pass, or gives up leading, appoints the next one. What a job raises is its own
task's alone.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from types import GeneratorType
from typing import Any, ParamSpec, TypeVar, cast, overload

import trio

from bireme import _files
from bireme import _syscalls as sys_
from bireme.storage._berths import Berth
from bireme.storage._trash import Trash, leftovers
from bireme.storage.paths import Layout
from bireme_actors import StorageError

T = TypeVar("T")
P = ParamSpec("P")

LANES = 3
"""Passes that may be under way at once, all but one of them full."""

LARGEST_PASS = 8
"""Jobs: for each of eight a shared flush costs a third of one of its own, hardly less for more (``_LITTLE``)."""

CLOSE_SECONDS = 10.0
"""The longest that leaving ``open_disk`` waits for what is being deleted."""

_LITTLE = 8 << 20
"""Up to so many unwritten bytes in the whole system a flush of the whole file system is cheapest, above it one of each
file. Measured on ext4, a pass of 1, 8 and 64 records: one by one 0.7, 3.8 and 31 ms, the whole 0.5, 1.3 and 13 ms; on a
disk that others flush all the time 6 and 34 ms against 3 and 7. But beside a neighbour who writes as fast as he can the
whole takes 0.1 s and more because it waits for his data too: one by one it is 27 ms for 64."""


@dataclass(frozen=True, slots=True)
class Flush:
    """What a job needs on disk before it goes on: an open file, and the names in some directories."""

    file: int
    directories: tuple[str, ...] = ()
    everything: bool = False
    """The whole file system that the file is on."""


Steps = Generator[Flush, None, T]
"""A job that waits for the disk in between."""


@dataclass(slots=True, eq=False)
class _Job:
    work: Callable[[], object]
    wake: trio.Event = field(default_factory=trio.Event)
    leads: bool = False
    steps: Steps[object] | None = None
    wanted: Flush | None = None
    value: object = None
    error: BaseException | None = None

    def begin(self) -> None:
        self._advance(self.work)

    def resume(self, failure: OSError | None) -> None:
        """Go on after a flush, or after its failure."""
        assert self.steps is not None, "only a job of several steps waits for a flush"
        self._advance(partial(next, self.steps) if failure is None else partial(self.steps.throw, failure))

    def _advance(self, step: Callable[[], object]) -> None:
        self.wanted = None
        try:
            result = step()
            if isinstance(result, GeneratorType):
                self.steps = result
                result = next(result)
            if isinstance(result, Flush):
                self.wanted = result
            else:
                self.value = result
        except StopIteration as stop:
            self.value = stop.value
        except BaseException as error:  # noqa: BLE001 - handed to the task that waits for it
            self.error = error

    def outcome(self) -> object:
        if self.error is not None:
            raise self.error
        return self.value


class Disk:
    """Does the jobs of many tasks with few hops and few flushes. Shared by the stores of one root."""

    def __init__(self) -> None:
        self._queue: list[_Job] = []
        self._gathering = False
        self._under_way = 0
        self._limiter = trio.CapacityLimiter(LANES)
        self._berths: dict[str, Berth] = {}
        self.passes = 0
        self.trash = Trash()

    def __repr__(self) -> str:
        return f"<Disk: {len(self._queue)} jobs wait, {self._under_way} passes under way, {self.passes} done>"

    def berth(self, trash: str) -> Berth:
        """Where to make directories that are to lie apart; one for each trash."""
        return self._berths.setdefault(trash, Berth(trash))

    def close(self) -> None:
        """Leave nothing in the trash that has not been thrown there. Once nobody uses it any more."""
        for berth in self._berths.values():
            berth.close()

    @overload
    async def run(self, work: Callable[P, Steps[T]], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    async def run(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Do ``work(*args)`` in a worker thread, with whatever else waits. What it raises leaves here.

        Cancelled while it queues: it is not done. Once it has begun it is done to its end, and answered.
        """
        job = _Job(partial(work, *args, **kwargs))
        self._queue.append(job)
        self._appoint()
        try:
            await job.wake.wait()
        except trio.Cancelled:
            if job in self._queue:
                self._give_up(job)
                raise
            with trio.CancelScope(shield=True):
                await job.wake.wait()
        if job.leads:
            await self._lead()
        return job.outcome()

    def _appoint(self) -> None:
        """Let the first job's task lead the next pass, if none does yet and a pass may be made."""
        beside = self._under_way < LANES and len(self._queue) >= LARGEST_PASS
        if self._queue and not self._gathering and (not self._under_way or beside):
            first = self._queue[0]
            self._gathering = first.leads = True
            first.wake.set()

    def _give_up(self, job: _Job) -> None:
        self._queue.remove(job)
        if job.leads:
            self._gathering = False
            self._appoint()

    async def _lead(self) -> None:
        jobs, self._queue = self._queue[:LARGEST_PASS], self._queue[LARGEST_PASS:]
        self._gathering = False
        self._under_way += 1
        self._appoint()
        try:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(_pass, jobs, limiter=self._limiter)
        except RuntimeError as error:
            for job in jobs:
                job.error = StorageError(f"no worker thread for the disk: {error}; end some threads or raise the limit")
        finally:
            self._under_way -= 1
            self.passes += 1
            for job in jobs:
                job.wake.set()
            self._appoint()


@asynccontextmanager
async def open_disk(layout: Layout) -> AsyncIterator[Disk]:
    """A disk for the length of the block, which deletes on the side what earlier engines threw away.

    Leaving waits until everything thrown away is deleted, but not for long: the next engine goes on with the rest.
    """
    disk = Disk()
    for thrown in await trio.to_thread.run_sync(leftovers, layout.trash):
        disk.trash.delete(thrown)
    try:
        yield disk
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_SECONDS):
            await disk.trash.wait_empty()
        disk.close()


def perform(work: Callable[P, Steps[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Do one job here and now, on the calling thread. Raises what the job raises."""
    job = _Job(partial(work, *args, **kwargs))
    _pass([job])
    return cast("T", job.outcome())


def _pass(jobs: Sequence[_Job]) -> None:
    for job in jobs:
        job.begin()
    while waiting := [job for job in jobs if job.wanted is not None]:
        failures = _flush([job.wanted for job in waiting if job.wanted is not None])
        for job, failure in zip(waiting, failures, strict=True):
            job.resume(failure)


def _flush(wanted: Sequence[Flush]) -> list[OSError | None]:
    """Make all of it durable; of each the failure, if it failed."""
    if any(flush.everything for flush in wanted) or _unwritten() <= _LITTLE:
        failure = _failure(sys_.syncfs, wanted[0].file)
        return [failure] * len(wanted)
    failures = [_failure(os.fsync, flush.file) for flush in wanted]
    directories = dict.fromkeys(directory for flush in wanted for directory in flush.directories)
    bad = {path: failure for path in directories if (failure := _failure(_files.sync_directory, path)) is not None}
    for number, flush in enumerate(wanted if bad else ()):
        failures[number] = failures[number] or next((bad[path] for path in flush.directories if path in bad), None)
    return failures


def _failure(call: Callable[[T], None], argument: T) -> OSError | None:
    try:
        call(argument)
    except OSError as error:
        return error
    return None


def _unwritten() -> int:
    """Bytes in memory that wait for a disk, of the whole system."""
    with open("/proc/vmstat", "rb", buffering=0) as table:
        text = table.read(1 << 14)
    pages = (text.partition(b"\n%s " % name)[2].partition(b"\n")[0] for name in (b"nr_dirty", b"nr_writeback"))
    return sum(map(int, pages)) * os.sysconf("SC_PAGE_SIZE")
