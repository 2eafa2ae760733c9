"""The actor: one task, one mailbox, state that nobody else touches.

Theory of operation. ``handle`` is an ordinary function, not a coroutine: a message is handled to its end before the
next is looked at, and no handler can block the mailbox. Anything slow is a *child task* (``spawn``) in the actor's own
nursery, which reports back with a message of its own. So a ``kill`` never waits behind a ``stop``. What is reported is
handled in that instant, by the child's task: nothing is being handled while a child runs, and going through the mailbox
would only cost a turn of the event loop at each start and each exit.

An actor ends when it calls ``stop`` (its children are cancelled), when it is cancelled, or when it crashes: an
exception that leaves ``handle`` or a child is a bug, it ends this actor and propagates to whoever runs it. In each case
every ask that is queued or pending fails with ``ActorStopped``.

Thousands of actors have nothing to do, most of the time or ever: one that *sleeps* has no task yet and gets it with its
first message. Nobody can tell the difference, but for what it costs.

A control-C never lands in an actor or its children (``protected``): trio hands it to the program's main task instead,
which leaves its blocks in order, and so ends the actors properly.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVarTuple

import trio

from bireme_actors._errors import BiremeError
from bireme_actors._mailbox import Mailbox, Ref, Reply

Ts = TypeVarTuple("Ts")

protected = trio.lowlevel.enable_ki_protection
"""For every coroutine that is a task of its own here."""


class Actor:
    """Base of the actors: subclasses define ``handle`` and keep their state in plain attributes."""

    def __init__(self, name: str) -> None:
        self.mailbox = Mailbox(name)
        self.ref = Ref(self.mailbox)
        self._nursery: trio.Nursery | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.mailbox.name}>"

    def handle(self, message: object, reply: Reply[Any]) -> None:
        """React to one message. What it raises as BiremeError is the answer to an ask; anything else is a crash."""
        raise NotImplementedError

    def sleep(self, live: Callable[[], object]) -> None:
        """Have ``live``, which has a task ``run`` the actor, called when somebody puts in the first message."""
        self.mailbox.when_first(live)

    def started(self) -> None:
        """Called once, in the actor's task, before the first message; children may be spawned."""

    @protected
    async def run(self) -> None:
        """Live until stopped. Cancelling ends the actor and its children."""
        with self.mailbox:
            async with trio.open_nursery() as self._nursery:
                self.started()
                await self._handle_all()

    async def _handle_all(self) -> None:
        """One message after the other, until ``stop``."""
        while True:
            for message, reply in self.mailbox.waiting():
                self._dispatch(message, reply)
            received = await self.mailbox.receive()
            if received is None:
                return
            self._dispatch(*received)

    def spawn(self, child: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> None:
        """Run a slow thing beside the mailbox; ``child`` is ``protected``."""
        assert self._nursery is not None, "an actor spawns only while it runs"
        self._nursery.start_soon(child, *args)

    async def report(self, message: object) -> None:
        """What a child has found out, handled at once, before what is in the mailbox. Cancelled: not handled."""
        await trio.lowlevel.checkpoint_if_cancelled()
        self._dispatch(message, None)

    def stop(self) -> None:
        """End: no further message is looked at, children are cancelled."""
        self.mailbox.close()
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    def _dispatch(self, message: object, reply: Reply[Any] | None) -> None:
        answer: Reply[Any] = reply if reply is not None else Reply()
        try:
            self.handle(message, answer)
        except BiremeError as error:
            if reply is None:
                raise
            reply.fail(error)
