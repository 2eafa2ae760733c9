"""The engine in a thread of its own, reached over anyio's portal: what ``blocking`` and ``aio`` have in common."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import trio
from anyio.abc import TaskStatus
from anyio.from_thread import BlockingPortal, start_blocking_portal

from bireme import engine
from bireme.engine import Image, ImageStore, open_file
from bireme_actors import ActorStopped, BiremeError, Status

T = TypeVar("T")

_ENDED = "This portal is not running"
"""What anyio says then; it has no error of its own for it."""
_AHEAD = 64
"""Items read ahead of whoever iterates in another thread."""


def open_portal() -> AbstractContextManager[BlockingPortal]:
    """A trio event loop in a thread, for the length of the block."""
    return start_blocking_portal(backend="trio", name="bireme")


class Stream(Generic[T]):
    """An asynchronous iterator that runs in the portal's thread, in one task from beginning to end."""

    def __init__(self, portal: BlockingPortal, source: AbstractAsyncContextManager[AsyncIterator[T]]) -> None:
        """Returns once ``source`` has been entered. Raises what entering it raises."""
        self._source = source
        self._failure: BiremeError | None = None
        self._send, self._receive = trio.open_memory_channel[T](_AHEAD)
        self._task: Future[None] = portal.start_task(self._read)[0]

    async def _read(self, task_status: TaskStatus[None]) -> None:
        async with self._send, self._source as items:
            task_status.started()
            try:
                async for item in items:
                    await self._send.send(item)
            except BiremeError as error:
                self._failure = error

    async def next(self) -> T | None:
        """The next item; None at the end. Raises what the iterator raised."""
        try:
            return await self._receive.receive()
        except trio.EndOfChannel:
            if self._failure is not None:
                raise self._failure from None
            return None

    def close(self) -> None:
        """Give up reading."""
        self._task.cancel()


@contextmanager
def alive() -> Iterator[None]:
    """Around every call into the engine's thread. Raises ActorStopped once the runtime's block has been left."""
    try:
        yield
    except RuntimeError as error:
        if str(error) != _ENDED:
            raise
        raise ActorStopped("the runtime has ended: its block has been left; open another one") from None


class Face:
    """A thing of the engine's, and the thread it lives in."""

    def __init__(self, portal: BlockingPortal) -> None:
        self._portal = portal

    def _read(self, function: Callable[..., T], *args: object, **options: Any) -> T:
        """A frozen snapshot, ready at once: the engine's thread is asked, and answers between two of its steps."""
        with alive():
            return self._portal.call(partial(function, *args, **options))


class ContainerFace(Face):
    """What a container's handle knows without asking anybody."""

    def __init__(self, container: engine.Container, portal: BlockingPortal) -> None:
        super().__init__(portal)
        self._container = container

    def __repr__(self) -> str:
        return repr(self._container)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ContainerFace) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def id(self) -> str:
        return self._container.id

    @property
    def name(self) -> str:
        return self._container.name

    @property
    def status(self) -> Status:
        return self._container.status

    @property
    def volumes(self) -> Mapping[str, Path]:
        return self._container.volumes

    def inspect(self) -> dict[str, object]:
        return self._read(self._container.inspect)


async def import_file(images: ImageStore, path: str | os.PathLike[str], options: Mapping[str, Any]) -> Image:
    """``import_`` of a file."""
    async with open_file(path) as source:
        return await images.import_(source, **options)


async def load_file(images: ImageStore, path: str | os.PathLike[str]) -> tuple[tuple[str, Image], ...]:
    """``load`` of a file."""
    async with open_file(path) as source:
        return await images.load(source)
