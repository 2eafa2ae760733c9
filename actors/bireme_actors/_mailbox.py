"""The mailbox: a bounded memory channel into which anybody puts messages and out of which one actor takes them.

Rules. Answering never blocks and never fails: a reply nobody waits for any more is dropped. Asking always ends: when
the mailbox closes, whatever was asked and is not yet answered fails with ``ActorStopped``. Putting in waits while the
mailbox is full; what an actor has to say to itself goes past it (``Actor.report``), so nothing locks up.

Nothing is paid for before it is used: the channel is opened for the first message, which also wakes the actor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Generic, Self, TypeAlias, TypeVar

import trio

from bireme_actors._errors import ActorStopped
from bireme_actors._messages import Ask

R = TypeVar("R")

CAPACITY = 64
"""Messages a mailbox holds before ``tell`` waits; enough that a burst of verbs never does, and bounds memory."""


class Reply(Generic[R]):
    """The one answer to one ask, or to a message that wants none."""

    __slots__ = ("_answered", "_error", "_event", "_pending", "_value")

    def __init__(self, pending: set[Reply[Any]] | None = None) -> None:
        """``pending`` are all the asks of its mailbox; None: nobody asks."""
        self._answered = False
        self._event: trio.Event | None = None
        self._error: BaseException | None = None
        self._pending = pending
        if pending is not None:
            pending.add(self)

    @property
    def wanted(self) -> bool:
        """Whether somebody still waits: an answer that has to be taken care of goes to nobody else."""
        return self._pending is not None and self in self._pending

    def set(self, value: R) -> None:
        """Answer. The first answer counts."""
        if not self._answered:
            self._value = value
            self._finish()

    def fail(self, error: BaseException) -> None:
        """Answer with an error, raised where it was asked. The first answer counts."""
        if not self._answered:
            self._error = error
            self._finish()

    def settle(self, error: BaseException | None, value: R) -> None:
        """``fail`` with the error if there is one, else ``set``."""
        if error is None:
            self.set(value)
        else:
            self.fail(error)

    async def wait(self) -> R:
        """The answer, or its error, for the one who asked. Cancelling abandons it."""
        if self._answered:
            await trio.lowlevel.checkpoint()
        else:
            self._event = trio.Event()
            await self._event.wait()
        if self._error is not None:
            raise self._error
        return self._value

    def abandon(self) -> None:
        """Nobody waits any more."""
        if self._pending is not None:
            self._pending.discard(self)

    def _finish(self) -> None:
        self._answered = True
        self.abandon()
        if self._event is not None:
            self._event.set()


Item: TypeAlias = tuple[object, Reply[Any] | None]
"""What is in a mailbox: a message, and the ask that it is."""


class Mailbox:
    """One actor's incoming messages. ``name`` is for its errors."""

    def __init__(self, name: str, capacity: int = CAPACITY) -> None:
        self.name = name
        self._capacity = capacity
        self._channel: tuple[trio.MemorySendChannel[Item], trio.MemoryReceiveChannel[Item]] | None = None
        self._first: Callable[[], object] | None = None
        self._pending: set[Reply[Any]] = set()
        self._closed_by: BaseException | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<Mailbox {self.name}: {self.statistics()}{', closed' if self._closed else ''}>"

    def statistics(self) -> dict[str, int]:
        """``queued`` messages and ``pending`` asks."""
        queued = 0
        if self._channel is not None and not self._closed:
            queued = self._channel[0].statistics().current_buffer_used
        return {"queued": queued, "pending": len(self._pending)}

    def when_first(self, wake: Callable[[], object]) -> None:
        """Call ``wake`` when the first message is put in, unless the mailbox has been closed by then."""
        self._first = wake

    async def tell(self, message: object) -> None:
        """Put a message in; waits while the mailbox is full. Raises ActorStopped. Cancelled: it is not in."""
        await self._put(message, None)
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def ask(self, message: Ask[R]) -> R:
        """Put a message in and wait for its answer.

        Raises what the actor answers, ActorStopped if it ends first. Cancelling abandons the answer, nothing else: the
        actor goes on with what was asked.
        """
        reply: Reply[R] = Reply(self._pending)
        try:
            await self._put(message, reply)
            return await reply.wait()
        finally:
            reply.abandon()

    async def receive(self) -> Item | None:
        """The next message, in the order they were put in, None once it is closed; for the mailbox's one actor."""
        if self._closed:
            return None
        try:
            return await self._opened()[1].receive()
        except trio.EndOfChannel:
            return None

    def waiting(self) -> Iterator[Item]:
        """The next messages, as long as there are any without waiting; no more than the mailbox holds at once."""
        for _ in range(self._capacity):
            if self._closed:
                return
            try:
                yield self._opened()[1].receive_nowait()
            except trio.WouldBlock:
                return

    def close(self, cause: BaseException | None = None) -> None:
        """End it: everything that is queued or pending fails with ActorStopped. Idempotent."""
        if self._closed:
            return
        self._closed, self._closed_by, self._first = True, cause, None
        for end in self._channel or ():
            end.close()
        for reply in tuple(self._pending):
            reply.fail(self._stopped())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(error)

    async def _put(self, message: object, reply: Reply[Any] | None) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._closed:
            raise self._stopped() from self._closed_by
        if self._first is not None:
            wake, self._first = self._first, None
            wake()
        send, _ = self._opened()
        try:
            send.send_nowait((message, reply))
        except trio.WouldBlock:
            await self._put_when_there_is_room(send, (message, reply))

    async def _put_when_there_is_room(self, send: trio.MemorySendChannel[Item], item: Item) -> None:
        try:
            await send.send(item)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise self._stopped() from self._closed_by

    def _opened(self) -> tuple[trio.MemorySendChannel[Item], trio.MemoryReceiveChannel[Item]]:
        if self._channel is None:
            self._channel = trio.open_memory_channel[Item](self._capacity)
        return self._channel

    def _stopped(self) -> ActorStopped:
        reason = f" ({self._closed_by!r})" if isinstance(self._closed_by, Exception) else ""
        return ActorStopped(f"{self.name} has ended{reason}; nothing can be asked of it any more")


class Ref:
    """What others hold of an actor: they can put messages in, and nothing else."""

    __slots__ = ("_mailbox",)

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    def __repr__(self) -> str:
        return f"<Ref to {self._mailbox!r}>"

    async def tell(self, message: object) -> None:
        """See ``Mailbox.tell``."""
        await self._mailbox.tell(message)

    async def ask(self, message: Ask[R]) -> R:
        """See ``Mailbox.ask``."""
        return await self._mailbox.ask(message)
