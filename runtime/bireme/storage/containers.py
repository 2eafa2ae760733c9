"""Containers on disk, each a directory: made whole in one pass of the disk, and thrown away by one rename.

The order is that of safety. The writable layer and the container's new volumes come first, the volumes staged; then the
record. Once that is durable the volumes take their places: a start-up that finds the record does the same, one that
finds none drops all of it (``recovery``). What the image has at a volume's path is copied in and flushed before the
record is written; where it is known to have nothing, all of this is one job with one flush.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import trio

from bireme.storage import _format
from bireme.storage._errors import translated
from bireme.storage._trash import move_away
from bireme.storage.durable import Disk, Steps
from bireme.storage.paths import Layout
from bireme.storage.records import list_containers, read_record, write_config, write_state
from bireme.storage.rootfs import OverlayRootfs
from bireme.storage.volumes import VolumeDirectories, throw_away
from bireme_actors import ContainerConfig, ContainerId, ContainerRecord, ContainerState, Mount, StorageError

UNDO_SECONDS = 60.0
"""How long taking a half-made container away may take."""


class ContainerDirectories:
    """``bireme_actors.ContainerStore``."""

    def __init__(
        self, layout: Layout, roots: OverlayRootfs, volumes: VolumeDirectories, disk: Disk | None = None
    ) -> None:
        """``disk`` is best shared with the other stores of the root."""
        self._layout = layout
        self._roots = roots
        self._volumes = volumes
        self._disk = disk if disk is not None else Disk()
        self._volume_berth, self._berth = (self._disk.berth(trash) for trash in layout.trash)

    async def create(self, config: ContainerConfig) -> None:
        """Make all of a container; durable on return.

        Raises ImageNotFound, StorageError, what copying from the image raises. Failed or cancelled: nothing is left.
        Where the disk refuses while something thrown away is still on it, it is tried again once that is deleted.
        """
        self._roots.check(config)
        deleting = self._disk.trash.busy
        try:
            await self._create(config)
        except StorageError:
            if not deleting:
                raise
            await self._disk.trash.wait_empty()
            await self._create(config)

    async def _create(self, config: ContainerConfig) -> None:
        data = _format.encode_config(config)
        owned = [mount for mount in config.mounts if mount.owned]
        try:
            with translated(f"make container {config.id}"):
                if self._volumes.begin_empty(config, owned):
                    await self._disk.run(self._make, config, owned, data)
                else:
                    await self._disk.run(self._stage, config, owned)
                    for mount in owned:
                        await self._volumes.fill(mount, config)
                    await self._disk.run(self._record, config, owned, data)
        except BaseException:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + UNDO_SECONDS):
                await self._undo(config, owned)
            raise
        self._volumes.note_made(owned)

    async def update(self, config: ContainerConfig) -> None:
        """Replace the configuration; atomic, durable on return. Raises StorageError.

        Cancelled: either it was not begun, or it is done to its end.
        """
        with translated(f"write the record of container {config.id}"):
            await self._disk.run(write_config, self._layout, config.id, _format.encode_config(config))

    def save_state(self, container: ContainerId, state: ContainerState) -> None:
        """Replace the state; atomic, not flushed. Raises StorageError."""
        with translated(f"write the state of container {container}"):
            write_state(self._layout, container, _format.encode_state(state))

    async def remove(self, container: ContainerId) -> None:
        """Forget the container, with all that is in its directory. Idempotent. Raises StorageError.

        Cancelled: it is forgotten whole or not at all. It is deleted on the side.
        """
        with translated(f"remove container {container}"):
            thrown = self._layout.container_trash(container)
            self._disk.trash.delete(await self._disk.run(move_away, self._layout.container(container), thrown))

    def load(self) -> Iterator[ContainerRecord]:
        """Every whole record; a damaged one is reported and left where it is. Blocks on the disk."""
        for name in list_containers(self._layout):
            record = read_record(self._layout, name)
            if record is not None:
                yield record

    def _make(self, config: ContainerConfig, owned: list[Mount], data: bytes) -> Steps[None]:
        self._stage(config, owned)
        yield from self._record(config, owned, data)

    def _stage(self, config: ContainerConfig, owned: list[Mount]) -> None:
        self._berth.make(self._layout.container(config.id), 0o700)
        self._roots.make(config)
        for mount in owned:
            self._volume_berth.make(self._layout.staged(mount.volume), 0o755)

    def _record(self, config: ContainerConfig, owned: list[Mount], data: bytes) -> Steps[None]:
        """Write the record, then put the volumes in their places."""
        yield from write_config(self._layout, config.id, data, *([self._layout.staging] if owned else []))
        for mount in owned:
            os.rename(self._layout.staged(mount.volume), self._layout.volume(mount.volume))

    async def _undo(self, config: ContainerConfig, owned: list[Mount]) -> None:
        """The container first, so that no record names a volume that is not there."""
        with translated(f"take back container {config.id}"):
            for thrown in await self._disk.run(self._throw_away, config, owned):
                self._disk.trash.delete(thrown)

    def _throw_away(self, config: ContainerConfig, owned: list[Mount]) -> list[str]:
        moved = [move_away(self._layout.container(config.id), self._layout.container_trash(config.id))]
        moved += [throw_away(self._layout, mount.volume) for mount in owned]
        return [thrown for thrown in moved if thrown is not None]
