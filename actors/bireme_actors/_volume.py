"""The volume actor: its lease table is why it is an actor.

A volume is populated once, by the container that made it, before anyone can attach; attaching waits for that. It cannot
be removed while a container holds it. All of this is decided here, one message after the other, so that the last
holder's ``Detach`` and a newcomer's ``Attach`` can never both win.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bireme_actors import _messages as m
from bireme_actors._actor import Actor
from bireme_actors._errors import BiremeError, Conflict, NotFound
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
        holders: Iterable[ContainerId] = (),
    ) -> None:
        """``created`` None is a volume still to be made; otherwise it is there already, held by ``holders``."""
        super().__init__(f"volume {volume}")
        self.id = volume
        self.status = VolumeStatus.NEW if created is None else VolumeStatus.READY
        self._store = store
        self._clock = clock
        self._created = clock() if created is None else created
        self._leases: dict[ContainerId, None] = dict.fromkeys(holders)
        self._unheld_since: Nanoseconds = 0
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
        self._leases[holder] = None

    def handle(self, message: object, reply: Reply[Any]) -> None:
        match message:
            case m.Populate():
                self._populate(message, reply)
            case m.Populated():
                self._populated(message)
            case m.Commit():
                self.spawn(self._commit, reply)
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

    def _populate(self, message: m.Populate, reply: Reply[None]) -> None:
        self._step(VolumeTrigger.POPULATE)
        self._leases[message.config.id] = None
        self._asked.append(reply)
        self.spawn(self._create, message.config, message.destination)

    async def _create(self, config: ContainerConfig, destination: str) -> None:
        error = None
        try:
            await self._store.create(self.id, config, destination)
        except BiremeError as failure:
            error = failure
        await self.ref.tell(m.Populated(error))

    def _populated(self, message: m.Populated) -> None:
        error = message.error
        self._step(VolumeTrigger.POPULATED if error is None else VolumeTrigger.POPULATE_FAILED)
        self._answer_all(error, None)
        deferred, self._deferred = self._deferred, []
        for asked, reply in deferred:
            if error is None:
                self._dispatch(asked, reply)
            elif isinstance(asked, m.Attach):
                reply.fail(error)
            else:
                reply.set(True)
        if error is not None:
            self.stop()

    async def _commit(self, reply: Reply[None]) -> None:
        try:
            await self._store.commit(self.id)
        except BiremeError as error:
            reply.fail(error)
        else:
            reply.set(None)

    def _attach(self, message: m.Attach, reply: Reply[None]) -> None:
        if self.status is VolumeStatus.POPULATING:
            self._deferred.append((message, reply))
        elif self.status is VolumeStatus.READY:
            self._leases[message.container] = None
            self._unheld_since = 0
            reply.set(None)
        else:
            raise NotFound(f"{self.mailbox.name} is {self.status}: nothing can be attached; name another source")

    def _detach(self, message: m.Detach, reply: Reply[bool]) -> None:
        if self.status is VolumeStatus.POPULATING:
            self._deferred.append((message, reply))
            return
        held = self._leases.pop(message.container, self) is None
        if held and not self._leases:
            self._unheld_since = self._clock()
        if self._leases or not message.remove or self.status is VolumeStatus.REMOVING:
            reply.set(False)
        else:
            self._begin_removal(reply)

    def _remove_asked(self, reply: Reply[None]) -> None:
        if self._leases:
            holder = next(iter(self._leases))
            raise Conflict(f"remove {self.id}: volume is in use - [{holder}]; remove the container first")
        self._begin_removal(reply)

    def _begin_removal(self, reply: Reply[Any]) -> None:
        self._step(VolumeTrigger.REMOVE)
        self._asked.append(reply)
        self.spawn(self._remove)

    async def _remove(self) -> None:
        error = None
        try:
            await self._store.remove(self.id)
        except BiremeError as failure:
            error = failure
        await self.ref.tell(m.VolumeRemoved(error))

    def _removed(self, message: m.VolumeRemoved) -> None:
        self._step(VolumeTrigger.REMOVED if message.error is None else VolumeTrigger.REMOVE_FAILED)
        self._answer_all(message.error, True)
        if message.error is None:
            self.stop()

    def _answer_all(self, error: BiremeError | None, value: object) -> None:
        asked, self._asked = self._asked, []
        for reply in asked:
            reply.settle(error, value)
