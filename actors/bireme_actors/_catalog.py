"""Every volume there is: those that a container holds or has held, each with its actor, and those found on disk that
nobody has touched yet, which get theirs when somebody does.

Holders find their volume in a table. The disk is read once, when somebody asks for what no container holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

from bireme_actors import _messages as m
from bireme_actors._errors import ActorStopped, NotFound
from bireme_actors._model import ContainerId, Nanoseconds, VolumeId, VolumeView
from bireme_actors._ports import Clock, VolumeStore
from bireme_actors._volume import VolumeActor


class VolumeCatalog:
    """The volumes. ``run`` has an actor live; ``gone`` hears of every removal."""

    def __init__(
        self,
        store: VolumeStore,
        clock: Clock,
        run: Callable[[VolumeActor], None],
        gone: Callable[[VolumeId], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._run = run
        self._gone = gone
        self._actors: dict[VolumeId, VolumeActor] = {}
        self._untouched: dict[VolumeId, VolumeView] | None = None

    def __len__(self) -> int:
        return len(self._actors)

    def __iter__(self) -> Iterator[VolumeActor]:
        return iter(tuple(self._actors.values()))

    def views(self) -> tuple[VolumeView, ...]:
        """Every volume, also those nobody holds."""
        return (*(actor.view for actor in self._actors.values()), *self._found().values())

    async def drop(self, volume: VolumeId) -> None:
        """Remove what there is of a volume whose container did not come off. Raises StorageError."""
        await self._store.remove(volume)
        if self._untouched is not None:
            self._untouched.pop(volume, None)

    def admit(self, volume: VolumeId, created: Nanoseconds, holder: ContainerId) -> None:
        """A container holds this volume, and its record says so: it is there."""
        actor = self._actors.get(volume) or self._admit(volume, created=created)
        actor.adopt(holder)

    def get(self, volume: VolumeId) -> VolumeActor:
        """Raises NotFound."""
        actor = self._actors.get(volume)
        if actor is not None:
            return actor
        view = self._found().get(volume)
        if view is None:
            raise NotFound(f"get {volume}: no such volume")
        return self._admit(volume, created=view.created, unheld_since=view.unheld_since)

    async def attach(self, volume: VolumeId, container: ContainerId) -> None:
        """Hold a volume. Raises NotFound. Cancelled: it may be held."""
        try:
            await self.get(volume).ref.ask(m.Attach(container))
        except (ActorStopped, NotFound) as error:
            raise NotFound(f"volume {volume} has just been removed with its container; name another source") from error

    async def detach(self, volume: VolumeId, container: ContainerId, *, remove: bool) -> None:
        """Let a volume go, if it is there; with ``remove`` and no other holder it is removed. Raises StorageError."""
        actor = self._actors.get(volume)
        if actor is not None:
            with suppress(ActorStopped):
                await actor.ref.ask(m.Detach(container, remove))

    def ended(self, volume: VolumeId) -> None:
        """The actor has ended with the supervisor, or by a bug. Idempotent."""
        self._actors.pop(volume, None)

    def close(self) -> None:
        """The supervisor has ended, and with it the actors that slept."""
        for actor in self:
            actor.mailbox.close()
            self.ended(actor.id)

    def _removed(self, actor: VolumeActor) -> None:
        self._actors.pop(actor.id, None)
        self._gone(actor.id)

    def _admit(self, volume: VolumeId, *, created: Nanoseconds, unheld_since: Nanoseconds = 0) -> VolumeActor:
        actor = VolumeActor(
            volume, self._store, self._clock, created=created, unheld_since=unheld_since, gone=self._removed
        )
        if self._untouched is not None:
            self._untouched.pop(volume, None)
        self._actors[volume] = actor
        actor.sleep(partial(self._run, actor))
        return actor

    def _found(self) -> dict[VolumeId, VolumeView]:
        if self._untouched is None:
            now = self._clock()
            self._untouched = {
                volume: VolumeView(id=volume, path=self._store.path(volume), created=created, unheld_since=now)
                for volume, created in self._store.list()
                if volume not in self._actors
            }
        return self._untouched
