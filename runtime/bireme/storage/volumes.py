"""Volumes: each one a directory, ``ROOT/volumes/ID``, that *is* the volume.

A new volume is made in the staging directory, filled there, and moved to its place once its container's record is
durable (``containers``).

Which volumes there are is read from the directory once and then known.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Protocol

import trio

from bireme import _syscalls as sys_
from bireme.storage._errors import translated
from bireme.storage._trash import move_away
from bireme.storage.durable import Disk, Flush, Steps
from bireme.storage.paths import Layout, list_ids
from bireme_actors import ContainerConfig, Mount, VolumeId


class ImageContent(Protocol):
    """Reads images; the engine's launcher implements it."""

    def has_nothing(self, config: ContainerConfig, path: str) -> bool:
        """Whether it is known that copying what ``config``'s image has at ``path`` would copy nothing."""
        ...

    async def copy(self, config: ContainerConfig, path: str, target: str) -> bool:
        """Fill ``target`` (relative to ROOT) with what ``config``'s image has at ``path``; False if it has nothing."""
        ...


class VolumeDirectories:
    """``bireme_actors.VolumeStore`` as directories."""

    def __init__(self, layout: Layout, content: ImageContent, disk: Disk | None = None) -> None:
        """``disk`` is best shared with the other stores of the root."""
        self._layout = layout
        self._content = content
        self._disk = disk if disk is not None else Disk()
        self._filled = Disk()
        self._known: dict[VolumeId, int] | None = None
        self._listed: tuple[tuple[VolumeId, int], ...] | None = None

    def begin_empty(self, config: ContainerConfig, owned: Iterable[Mount]) -> bool:
        """Whether there is nothing to fill any of the volumes with, as far as is known."""
        return all(self._content.has_nothing(config, mount.destination) for mount in owned)

    async def fill(self, mount: Mount, config: ContainerConfig) -> None:
        """Copy what the image has there into the staged volume; durable on return.

        Raises what the copy raises, StorageError. Failed or cancelled: it may hold a part.
        """
        if self._content.has_nothing(config, mount.destination):
            await trio.lowlevel.checkpoint()
        elif await self._content.copy(config, mount.destination, self._layout.relative.staged(mount.volume)):
            await self._filled.run(_flush_filled, self._layout.staged(mount.volume))

    def note_made(self, mounts: Iterable[Mount]) -> None:
        """These have taken their places."""
        if self._known is not None:
            for mount in mounts:
                self._known[mount.volume] = sys_.birth_time(self._layout.volume(mount.volume))
                self._listed = None

    async def remove(self, volume: VolumeId) -> None:
        """Remove the directory, staged or not, and all it holds. Idempotent. Raises StorageError.

        Cancelled: it is gone whole or not at all. It is deleted on the side.
        """
        with translated(f"remove volume {volume}"):
            self._disk.trash.delete(await self._disk.run(throw_away, self._layout, volume))
        if self._known is not None and self._known.pop(volume, None) is not None:
            self._listed = None

    def path(self, volume: VolumeId) -> str:
        """The volume's absolute path on the host."""
        return self._layout.volume(volume)

    def list(self) -> Iterable[tuple[VolumeId, int]]:
        """Every volume in its place, with the time it was created. The first call reads the directory."""
        if self._listed is None:
            self._listed = tuple(self._learn().items())
        return self._listed

    def created(self, volume: VolumeId) -> int | None:
        """When a volume that is in its place was created; None if there is no such volume."""
        return self._learn().get(volume)

    def _learn(self) -> dict[VolumeId, int]:
        if self._known is None:
            self._known = {
                volume: sys_.birth_time(self._layout.volume(volume)) for volume in list_volumes(self._layout)
            }
        return self._known


def list_volumes(layout: Layout) -> list[VolumeId]:
    """The volumes in their places, as the directory has them."""
    return [VolumeId(name) for name in list_ids(layout.volumes)]


def throw_away(layout: Layout, volume: VolumeId) -> str | None:
    """Move a volume, staged or not, into the trash; where it is then, None if there was none. Raises OSError."""
    thrown = layout.volume_trash(volume)
    return move_away(layout.volume(volume), thrown) or move_away(layout.staged(volume), thrown)


def _flush_filled(path: str) -> Steps[None]:
    """All of a tree that was written by another process."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield Flush(fd, everything=True)
    finally:
        os.close(fd)
