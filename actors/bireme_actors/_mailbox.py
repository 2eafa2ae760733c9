"""The mailbox: a bounded memory channel into which anybody puts messages and out of which one actor takes them.

Rules. Answering never blocks and never fails: a reply nobody waits for any more is dropped. Asking always ends: when
the mailbox closes, whatever was asked and is not yet answered fails with ``ActorStopped``. Putting in waits while the
mailbox is full; no handler ever puts anything in (children do), so who takes out waits for nobody and nothing locks up.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import trio

from bireme_actors._errors import ActorStopped
from bireme_actors._messages import Ask

R = TypeVar("R")

CAPACITY = 64
"""Messages a mailbox holds before ``tell`` waits; enough that a burst of verbs never does, and bounds memory."""


class Reply(Generic[R]):
    """The one answer to one ask."""

    __slots__ = ("_error", "_event", "_pending", "_value")

    def __init__(self, pending: set[Reply[Any]]) -> None:
        self._event = trio.Event()
        self._error: BaseException | None = None
        self._pending = pending
        pending.add(self)

    @property
    def wanted(self) -> bool:
        """Whether somebody still waits: an answer that has to be taken care of goes to nobody else."""
        return self in self._pending

    def set(self, value: R) -> None:
        """Answer. The first answer counts."""
        if not self._event.is_set():
            self._value = value
            self._finish()

    def fail(self, error: BaseException) -> None:
        """Answer with an error, raised where it was asked. The first answer counts."""
        if not self._event.is_set():
            self._error = error
            self._finish()

    def settle(self, error: BaseException | None, value: R) -> None:
        """``fail`` with the error if there is one, else ``set``."""
        if error is None:
            self.set(value)
        else:
            self.fail(error)

    async def wait(self) -> R:
        """The answer, or its error. Cancelling abandons it."""
        await self._event.wait()
        if self._error is not None:
            raise self._error
        return self._value

    def abandon(self) -> None:
        """Nobody waits any more."""
        self._pending.discard(self)

    def _finish(self) -> None:
        self._pending.discard(self)
        self._event.set()


class Mailbox:
    """One actor's incoming messages. ``name`` is for its errors."""

    def __init__(self, name: str, capacity: int = CAPACITY) -> None:
        self.name = name
        self._send, self._receive = trio.open_memory_channel[tuple[object, Reply[Any] | None]](capacity)
        self._pending: set[Reply[Any]] = set()
        self._closed_by: BaseException | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<Mailbox {self.name}: {self.statistics()}{', closed' if self._closed else ''}>"

    def statistics(self) -> dict[str, int]:
        """``queued`` messages and ``pending`` asks."""
        queued = 0 if self._closed else self._send.statistics().current_buffer_used
        return {"queued": queued, "pending": len(self._pending)}

    async def tell(self, message: object) -> None:
        """Put a message in; waits while the mailbox is full. Raises ActorStopped. Cancelled: it is not in."""
        await self._put(message, None)
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def report(self, message: object) -> None:
        """``tell`` for an actor's own children, which end then: without a checkpoint, unless the mailbox is full."""
        await self._put(message, None)

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

    async def receive(self) -> tuple[object, Reply[Any] | None]:
        """The next message, in the order they were put in; for the mailbox's one actor, while it is open."""
        return await self._receive.receive()

    def close(self, cause: BaseException | None = None) -> None:
        """End it: everything that is queued or pending fails with ActorStopped. Idempotent."""
        if self._closed:
            return
        self._closed, self._closed_by = True, cause
        self._receive.close()
        self._send.close()
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
        try:
            try:
                self._send.send_nowait((message, reply))
            except trio.WouldBlock:
                await self._send.send((message, reply))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise self._stopped() from self._closed_by

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
