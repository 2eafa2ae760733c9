"""Output that is not kept: every byte for who reads, memory within bounds, nobody held up for ever."""

from __future__ import annotations

import gc
import logging
import random
from contextlib import aclosing
from itertools import count

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from bireme.storage import JsonLogs, Layout, LiveOutput, LiveReader, LogEntry, LogOptions, OutputLost, _live
from bireme_actors import ContainerId, OutputNotKept, new_id

CHUNK = b"x" * 65536


@pytest.fixture
def live() -> LiveOutput:
    times = count(1)
    return LiveOutput("c", lambda: next(times))


@pytest.fixture
def clock(autojump_clock: MockClock) -> MockClock:
    return autojump_clock


def attach(live: LiveOutput, *, follow: bool = True) -> LiveReader:
    return live.attach(logs=False, follow=follow)


async def collect(reader: LiveReader) -> bytes:
    async with aclosing(reader) as entries:
        return b"".join([entry.data async for entry in entries])


def fill(live: LiveOutput) -> int:
    """Append until it is full; how many pieces that took."""
    pieces = 0
    while not live.full:
        live.append("stdout", CHUNK)
        pieces += 1
    return pieces


def held(live: LiveOutput) -> int:
    return int(repr(live).split(": ")[1].split()[0])


# What a reader gets.


async def test_what_nobody_reads_is_forgotten(live: LiveOutput) -> None:
    live.append("stdout", b"before")
    assert held(live) == 0
    reader = attach(live)
    live.append("stderr", b"after")
    live.append("stdout", b"")
    live.end()
    async with aclosing(reader) as entries:
        assert [entry async for entry in entries] == [LogEntry("stderr", 1, b"after")]
    assert held(live) == 0


async def test_the_place_is_from_the_making_on_before_the_start_and_to_the_end_of_one_run(live: LiveOutput) -> None:
    reader = attach(live)
    live.append("stdout", b"this run")
    live.end()
    live.append("stdout", b"nobody's")
    second = attach(live)
    live.append("stdout", b"the next")
    live.end()
    assert (await collect(reader), await collect(second)) == (b"this run", b"the next")


async def test_a_run_without_output_ends_its_readers(live: LiveOutput) -> None:
    waiting = attach(live)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(collect, waiting)
        await wait_all_tasks_blocked()
        live.end()


async def test_who_does_not_follow_gets_nothing(live: LiveOutput) -> None:
    reader = attach(live, follow=False)
    live.append("stdout", b"x")
    assert await collect(reader) == b""


@pytest.mark.parametrize("seed", range(60))
async def test_every_reader_gets_all_from_its_place_to_the_end_of_its_run(live: LiveOutput, seed: int) -> None:
    dice = random.Random(seed)
    got: dict[int, bytes] = {}
    due: dict[int, bytearray] = {}
    open_now: list[int] = []

    async def follow(number: int, reader: LiveReader, pace: int) -> None:
        data = bytearray()
        async with aclosing(reader) as entries:
            async for entry in entries:
                data += entry.data
                for _ in range(pace):
                    await trio.lowlevel.checkpoint()
        got[number] = bytes(data)

    async with trio.open_nursery() as nursery:
        for _ in range(dice.randrange(1, 4)):
            for _ in range(dice.randrange(12)):
                if dice.random() < 0.4:
                    number = len(due)
                    due[number] = bytearray()
                    open_now.append(number)
                    nursery.start_soon(follow, number, attach(live), dice.choice([0, 1, 20]))
                data = bytes([dice.randrange(256)]) * dice.choice([1, 10, 5000])
                live.append("stdout", data)
                for number in open_now:
                    due[number] += data
                if dice.random() < 0.3:
                    await trio.lowlevel.checkpoint()
            live.end()
            open_now.clear()
    assert got == due
    assert held(live) == 0


async def test_closing_ends_readers_who_still_get_what_is_there(live: LiveOutput) -> None:
    reader = attach(live)
    live.append("stdout", b"last")
    live.close()
    live.append("stdout", b"too late")
    assert await collect(reader) == b"last"
    assert await collect(attach(live)) == b""


async def test_there_is_no_past_to_read(live: LiveOutput) -> None:
    with pytest.raises(OutputNotKept, match="configured logging driver does not support reading"):
        live.attach(logs=True, follow=True)
    with pytest.raises(OutputNotKept, match="log driver none"):
        live.read(follow=False)


# Who is waited for, and for how long.


