"""Throwing away: a rename, which is instant and whole, and deleting afterwards, which may take as long as it likes.

Deleting waits for the disk far more than anything else here does (where freed blocks are discarded at once, 0.1 ms
and more a file), so it is done on the side, by at most a few threads, and nobody waits for it but who closes the
engine. A few are let come together first: a thread for each costs more than to delete it. What a crash or an
impatient end leaves in the trash the next start deletes.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterable

import trio

from bireme import _files
from bireme.storage._errors import translated

_log = logging.getLogger("bireme")

_LANES = 2
"""Trees that are deleted at the same time, so that a large one does not hold up the small ones."""

_AT_ONCE = 32

_GATHER_SECONDS = 0.05
"""How long the first of them waits for others."""


class Trash:
    """What is being deleted."""

    def __init__(self) -> None:
        self._thrown: deque[str] = deque()
        self._lanes = 0
        self._gathering: trio.Event | None = None
        """Of the lane that waits for more; set: there is enough."""
        self._changed = trio.lowlevel.ParkingLot()

    def __repr__(self) -> str:
        return f"<Trash: {len(self._thrown)} trees wait, {self._lanes} threads delete>"

    def delete(self, path: str | None) -> None:
        """Delete a tree soon; None is nothing."""
        if path is None:
            return
        self._thrown.append(path)
        if self._gathering is not None:
            if len(self._thrown) >= _AT_ONCE:
                self._gathering.set()
        elif self._lanes < _LANES:
            self._lanes += 1
            self._gathering = trio.Event()
            trio.lowlevel.spawn_system_task(self._empty)

    @property
    def busy(self) -> bool:
        """Whether something is still to be deleted."""
        return self._lanes > 0

    async def wait_empty(self) -> None:
        """Wait until all is deleted. Cancelled: the deleting goes on."""
        await trio.lowlevel.checkpoint()
        while self._lanes:
            if self._gathering is not None:
                self._gathering.set()
            await self._changed.park()

    async def _empty(self) -> None:
        """Delete until nothing waits. When the program ends it is given up: the next engine goes on with it."""
        try:
            await self._gather()
            while self._thrown:
                some = [self._thrown.popleft() for _ in range(min(_AT_ONCE, len(self._thrown)))]
                await trio.to_thread.run_sync(delete_all, some, abandon_on_cancel=True)
        except RuntimeError as error:
            _log.warning("no thread to delete with: %s; the next start of the engine goes on", error)
        finally:
            self._lanes -= 1
            self._changed.unpark_all()

    async def _gather(self) -> None:
        assert self._gathering is not None, "it is set before the lane begins"
        try:
            with trio.move_on_after(_GATHER_SECONDS):
                await self._gathering.wait()
        finally:
            self._gathering = None


def move_away(path: str, thrown: str) -> str | None:
    """Move ``path`` into the trash; where it is then, None if there was none. Raises OSError."""
    try:
        _files.rename_any(path, thrown)
    except FileNotFoundError:
        return None
    return thrown


def delete_all(paths: list[str]) -> None:
    """Delete what lies in the trash; what cannot be is reported and stays there."""
    for path in paths:
        try:
            _files.remove_tree(path)
        except OSError as error:
            _log.warning("cannot delete %s: %s; the next start of the engine tries again", path, error)


def leftovers(directories: Iterable[str]) -> list[str]:
    """Paths of what lies in trash directories. Raises StorageError."""
    found: list[str] = []
    for directory in directories:
        with translated(f"read {directory}"):
            found += [os.path.join(directory, name) for name in os.listdir(directory)]
    return found
