"""The engine in a thread of its own: what ``blocking`` and ``aio`` stand on, over anyio's portal on the trio
backend.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import trio
from anyio.abc import TaskStatus
from anyio.from_thread import BlockingPortal, start_blocking_portal

from bireme.engine import open_file
from bireme.images import Image, ImageStore

T = TypeVar("T")

_AHEAD = 64
"""Items read ahead of whoever iterates in another thread."""


def open_portal() -> AbstractContextManager[BlockingPortal]:
    """A trio event loop in a thread, for the length of the block."""
    return start_blocking_portal(backend="trio", name="bireme")


@dataclass(frozen=True, slots=True)
class Stream(Generic[T]):
    """An asynchronous iterator that runs in the portal's thread, in one task from beginning to end."""

    items: trio.MemoryReceiveChannel[T]
    task: Future[None]

    async def next(self) -> T | None:
        """The next item; None at the end. Raises what the iterator raised."""
        try:
            return await self.items.receive()
        except trio.EndOfChannel:
            self.task.result()
            return None


def open_stream(portal: BlockingPortal, source: AbstractAsyncContextManager[AsyncIterator[T]]) -> Stream[T]:
    """Start reading; returns once ``source`` has been entered. Ends when the source does, or its task is cancelled."""

    async def read(task_status: TaskStatus[trio.MemoryReceiveChannel[T]]) -> None:
        send, receive = trio.open_memory_channel[T](_AHEAD)
        async with send, source as items:
            task_status.started(receive)
            async for item in items:
                await send.send(item)

    task, items = portal.start_task(read)
    return Stream(items, task)


async def import_file(images: ImageStore, path: str | os.PathLike[str], options: Mapping[str, Any]) -> Image:
    """``import_`` of a file."""
    async with open_file(path) as source:
        return await images.import_(source, **options)


async def load_file(images: ImageStore, path: str | os.PathLike[str]) -> tuple[tuple[str, Image], ...]:
    """``load`` of a file."""
    async with open_file(path) as source:
        return await images.load(source)
