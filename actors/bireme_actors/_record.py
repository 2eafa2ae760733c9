"""One container's record on disk: what is written of it follows one another, and nothing is after its removal."""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from bireme_actors._errors import BiremeError, Conflict
from bireme_actors._model import ContainerConfig, ContainerId, ContainerState
from bireme_actors._ports import ContainerStore

_log = logging.getLogger("bireme")


class Record:
    """Writes the record of one container."""

    __slots__ = ("_container", "_forgotten", "_store", "_writing")

    def __init__(self, container: ContainerId, store: ContainerStore) -> None:
        self._container = container
        self._store = store
        self._writing: trio.Lock | None = None
        self._forgotten = False

    def save(self, state: ContainerState) -> None:
        """Write the state. A disk that refuses is logged."""
        if self._forgotten:
            return
        try:
            self._store.save_state(self._container, state)
        except BiremeError as error:
            _log.warning("the state of container %s is not on disk: %s", self._container, error)

    async def update(self, change: Callable[[], ContainerConfig]) -> ContainerConfig:
        """Write the configuration that ``change`` gives when its turn comes; durable on return.

        Raises Conflict after the removal, StorageError. Cancelled: the old one or the new one is on disk.
        """
        async with self._turn():
            if self._forgotten:
                raise Conflict(f"container {self._container} has been removed: it cannot be changed any more")
            config = change()
            await self._store.update(config)
            return config

    async def forget(self) -> None:
        """Remove the container from the disk; nothing is written any more. Raises StorageError."""
        async with self._turn():
            await self._store.remove(self._container)
            self._forgotten = True

    def _turn(self) -> trio.Lock:
        if self._writing is None:
            self._writing = trio.Lock()
        return self._writing
