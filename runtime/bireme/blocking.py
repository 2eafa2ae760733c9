"""The embedding API for synchronous programs: the same names and options, each call blocking its own thread.

    with bireme.blocking.open_runtime(root=...) as runtime:
        done = runtime.run("busybox", ["sh", "-c", "echo hi > /data/x"], volumes=["/data"])

The engine runs in a thread of its own; any number of threads may call. What a method means, takes and raises stands
at its namesake in ``bireme.Runtime`` and ``bireme.Container``.
"""

from __future__ import annotations

import builtins
import os
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, closing, contextmanager
from functools import partial
from typing import Any, TypeVar, Unpack

from anyio.from_thread import BlockingPortal

from bireme import _portal, engine
from bireme.engine import Completed, CreateOptions, Image, LogEntry
from bireme_actors import BiremeError, Event, ExitStatus, OnExit, VolumeView, WaitCondition

__all__ = ["Attachment", "Container", "Images", "Runtime", "open_runtime"]

T = TypeVar("T")


@contextmanager
def open_runtime(
    *,
    root: str | os.PathLike[str] | None = None,
    run_dir: str | os.PathLike[str] | None = None,
    driver: str | None = None,
    on_exit: OnExit | str = OnExit.REMOVE,
) -> Iterator[Runtime]:
    """See ``bireme.open_runtime``."""
    with _portal.open_portal() as portal:
        opening = engine.open_runtime(root=root, run_dir=run_dir, driver=driver, on_exit=on_exit)
        with portal.wrap_async_context_manager(opening) as runtime:
            yield Runtime(runtime, portal)


def _iterate(portal: BlockingPortal, stream: _portal.Stream[T]) -> Generator[T]:
    try:
        while (item := portal.call(stream.next)) is not None:
            yield item
    finally:
        stream.close()


class _Face(_portal.Face):
    def _call(self, function: Callable[..., Awaitable[T]], *args: object, **options: Any) -> T:
        with _portal.alive():
            return self._portal.call(partial(function, *args, **options))


class Attachment(_Face):
    """See ``bireme.engine.Attachment``; iterate for what comes out."""

    def __init__(self, attachment: engine.Attachment, portal: BlockingPortal) -> None:
        super().__init__(portal)
        self._attachment = attachment

    def send(self, data: bytes) -> None:
        self._call(self._attachment.send, data)

    def send_eof(self) -> None:
        self._call(self._attachment.send_eof)

    def __iter__(self) -> Iterator[LogEntry]:
        return _iterate(self._portal, _portal.Stream(self._portal, aclosing(self._attachment.__aiter__())))


class Container(_Face, _portal.ContainerFace):
    """See ``bireme.Container``."""

    def start(self) -> None:
        self._call(self._container.start)

    def wait(self, condition: WaitCondition | str = WaitCondition.NOT_RUNNING) -> ExitStatus:
        return self._call(self._container.wait, condition)

    def stop(self, timeout: float | None = None, signal: str | int | None = None) -> None:
        self._call(self._container.stop, timeout, signal)

    def kill(self, signum: str | int = "KILL") -> None:
        self._call(self._container.kill, signum)

    def pause(self) -> None:
        self._call(self._container.pause)

    def unpause(self) -> None:
        self._call(self._container.unpause)

    def restart(self, timeout: float | None = None, signal: str | int | None = None) -> None:
        self._call(self._container.restart, timeout, signal)

    def remove(self, *, force: bool = False, volumes: bool = False) -> None:
        self._call(self._container.remove, force=force, volumes=volumes)

    def rename(self, name: str) -> None:
        self._call(self._container.rename, name)

    def logs(self, **options: Any) -> Iterator[LogEntry]:
        source = aclosing(self._read(self._container.logs, **options))
        return _iterate(self._portal, _portal.Stream(self._portal, source))

    @contextmanager
    def attach(self, **options: Any) -> Iterator[Attachment]:
        attaching = self._read(self._container.attach, **options)
        with self._portal.wrap_async_context_manager(attaching) as attachment:
            yield Attachment(attachment, self._portal)

    def exec(self, command: Sequence[str] | str, **options: Any) -> Completed:
        return self._call(self._container.exec, command, **options)


class Images(_Face):
    """See ``bireme.Runtime.images``; archives are files here, given by path."""

    def __init__(self, runtime: engine.Runtime, portal: BlockingPortal) -> None:
        super().__init__(portal)
        self._images = runtime.images

    def get(self, ref: str) -> Image:
        return self._read(self._images.get, ref)

    def list(self) -> tuple[Image, ...]:
        return self._read(self._images.list)

    def import_(self, path: str | os.PathLike[str], **options: Any) -> Image:
        return self._call(_portal.import_file, self._images, path, options)

    def load(self, path: str | os.PathLike[str]) -> tuple[tuple[str, Image], ...]:
        return self._call(_portal.load_file, self._images, path)

    def pull(self, ref: str, **options: Any) -> Image:
        return self._call(self._images.pull, ref, **options)

    def push(self, ref: str, **options: Any) -> Sequence[str]:
        return self._call(self._images.push, ref, **options)

    def tag(self, ref: str, target: str) -> None:
        self._call(self._images.tag, ref, target)


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

    def create(
        self, image: str, command: Sequence[str] | str | None = None, **options: Unpack[CreateOptions]
    ) -> Container:
        return self._handle(self._call(self._runtime.create, image, command, **options))

    def run(self, image: str, command: Sequence[str] | str | None = None, **options: Any) -> Completed:
        return self._call(self._runtime.run, image, command, **options)

    @contextmanager
    def open_container(
        self, image: str, command: Sequence[str] | str | None = None, **options: Unpack[CreateOptions]
    ) -> Iterator[Container]:
        opening = self._runtime.open_container(image, command, **options)
        with self._portal.wrap_async_context_manager(opening) as container:
            yield self._handle(container)

    def start_all(self, containers: Iterable[Container | str]) -> Mapping[str, BiremeError | None]:
        refs = [ref if isinstance(ref, str) else ref.id for ref in containers]
        return self._call(self._runtime.start_all, refs)

    def get(self, ref: str) -> Container:
        return self._handle(self._read(self._runtime.get, ref))

    def list(self, *, all: bool = True) -> builtins.list[Container]:  # noqa: A002 - as in bireme.Runtime
        return [self._handle(container) for container in self._read(self._runtime.list, all=all)]

    def volumes(self) -> tuple[VolumeView, ...]:
        return self._read(self._runtime.volumes)

    def info(self) -> dict[str, Any]:
        return self._read(self._runtime.info)

    @contextmanager
    def events(self, *, since: int = 0, until: int = 0) -> Iterator[Iterator[Event]]:
        stream = _portal.Stream(self._portal, self._runtime.events(since=since, until=until))
        with closing(_iterate(self._portal, stream)) as items:
            yield items
