"""One container's record on disk: its writes follow one another, and after its removal nothing is written any more."""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from bireme_actors._actor import protected
from bireme_actors._errors import BiremeError, Conflict
from bireme_actors._model import ContainerConfig, ContainerId, ContainerState
from bireme_actors._ports import RecordStore

_log = logging.getLogger("bireme")


class Record:
    """Writes the record of one container, one write at a time. Of states only the newest is written."""

    __slots__ = ("_container", "_forgotten", "_lock", "_saving", "_store", "_unsaved")

    def __init__(self, container: ContainerId, store: RecordStore) -> None:
        self._container = container
        self._store = store
        self._lock = trio.Lock()
        self._unsaved: ContainerState | None = None
        self._saving = False
        self._forgotten = False

    def note(self, state: ContainerState) -> bool:
        """Have ``state`` written by the next ``save``. Returns whether somebody has to call it: nobody is about to."""
        self._unsaved = state
        under_way, self._saving = self._saving, True
        return not under_way

    @protected
    async def save(self) -> None:
        """Return once what was noted is written. A disk that refuses is logged; cancelled: it may not be written."""
        async with self._lock:
            while self._unsaved is not None and not self._forgotten:
                state, self._unsaved = self._unsaved, None
                await self._write(state)
            self._saving = False

    async def _write(self, state: ContainerState) -> None:
        try:
            await self._store.save_state(self._container, state)
        except BiremeError as error:
            _log.warning("the state of container %s is not on disk: %s", self._container, error)

    async def update(self, change: Callable[[], ContainerConfig]) -> ContainerConfig:
        """Write the configuration that ``change`` gives when its turn comes; durable on return.

        Raises Conflict after the removal, StorageError. Cancelled: the old one or the new one is on disk.
        """
        async with self._lock:
            if self._forgotten:
                raise Conflict(f"container {self._container} has been removed: it cannot be changed any more")
            config = change()
            await self._store.update(config)
            return config

    async def forget(self) -> None:
        """Remove the record; nothing is written any more. Raises StorageError."""
        async with self._lock:
            await self._store.remove(self._container)
            self._forgotten = True
