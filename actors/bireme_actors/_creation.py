"""Making a container: its volumes held, all of it made in one go; and undoing that if it does not come off.

Sources are held before anything slow, so that they cannot go meanwhile. Its own volumes are there and filled once the
container is, and nobody knows of them before: so nobody can attach to one that is not ready.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial

from bireme_actors._catalog import VolumeCatalog
from bireme_actors._errors import BiremeError
from bireme_actors._model import ContainerConfig, Mount, VolumeId, VolumesFrom, new_id
from bireme_actors._plan import plan_mounts
from bireme_actors._ports import ContainerStore

_log = logging.getLogger("bireme")


def with_mounts(config: ContainerConfig, sources: list[tuple[VolumesFrom, tuple[Mount, ...]]]) -> ContainerConfig:
    """``config`` with its mounts, new volumes among them, from its paths and from what its sources mount."""
    plan = plan_mounts(config.volumes, sources, {tmpfs.destination for tmpfs in config.tmpfs})
    fresh = [VolumeId(new_id()) for _ in plan.fresh]
    return replace(config, mounts=plan.mounts(fresh))


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes what a container consists of."""

    volumes: VolumeCatalog
    containers: ContainerStore

    async def make(self, config: ContainerConfig) -> None:
        """Everything of it is there, and durable, on return. Failed or cancelled: some of it is; ``undo`` that."""
        for mount in config.mounts:
            if not mount.owned:
                await self.volumes.attach(mount.volume, config.id)
        await self.containers.create(config)

    async def undo(self, config: ContainerConfig) -> None:
        """Remove what there is of it, the record first. What cannot be removed is logged and left to a start-up."""
        await self._try(config, partial(self.containers.remove, config.id))
        for mount in reversed(config.mounts):
            if mount.owned:
                await self._try(config, partial(self.volumes.drop, mount.volume))
            else:
                await self._try(config, partial(self.volumes.detach, mount.volume, config.id, remove=False))

    @staticmethod
    async def _try(config: ContainerConfig, undo: Callable[[], Awaitable[object]]) -> None:
        try:
            await undo()
        except BiremeError as error:
            _log.warning("container %s could not be undone whole: %s", config.id, error)
