"""Files in and out of a container (``cp``, ``export``, ``diff``): a child of the launcher works in the container's
view.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager

import trio

from bireme.engine._background import open_background
from bireme.engine._changes import MOUNTED, find_changes
from bireme.launcher.launchers import Launchers
from bireme.launcher.requests import ArchiveRequest
from bireme.storage import Layout, OverlayRootfs
from bireme_actors import BiremeError, ByteSource, ContainerConfig

_CHUNK = 1 << 16


class Archives:
    """Works on containers that run, in their own view, and on those that do not, in a fresh one."""

    def __init__(self, launcher: Launchers, roots: OverlayRootfs, layout: Layout) -> None:
        self._launcher = launcher
        self._roots = roots
        self._layout = layout

    def _request(self, config: ContainerConfig, action: str, path: str) -> ArchiveRequest:
        root = self._roots.root_request(config)
        return {"action": action, "container": config.id, "root": root, "path": path}

    async def stat(self, config: ContainerConfig, path: str) -> dict[str, object]:
        """``name``, ``size``, ``mode`` (``st_mode``), ``mtime`` (nanoseconds), ``linkTarget``. Raises NotFound."""
        return await self._launcher.archive(self._request(config, "stat", path))

    def pack(self, config: ContainerConfig, path: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """A tar of ``path``; reading it raises NotFound, DriverError. Leaving early gives the work up."""
        return self._packed(self._request(config, "pack", path))

    def export(self, config: ContainerConfig) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """A tar of the root file system, without what is mounted in it: a view of its own, in which nothing is."""
        root = self._roots.root_request(config)
        root["layers"] = [*root["layers"], root["upper"]]
        root["upper"], root["work"], root["mounts"], root["files"] = "", "", [], []
        return self._packed({"action": "pack", "container": "", "root": root, "path": "/", "contents": True})

    def layer(self, config: ContainerConfig) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """A tar of what the container has written, as an image's layer has it: whiteouts for what it has removed."""
        root = self._roots.root_request(config)
        root["layers"] = [root["upper"]]
        root["upper"], root["work"], root["mounts"], root["files"] = "", "", [], []
        request: ArchiveRequest = {"action": "pack", "container": "", "root": root, "path": "/", "contents": True}
        request["layer"] = sorted(MOUNTED)
        return self._packed(request)

    @asynccontextmanager
    async def _packed(self, request: ArchiveRequest) -> AsyncIterator[AsyncIterator[bytes]]:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        outcome = _Outcome()
        async with trio.lowlevel.FdStream(reading) as source, open_background() as background:
            background.start_soon(self._pack, request, writing, outcome)
            async with aclosing(_chunks(source, outcome)) as chunks:
                yield chunks

    async def _pack(self, request: ArchiveRequest, fd: int, outcome: _Outcome) -> None:
        try:
            await self._hand_over(request, fd)
        except BiremeError as error:
            outcome.error = error
        finally:
            outcome.known.set()

    async def _hand_over(self, request: ArchiveRequest, fd: int) -> None:
        try:
            await self._launcher.archive(request, [fd])
        finally:
            os.close(fd)

    async def unpack(
        self,
        config: ContainerConfig,
        path: str,
        source: ByteSource,
        *,
        no_overwrite_dir_non_dir: bool = False,
        copy_uid_gid: bool = False,
    ) -> None:
        """Unpack an uncompressed tar into the directory ``path``. Raises NotFound, InvalidConfig, Conflict.

        Cancelled or failed: what came before is in.
        """
        request = self._request(config, "unpack", path)
        request["no_overwrite_dir_non_dir"] = no_overwrite_dir_non_dir
        request["copy_uid_gid"] = copy_uid_gid
        reading, writing = os.pipe2(os.O_CLOEXEC)
        async with trio.lowlevel.FdStream(writing) as sink, open_background() as background:
            background.start_soon(_feed, source, sink)
            await self._hand_over(request, reading)

    async def changes(self, config: ContainerConfig, layers: tuple[str, ...]) -> list[tuple[str, int]]:
        """``(path, kind)``: 0 modified, 1 added, 2 deleted."""
        upper = f"{self._layout.container(config.id)}/upper"
        below = [f"{self._layout.layers}/{layer}" for layer in reversed(layers)]
        return await trio.to_thread.run_sync(find_changes, upper, below, abandon_on_cancel=True)


class _Outcome:
    """How packing went: known once the pipe has ended."""

    def __init__(self) -> None:
        self.known = trio.Event()
        self.error: BiremeError | None = None


async def _chunks(source: trio.lowlevel.FdStream, outcome: _Outcome) -> AsyncGenerator[bytes]:
    while data := await source.receive_some(_CHUNK):
        yield bytes(data)
    await outcome.known.wait()
    if outcome.error is not None:
        raise outcome.error


async def _feed(source: ByteSource, sink: trio.lowlevel.FdStream) -> None:
    """Copy until either side ends: who unpacks stops reading at the archive's end, or at an error it reports."""
    try:
        while data := await source.receive_some(_CHUNK):
            await sink.send_all(bytes(data))
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return
    finally:
        await sink.aclose()
