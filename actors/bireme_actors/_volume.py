"""The volume actor: its lease table is why it is an actor.

It is made and filled once, along with the container that it was made for and that is its first holder, before anyone
can attach. It cannot be removed while a container holds it: that is decided here, one message after the other, so that
the last holder's ``Detach`` and a newcomer's ``Attach`` can never both win.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from bireme_actors import _messages as m
from bireme_actors._actor import Actor, protected
from bireme_actors._errors import BiremeError, Conflict, NotFound
from bireme_actors._lifecycle import VOLUME, VolumeStatus, VolumeTrigger, step
from bireme_actors._mailbox import Reply
from bireme_actors._model import ContainerId, Nanoseconds, VolumeId, VolumeView
from bireme_actors._ports import Clock, VolumeStore


class VolumeActor(Actor):
    """One volume. ``holders`` are the containers whose configuration mounts it."""

    def __init__(
        self,
        volume: VolumeId,
        store: VolumeStore,
        clock: Clock,
        *,
        created: Nanoseconds,
        unheld_since: Nanoseconds = 0,
        holders: Iterable[ContainerId] = (),
        gone: Callable[[VolumeActor], object] = lambda actor: None,
    ) -> None:
        """``gone`` is called when it has been removed, before anybody is told."""
        super().__init__(f"volume {volume}")
        self.id = volume
        self.status = VolumeStatus.READY
        self._store = store
        self._clock = clock
        self._gone = gone
        self._created = created
        self._leases: dict[ContainerId, None] = dict.fromkeys(holders)
        self._unheld_since = unheld_since
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

    # Holding it.

    def _hold(self, container: ContainerId) -> None:
        self._leases[container] = None
        self._unheld_since = 0

    def _attach(self, message: m.Attach, reply: Reply[None]) -> None:
        if self.status is not VolumeStatus.READY:
            raise NotFound(f"{self.mailbox.name} is {self.status}: nothing can be attached; name another source")
        self._hold(message.container)
        reply.set(None)

    def _detach(self, message: m.Detach, reply: Reply[bool]) -> None:
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
        await self.report(m.VolumeRemoved(error))

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
