"""Services outlive their clients: nurseries whose tasks are not reached by cancellation from outside; and plain ones.

Theory of operation. Cancellation comes down the tree of scopes, so tasks that must survive the cancellation of the
block that uses them hang below a shield, in a task beside the block. They end when the block has ended, and with it all
clients; not before.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from bireme_actors._actor import protected


class _Opened:
    """Hands the nursery from the task that owns it to the block that uses it."""

    def __init__(self) -> None:
        self.ready = trio.Event()
        self.nursery: trio.Nursery | None = None


@asynccontextmanager
async def open_services() -> AsyncIterator[trio.Nursery]:
    """The nursery, for the length of the block; on leaving its tasks are cancelled and waited for.

    What a task of it raises cancels the block and propagates.
    """
    opened = _Opened()
    async with trio.open_nursery() as outer:
        outer.start_soon(_serve, opened)
        with trio.CancelScope(shield=True):  # one step of the new task, which no cancellation keeps from running
            await opened.ready.wait()
        assert opened.nursery is not None
        try:
            yield opened.nursery
        finally:
            opened.nursery.cancel_scope.cancel()


@protected
async def _serve(opened: _Opened) -> None:
    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as opened.nursery:
            opened.ready.set()
            await trio.sleep_forever()


@asynccontextmanager
async def open_crew() -> AsyncIterator[trio.Nursery]:
    """A nursery that is nobody's business: what happens to the caller in it, control-C say, leaves it unwrapped."""
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise
