"""Events: a bounded memory of what has happened, and subscriptions that never hold anybody up."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

import trio

from bireme_actors import BiremeError, Event

HISTORY = 1024
"""Past events that a new subscriber can still ask for."""

_BEHIND = 4096
"""Events a subscriber may be behind before its subscription ends."""


class EventsLost(BiremeError):
    """The subscriber read so slowly that events were dropped; subscribe again, with ``since`` the last one seen."""


class EventBus:
    """The engine's event sink."""

    def __init__(self) -> None:
        self._history: deque[Event] = deque(maxlen=HISTORY)
        self._subscribers: set[trio.MemorySendChannel[Event]] = set()
        self._listeners: list[Callable[[Event], None]] = []
        self._closed = False

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Call it with each event, at once: for parts of the engine itself. It must neither block nor raise."""
        self._listeners.append(listener)

    def emit(self, event: Event) -> None:
        """Hand one event to everybody; who is too far behind is dropped."""
        self._history.append(event)
        for listener in self._listeners:
            listener(event)
        for subscriber in tuple(self._subscribers):
            try:
                subscriber.send_nowait(event)
            except trio.WouldBlock:
                self._subscribers.discard(subscriber)
                subscriber.close()

    @asynccontextmanager
    async def subscribe(self, since: int, until: int) -> AsyncIterator[AsyncIterator[Event]]:
        """Registered when the block is entered. ``since``, ``until``: nanoseconds since the epoch, 0 for now, for
        ever.
        """
        past = [event for event in self._history if since and event.time >= since]
        send, receive = trio.open_memory_channel[Event](_BEHIND)
        self._subscribers.add(send)
        try:
            async with aclosing(self._read(past, receive, until)) as events:
                yield events
        finally:
            self._subscribers.discard(send)
            send.close()
            receive.close()

    async def _read(
        self, past: list[Event], receive: trio.MemoryReceiveChannel[Event], until: int
    ) -> AsyncGenerator[Event]:
        for event in past:
            if not until or event.time <= until:
                yield event
        deadline = _deadline(until)
        while True:
            found = None
            with trio.CancelScope(deadline=deadline):
                found = await self._next(receive)
            if found is None:
                return
            yield found

    async def _next(self, receive: trio.MemoryReceiveChannel[Event]) -> Event | None:
        try:
            return await receive.receive()
        except trio.EndOfChannel:
            if self._closed:
                return None
            raise EventsLost("events were read too slowly and some are lost; subscribe again") from None

    def close(self) -> None:
        """No more events: every subscription ends."""
        self._closed = True
        for subscriber in self._subscribers:
            subscriber.close()
        self._subscribers.clear()


def _deadline(until: int) -> float:
    return trio.current_time() + (until - time.time_ns()) / 1e9 if until else float("inf")
