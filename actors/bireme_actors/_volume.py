"""The volume actor: its lease table is why it is an actor.

A volume is populated once, by the container that made it, before anyone can attach; attaching waits for that. It cannot
be removed while a container holds it. All of this is decided here, one message after the other, so that the last
holder's ``Detach`` and a newcomer's ``Attach`` can never both win.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import trio

from bireme_actors import _messages as m
from bireme_actors._actor import Actor, protected
from bireme_actors._errors import BiremeError, Conflict, NotFound, StorageError
from bireme_actors._lifecycle import VOLUME, VolumeStatus, VolumeTrigger, step
from bireme_actors._mailbox import Reply
from bireme_actors._model import ContainerConfig, ContainerId, Nanoseconds, VolumeId, VolumeView
from bireme_actors._ports import Clock, VolumeStore


class VolumeActor(Actor):
    """One volume. ``holders`` are the containers whose configuration mounts it."""

    def __init__(
        self,
        volume: VolumeId,
        store: VolumeStore,
        clock: Clock,
        *,
        created: Nanoseconds | None = None,
        unheld_since: Nanoseconds = 0,
        holders: Iterable[ContainerId] = (),
        gone: Callable[[VolumeActor], object] = lambda actor: None,
    ) -> None:
        """``created`` None is a volume still to be made; otherwise it is there already, held by ``holders``.

        ``gone`` is called when it has been removed, before anybody is told.
        """
        super().__init__(f"volume {volume}")
        self.id = volume
        self.status = VolumeStatus.NEW if created is None else VolumeStatus.READY
        self.announced = created is not None
        """Whether others have been told of it: its container exists."""
        self._store = store
        self._clock = clock
        self._gone = gone
        self._created = clock() if created is None else created
        self._leases: dict[ContainerId, None] = dict.fromkeys(holders)
        self._unheld_since = unheld_since
        self._populating: trio.CancelScope | None = None
        self._deferred: list[tuple[m.Attach | m.Detach, Reply[Any]]] = []
        self._asked: list[Reply[Any]] = []

    @property
    def view(self) -> VolumeView:
        """The frozen snapshot."""
        return VolumeView(
            id=self.id,
            path=self._store.path(self.id),
            created=self._created,
            holders=tuple(self._leases),
            unheld_since=self._unheld_since,
        )

    def adopt(self, holder: ContainerId) -> None:
        """Enter a holder that its record on disk names; before the actor is asked anything."""
        self._hold(holder)

    def handle(self, message: object, reply: Reply[Any]) -> None:
        match message:
            case m.Populate():
                self._populate(message, reply)
            case m.Populated():
                self._populated(message)
            case m.Attach():
                self._attach(message, reply)
            case m.Detach():
                self._detach(message, reply)
            case m.RemoveVolume():
                self._remove_asked(reply)
            case m.VolumeRemoved():
                self._removed(message)
            case _:
                raise TypeError(f"{self.mailbox.name} does not understand {message!r}")

    def _step(self, trigger: VolumeTrigger) -> None:
        self.status = step(VOLUME, self.mailbox.name, self.status, trigger)

    # Making it.

    def _populate(self, message: m.Populate, reply: Reply[None]) -> None:
        self._step(VolumeTrigger.POPULATE)
        self._hold(message.config.id)
        self._asked.append(reply)
        self._populating = trio.CancelScope()
        self.spawn(self._create, self._populating, message.config, message.destination)

    @protected
    async def _create(self, scope: trio.CancelScope, config: ContainerConfig, destination: str) -> None:
        error: BiremeError | None = StorageError(f"{self.mailbox.name} was not made: its container was given up")
        with scope:
            try:
                await self._store.create(self.id, config, destination)
                error = None
            except BiremeError as failure:
                error = failure
        await self.mailbox.report(m.Populated(error))

    def _populated(self, message: m.Populated) -> None:
        self._populating = None
        self._step(VolumeTrigger.POPULATED if message.error is None else VolumeTrigger.POPULATE_FAILED)
        if message.error is not None:
            self._gone(self)
        self._answer_all(message.error, None)
        deferred, self._deferred = self._deferred, []
        for asked, reply in deferred:
            if message.error is None:
                self._dispatch(asked, reply)
            elif isinstance(asked, m.Attach):
                reply.fail(message.error)
            else:
                reply.set(True)
        if message.error is not None:
            self.stop()

    # Holding it.

    def _hold(self, container: ContainerId) -> None:
        self._leases[container] = None
        self._unheld_since = 0

    def _attach(self, message: m.Attach, reply: Reply[None]) -> None:
        if self.status is VolumeStatus.POPULATING:
            self._deferred.append((message, reply))
        elif self.status is VolumeStatus.READY:
            self._hold(message.container)
            reply.set(None)
        else:
            raise NotFound(f"{self.mailbox.name} is {self.status}: nothing can be attached; name another source")

    def _detach(self, message: m.Detach, reply: Reply[bool]) -> None:
        if self.status is VolumeStatus.POPULATING:
            self._deferred.append((message, reply))
            if message.remove and self._populating is not None:
                self._populating.cancel()  # it is its maker who gives it up: nobody else can hold it yet
            return
        held = self._leases.pop(message.container, self) is None
        if held and not self._leases:
            self._unheld_since = self._clock()
        if self._leases or not message.remove or self.status is VolumeStatus.REMOVING:
            reply.set(False)
        else:
            self._begin_removal(reply)

    # Removing it.

    def _remove_asked(self, reply: Reply[None]) -> None:
        if self._leases:
            holder = next(iter(self._leases))
            raise Conflict(f"remove {self.id}: volume is in use - [{holder}]; remove the container first")
        self._begin_removal(reply)

    def _begin_removal(self, reply: Reply[Any]) -> None:
        self._step(VolumeTrigger.REMOVE)
        self._asked.append(reply)
        self.spawn(self._remove)

    @protected
    async def _remove(self) -> None:
        error = None
        try:
            await self._store.remove(self.id)
        except BiremeError as failure:
            error = failure
        await self.mailbox.report(m.VolumeRemoved(error))

    def _removed(self, message: m.VolumeRemoved) -> None:
        self._step(VolumeTrigger.REMOVED if message.error is None else VolumeTrigger.REMOVE_FAILED)
        if message.error is None:
            self._gone(self)
        self._answer_all(message.error, True)
        if message.error is None:
            self.stop()

    def _answer_all(self, error: BiremeError | None, value: object) -> None:
        asked, self._asked = self._asked, []
        for reply in asked:
            reply.settle(error, value)
