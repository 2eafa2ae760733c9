"""One task that looks after the outputs that say nothing."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from bireme.drivers.readiness import open_readiness

Pipe = tuple[int, int]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """(reading end, writing end)."""
    ends = os.pipe()
    yield ends
    for fd in ends:
        os.close(fd)


async def woken(events: list[trio.Event]) -> None:
    with trio.fail_after(10):
        for event in events:
            await event.wait()


async def test_who_has_news_is_woken_once_and_nobody_else(pipe: Pipe) -> None:
    quiet = os.pipe()
    async with open_readiness() as readiness:
        news, silence = trio.Event(), trio.Event()
        readiness.watch(quiet[0], silence.set)
        readiness.watch(pipe[0], news.set)
        os.write(pipe[1], b"x")
        await woken([news])
        assert readiness.statistics() == {"watched": 1}
        await wait_all_tasks_blocked()  # what is left unread keeps nobody busy
        assert not silence.is_set()
    for fd in quiet:
        os.close(fd)


async def test_who_has_been_woken_is_held_no_longer(pipe: Pipe) -> None:
    """Else the last one would keep its container's log open."""
    async with open_readiness() as readiness:
        news = trio.Event()
        left = weakref.ref(news)
        readiness.watch(pipe[0], news.set)
        os.write(pipe[1], b"x")
        await woken([news])
        del news
        assert left() is None


async def test_the_end_is_news(pipe: Pipe) -> None:
    reading, writing = os.pipe()
    async with open_readiness() as readiness:
        end = trio.Event()
        readiness.watch(reading, end.set)
        os.close(writing)
        await woken([end])
    os.close(reading)


async def test_what_was_there_before_is_news(pipe: Pipe) -> None:
    os.write(pipe[1], b"x")
    async with open_readiness() as readiness:
        news = trio.Event()
        readiness.watch(pipe[0], news.set)
        await woken([news])


async def test_who_is_forgotten_sleeps_on_though_others_hold_the_pipe(pipe: Pipe) -> None:
    reading = os.dup(pipe[0])
    async with open_readiness() as readiness:
        news, other = trio.Event(), trio.Event()
        readiness.watch(reading, news.set)
        readiness.forget(reading)
        readiness.forget(reading)
        os.close(reading)
        os.write(pipe[1], b"x")
        readiness.watch(pipe[0], other.set)
        await woken([other])
        assert not news.is_set()
        assert readiness.statistics() == {"watched": 0}


async def test_cancelled_it_is_there_until_the_block_is_left_and_then_nothing_is(pipe: Pipe) -> None:
    descriptors = os.listdir("/proc/self/fd")
    news = trio.Event()
    with trio.CancelScope() as scope:
        async with open_readiness() as readiness:
            readiness.watch(pipe[0], news.set)
            scope.cancel()
            with trio.CancelScope(shield=True):
                os.write(pipe[1], b"x")
                await woken([news])
            readiness.watch(pipe[0], news.set)
            await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    readiness.forget(pipe[0])
    assert readiness.statistics() == {"watched": 0}
    assert os.listdir("/proc/self/fd") == descriptors


async def test_what_the_block_raises_leaves_unwrapped() -> None:
    with pytest.raises(ValueError, match="mine"):
        async with open_readiness():
            raise ValueError("mine")
