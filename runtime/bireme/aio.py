"""The embedding API for asyncio programs: the same names and options, awaited.

    async with bireme.aio.open_runtime(root=...) as runtime:
        done = await runtime.run("busybox", ["sh", "-c", "echo hi > /data/x"], volumes=["/data"])

The engine runs in a thread of its own, on trio; cancelling an asyncio task cancels what it awaits there. What a
method means, takes and raises stands at its namesake in ``bireme.Runtime`` and ``bireme.Container``. One runtime
serves one event loop.
"""

from __future__ import annotations

import asyncio
import builtins
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing, asynccontextmanager
from functools import partial
from typing import Any, TypeVar, Unpack

from anyio.from_thread import BlockingPortal

from bireme import _portal, engine
from bireme.engine import Completed, CreateOptions, Image, LogEntry
from bireme_actors import BiremeError, Event, ExitStatus, OnExit, VolumeView, WaitCondition

__all__ = ["Attachment", "Container", "Images", "Runtime", "open_runtime"]

T = TypeVar("T")


@asynccontextmanager
async def open_runtime(
    *,
    root: str | os.PathLike[str] | None = None,
    run_dir: str | os.PathLike[str] | None = None,
    driver: str | None = None,
    on_exit: OnExit | str = OnExit.REMOVE,
) -> AsyncIterator[Runtime]:
    """See ``bireme.open_runtime``."""
    async with _in_thread(_portal.open_portal()) as portal:
        opening = engine.open_runtime(root=root, run_dir=run_dir, driver=driver, on_exit=on_exit)
        async with _in_thread(portal.wrap_async_context_manager(opening)) as runtime:
            yield Runtime(runtime, portal)


@asynccontextmanager
async def _in_thread(manager: AbstractContextManager[T]) -> AsyncIterator[T]:
    """A block whose entering and leaving take their time, entered and left beside the event loop, never half."""
    entering = asyncio.ensure_future(asyncio.to_thread(manager.__enter__))
    try:
        yield await _to_the_end(entering)
    finally:
        if entering.exception() is None:
            await _to_the_end(asyncio.to_thread(manager.__exit__, None, None, None))


async def _to_the_end(awaitable: Awaitable[T]) -> T:
    """What must not be left half done: a cancellation that comes meanwhile is raised afterwards."""
    task = asyncio.ensure_future(awaitable)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled and task.exception() is None:
        raise asyncio.CancelledError
    return task.result()


async def _iterate(portal: BlockingPortal, stream: _portal.Stream[T]) -> AsyncGenerator[T]:
    try:
        while (item := await asyncio.wrap_future(portal.start_task_soon(stream.next))) is not None:
            yield item
    finally:
        stream.close()


class _Face(_portal.Face):
    async def _call(self, function: Callable[..., Awaitable[T]], *args: object, **options: Any) -> T:
        with _portal.alive():
            future = self._portal.start_task_soon(partial(function, *args, **options))
        return await asyncio.wrap_future(future)


class Attachment(_Face):
    """See ``bireme.engine.Attachment``; iterate for what comes out."""

    def __init__(self, attachment: engine.Attachment, portal: BlockingPortal) -> None:
        super().__init__(portal)
        self._attachment = attachment

    async def send(self, data: bytes) -> None:
        await self._call(self._attachment.send, data)

    async def send_eof(self) -> None:
        await self._call(self._attachment.send_eof)

    def __aiter__(self) -> AsyncGenerator[LogEntry]:
        return _iterate(self._portal, _portal.Stream(self._portal, aclosing(self._attachment.__aiter__())))


