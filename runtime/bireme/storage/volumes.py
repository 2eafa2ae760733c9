"""Volumes: each one a directory, ``ROOT/volumes/ID``, that *is* the volume.

A new volume is made in the staging directory and moved to its place once its container's record is durable; the
record store does that in the same pass as the record itself, ``commit`` is for whoever goes another way. What the
image has at the volume's path is copied in meanwhile and flushed before the record is written: a container that
exists has all of it.

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
from bireme_actors import ContainerConfig, VolumeId

UNDO_SECONDS = 60.0
"""How long taking a half-made volume away may take when its maker is cancelled."""


class ImageContent(Protocol):
    """Reads images; the engine's launcher implements it."""

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

    async def create(self, volume: VolumeId, config: ContainerConfig, destination: str) -> None:
        """Make the staged directory and fill it with what ``config``'s image has at ``destination``.

        Raises what the copy raises, StorageError. Failed or cancelled: nothing of it is left.
        """
        doing = f"make volume {volume}"
        try:
            with translated(doing):
                await self._disk.run(os.mkdir, self._layout.staged(volume), 0o755)
            if await self._content.copy(config, destination, self._layout.relative.staged(volume)):
                with translated(doing):
                    await self._filled.run(_flush_filled, self._layout.staged(volume))
        except BaseException:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + UNDO_SECONDS):
                await self.remove(volume)
            raise

    async def commit(self, volume: VolumeId) -> None:
        """Put a staged volume in its place; nothing happens if it is there. Raises StorageError."""
        place = self._layout.volume(volume)
        try:
            made = sys_.birth_time(place)
            await trio.lowlevel.checkpoint()
        except FileNotFoundError:
            with translated(f"put volume {volume} in its place"):
                made = await self._disk.run(_place, self._layout.staged(volume), place)
        self._learn()[volume] = made
        self._listed = None

    async def remove(self, volume: VolumeId) -> None:
        """Remove the directory, staged or not, and all it holds. Idempotent. Raises StorageError.

        Cancelled: it is gone whole or not at all. It is deleted on the side.
        """
        thrown = self._layout.volume_trash(volume)
        with translated(f"remove volume {volume}"):
            self._disk.trash.delete(await self._disk.run(_move_away, self._layout, volume, thrown))
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


def _place(staged: str, place: str) -> int:
    os.rename(staged, place)
    return sys_.birth_time(place)


def _move_away(layout: Layout, volume: VolumeId, thrown: str) -> str | None:
    return move_away(layout.staged(volume), thrown) or move_away(layout.volume(volume), thrown)


def _flush_filled(path: str) -> Steps[None]:
    """All of a tree that was written by another process."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield Flush(fd, everything=True)
    finally:
        os.close(fd)