async def test_who_brings_more_waits_for_the_slowest_reader_and_no_byte_is_lost(
    live: LiveOutput, clock: MockClock
) -> None:
    got: dict[str, int] = {}

    async def read(name: str, seconds: float) -> None:
        got[name] = 0
        async with aclosing(attach(live)) as entries:
            async for entry in entries:
                got[name] += len(entry.data)
                await trio.sleep(seconds)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read, "fast", 0)
        nursery.start_soon(read, "slow", _live.PATIENCE - 1)
        await wait_all_tasks_blocked()
        most = fill(live)
        for _ in range(50):
            if live.full:
                await live.wait_room()
            live.append("stdout", CHUNK)
            assert held(live) <= most
        live.end()
    assert got == dict.fromkeys(("fast", "slow"), (most + 50) * len(CHUNK))


async def test_a_reader_that_takes_nothing_is_given_up_and_told(
    live: LiveOutput, clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    stuck, other = attach(live), attach(live)
    pieces = fill(live)
    for _ in range(pieces):
        await anext(other)
    start = trio.current_time()
    with caplog.at_level(logging.WARNING, "bireme"):
        await live.wait_room()
    assert trio.current_time() - start == _live.PATIENCE
    assert not live.full
    assert "reader of container c's output takes nothing" in caplog.text
    with pytest.raises(OutputLost, match="output of container c is lost"):
        await anext(stuck)
    live.append("stdout", b"more")
    live.end()
    assert await collect(other) == b"more"
    await stuck.aclose()
    assert held(live) == 0


async def test_a_reader_that_leaves_frees_who_waits_at_once(live: LiveOutput, clock: MockClock) -> None:
    gone, unread = attach(live), attach(live)
    fill(live)
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(live.wait_room)
        await wait_all_tasks_blocked()
        await gone.aclose()
        await unread.aclose()
    assert trio.current_time() == start
    assert held(live) == 0
    assert await collect(gone) == b""


async def test_a_reader_that_nobody_has_any_more_holds_nothing_up(live: LiveOutput, clock: MockClock) -> None:
    """Its client hung up before it was answered."""
    reader = attach(live)
    fill(live)
    del reader
    gc.collect()
    await live.wait_room()
    assert trio.current_time() == 0
    assert held(live) == 0


async def test_who_still_reads_an_earlier_run_holds_up_no_later_one(live: LiveOutput) -> None:
    late = attach(live)
    pieces = fill(live)
    live.end()
    live.append("stdout", b"nobody's")
    assert not live.full
    assert len(await collect(late)) == pieces * len(CHUNK)


async def test_a_cancelled_wait_changes_nothing(live: LiveOutput, clock: MockClock) -> None:
    reader = attach(live)
    pieces = fill(live)
    with trio.move_on_after(_live.PATIENCE / 2) as scope:
        await live.wait_room()
    assert scope.cancelled_caught
    assert held(live) == pieces
    live.end()
    assert len(await collect(reader)) == pieces * len(CHUNK)


async def test_a_cancelled_reader_loses_nothing(live: LiveOutput) -> None:
    reader = attach(live)
    with trio.move_on_after(0):
        await anext(reader)
    live.append("stdout", b"1")
    with trio.move_on_after(0):
        await anext(reader)
    live.append("stdout", b"2")
    live.end()
    assert await collect(reader) == b"12"


async def test_what_is_held_is_bounded_also_of_who_does_not_wait(live: LiveOutput) -> None:
    """Small pieces count with what they cost besides their bytes."""
    stuck = attach(live)
    for _ in range(3 * _live.MOST_BYTES // len(CHUNK)):
        live.append("stdout", CHUNK)
    assert held(live) * len(CHUNK) < 2 * _live.MOST_BYTES
    with pytest.raises(OutputLost):
        await anext(stuck)
    small = attach(live)
    pieces = 0
    while not live.full:
        live.append("stdout", b"x")
        pieces += 1
    assert pieces * 100 < _live.MOST_BYTES
    await small.aclose()


# The store.


async def test_the_store_keeps_what_is_to_be_kept_only(layout: Layout) -> None:
    store = JsonLogs(layout)
    kept, passed = ContainerId(new_id()), ContainerId(new_id())
    store.options = lambda container: LogOptions(kept=container == kept)
    assert not isinstance(store.open_log(kept), LiveOutput)
    live = store.open_log(passed)
    assert isinstance(live, LiveOutput)
    assert store.open_log(passed) is live
    reader = attach(live)
    store.close_log(passed)
    assert await collect(reader) == b""
