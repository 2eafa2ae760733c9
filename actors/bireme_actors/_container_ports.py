"""What one container needs of the outside: the ports of its driver and stores, and of its supervisor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bireme_actors._model import ContainerConfig, ContainerId
from bireme_actors._ports import Clock, ContainerDriver, ContainerStore, EventSink, LogStore


@dataclass(frozen=True, slots=True)
class ContainerPorts:
    """One for all containers of a driver."""

    driver: ContainerDriver
    containers: ContainerStore
    logs: LogStore
    events: EventSink
    clock: Clock
    release_volumes: Callable[[ContainerConfig, bool], Awaitable[None]]
    """Let go of a container's volumes; True: and remove those that nobody else holds."""
    gone: Callable[[ContainerId], None]
    """The container has been removed: its name and identifier are free before anybody is told."""

    async def remove(self, config: ContainerConfig, volumes: bool) -> None:
        """Remove what its store does not. Raises StorageError, DriverError; can be done again then."""
        self.logs.close_log(config.id)
        await self.driver.cleanup(config)
        await self.release_volumes(config, volumes)
