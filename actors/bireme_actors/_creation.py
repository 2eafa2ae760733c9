"""Making a container: its writable layer, its volumes, its record; and undoing what was made if it does not come off.

The order is that of safety. Sources are held before anything slow, so that they cannot go meanwhile. The record comes
last but one: until it is durable the new volumes are only staged, and a start-up that finds no record drops them.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial

from bireme_actors import _messages as m
from bireme_actors._catalog import VolumeCatalog
from bireme_actors._errors import BiremeError
from bireme_actors._model import ContainerConfig, Mount, VolumeId, VolumesFrom, new_id
from bireme_actors._plan import plan_mounts
from bireme_actors._ports import RecordStore, RootfsStore

_log = logging.getLogger("bireme")


def with_mounts(config: ContainerConfig, sources: list[tuple[VolumesFrom, tuple[Mount, ...]]]) -> ContainerConfig:
    """``config`` with its mounts, new volumes among them, from its paths and from what its sources mount."""
    plan = plan_mounts(config.volumes, sources)
    fresh = [VolumeId(new_id()) for _ in plan.fresh]
    return replace(config, mounts=plan.mounts(fresh))


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes what a container consists of."""

    volumes: VolumeCatalog
    rootfs: RootfsStore
    records: RecordStore

    async def make(self, config: ContainerConfig) -> None:
        """Everything of it is there, and durable, on return. Failed or cancelled: some of it is; ``undo`` that."""
        fresh = [mount for mount in config.mounts if mount.owned]
        for mount in config.mounts:
            if not mount.owned:
                await self.volumes.attach(mount.volume, config.id)
        await self.rootfs.create(config)
        for mount in fresh:
            await self.volumes.make(mount.volume).ref.ask(m.Populate(config, mount.destination))
        await self.records.create(config)
        for mount in fresh:
            await self.volumes.commit(mount.volume)

    async def undo(self, config: ContainerConfig) -> None:
        """Remove what there is of it, the record first. What cannot be removed is logged and left to a start-up."""
        await self._try(config, partial(self.records.remove, config.id))
        for mount in reversed(config.mounts):
            await self._try(config, partial(self.volumes.detach, mount.volume, config.id, remove=mount.owned))
        await self._try(config, partial(self.rootfs.remove, config.id))

    @staticmethod
    async def _try(config: ContainerConfig, undo: Callable[[], Awaitable[object]]) -> None:
        try:
            await undo()
        except BiremeError as error:
            _log.warning("container %s could not be undone whole: %s", config.id, error)