class Container(_Face, _portal.ContainerFace):
    """See ``bireme.Container``."""

    async def start(self) -> None:
        await self._call(self._container.start)

    async def wait(self, condition: WaitCondition | str = WaitCondition.NOT_RUNNING) -> ExitStatus:
        return await self._call(self._container.wait, condition)

    async def stop(self, timeout: float | None = None, signal: str | int | None = None) -> None:  # noqa: ASYNC109
        await self._call(self._container.stop, timeout, signal)

    async def kill(self, signum: str | int = "KILL") -> None:
        await self._call(self._container.kill, signum)

    async def pause(self) -> None:
        await self._call(self._container.pause)

    async def unpause(self) -> None:
        await self._call(self._container.unpause)

    async def restart(self, timeout: float | None = None, signal: str | int | None = None) -> None:  # noqa: ASYNC109
        await self._call(self._container.restart, timeout, signal)

    async def remove(self, *, force: bool = False, volumes: bool = False) -> None:
        await self._call(self._container.remove, force=force, volumes=volumes)

    async def rename(self, name: str) -> None:
        await self._call(self._container.rename, name)

    def logs(self, **options: Any) -> AsyncGenerator[LogEntry]:
        source = aclosing(self._read(self._container.logs, **options))
        return _iterate(self._portal, _portal.Stream(self._portal, source))

    @asynccontextmanager
    async def attach(self, **options: Any) -> AsyncIterator[Attachment]:
        attaching = self._read(self._container.attach, **options)
        async with _in_thread(self._portal.wrap_async_context_manager(attaching)) as attachment:
            yield Attachment(attachment, self._portal)

    async def exec(self, command: Sequence[str] | str, **options: Any) -> Completed:
        return await self._call(self._container.exec, command, **options)


class Images(_Face):
    """See ``bireme.Runtime.images``; archives are files here, given by path."""

    def __init__(self, runtime: engine.Runtime, portal: BlockingPortal) -> None:
        super().__init__(portal)
        self._images = runtime.images

    def get(self, ref: str) -> Image:
        return self._read(self._images.get, ref)

    def list(self) -> tuple[Image, ...]:
        return self._read(self._images.list)

    async def import_(self, path: str | os.PathLike[str], **options: Any) -> Image:
        return await self._call(_portal.import_file, self._images, path, options)

    async def load(self, path: str | os.PathLike[str]) -> tuple[tuple[str, Image], ...]:
        return await self._call(_portal.load_file, self._images, path)

    async def pull(self, ref: str, **options: Any) -> Image:
        return await self._call(self._images.pull, ref, **options)

    async def push(self, ref: str, **options: Any) -> Sequence[str]:
        return await self._call(self._images.push, ref, **options)

    async def tag(self, ref: str, target: str) -> None:
        await self._call(self._images.tag, ref, target)


class Runtime(_Face):
    """See ``bireme.Runtime``."""

    def __init__(self, runtime: engine.Runtime, portal: BlockingPortal) -> None:
        super().__init__(portal)
        self._runtime = runtime
        self.images = Images(runtime, portal)

    def __repr__(self) -> str:
        return repr(self._runtime)

    def _handle(self, container: engine.Container) -> Container:
        return Container(container, self._portal)

    async def create(
        self, image: str, command: Sequence[str] | str | None = None, **options: Unpack[CreateOptions]
    ) -> Container:
        return self._handle(await self._call(self._runtime.create, image, command, **options))

    async def run(self, image: str, command: Sequence[str] | str | None = None, **options: Any) -> Completed:
        return await self._call(self._runtime.run, image, command, **options)

    @asynccontextmanager
    async def open_container(
        self, image: str, command: Sequence[str] | str | None = None, **options: Unpack[CreateOptions]
    ) -> AsyncIterator[Container]:
        opening = self._runtime.open_container(image, command, **options)
        async with _in_thread(self._portal.wrap_async_context_manager(opening)) as container:
            yield self._handle(container)

    async def start_all(self, containers: Iterable[Container | str]) -> Mapping[str, BiremeError | None]:
        refs = [ref if isinstance(ref, str) else ref.id for ref in containers]
        return await self._call(self._runtime.start_all, refs)

    def get(self, ref: str) -> Container:
        return self._handle(self._read(self._runtime.get, ref))

    def list(self, *, all: bool = True) -> builtins.list[Container]:  # noqa: A002 - as in bireme.Runtime
        return [self._handle(container) for container in self._read(self._runtime.list, all=all)]

    def volumes(self) -> tuple[VolumeView, ...]:
        return self._read(self._runtime.volumes)

    def info(self) -> dict[str, Any]:
        return self._read(self._runtime.info)

    @asynccontextmanager
    async def events(self, *, since: int = 0, until: int = 0) -> AsyncIterator[AsyncGenerator[Event]]:
        stream = _portal.Stream(self._portal, self._runtime.events(since=since, until=until))
        async with aclosing(_iterate(self._portal, stream)) as items:
            yield items
