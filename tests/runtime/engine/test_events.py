from __future__ import annotations

import time

import pytest
import trio

from bireme.engine import EventsLost
from bireme.engine._events import HISTORY, EventBus
from bireme_actors import Event


def event(action: str, moment: int = 0) -> Event:
    return Event(kind="container", action=action, id="x", time=moment or time.time_ns())


async def test_subscribers_hear_what_happens_from_the_moment_they_enter() -> None:
    bus = EventBus()
    bus.emit(event("before"))
    async with bus.subscribe(0, 0) as first, bus.subscribe(0, 0) as second:
        bus.emit(event("start"))
        assert (await anext(first)).action == "start"
        assert (await anext(second)).action == "start"


async def test_the_past_comes_first_and_is_bounded() -> None:
    bus = EventBus()
    for number in range(HISTORY + 10):
        bus.emit(event(str(number), number + 1))
    async with bus.subscribe(1, HISTORY + 10) as past:
        seen = [item.action async for item in past]
    assert seen == [str(number) for number in range(10, HISTORY + 10)]


async def test_until_ends_the_stream_on_time(autojump_clock: trio.testing.MockClock) -> None:
    bus = EventBus()
    async with bus.subscribe(0, time.time_ns() + 5_000_000_000) as stream:
        assert [item async for item in stream] == []
    assert 4 < trio.current_time() < 6


async def test_who_reads_too_slowly_is_told_and_holds_nobody_up() -> None:
    bus = EventBus()
    async with bus.subscribe(0, 0) as slow, bus.subscribe(0, 0) as quick:
        for number in range(5000):
            bus.emit(event(str(number)))
            if number < 4096:
                await anext(quick)
        with pytest.raises(EventsLost):
            async for _ in slow:
                pass
        assert (await anext(quick)).action == "4096"


async def test_closing_ends_every_subscription() -> None:
    bus = EventBus()
    async with bus.subscribe(0, 0) as stream:
        bus.close()
        assert [item async for item in stream] == []


async def test_leaving_forgets_the_subscriber() -> None:
    bus = EventBus()
    async with bus.subscribe(0, 0):
        pass
    bus.emit(event("later"))
    assert not bus._subscribers
