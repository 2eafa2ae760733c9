"""The core's tests: on fakes and on the virtual clock, without root; every test that waits ends with nothing left."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from bireme_actors import Ask, ContainerActor, OnExit, Supervisor, open_supervisor
from bireme_actors.testing import Fakes

IDLE = {"creating": 0, "queued": 0, "pending": 0, "waiters": 0}
"""What a supervisor's statistics say where nobody asks or waits for anything."""


class Pending:
    """An answer still to come: ``done``, then its ``value`` or ``error``."""

    def __init__(self) -> None:
        self.done = False
        self.value: Any = None
        self.error: Exception | None = None
        self.scope = trio.CancelScope()

    async def run(self, asked: Callable[[], Awaitable[Any]]) -> None:
        with self.scope:
            try:
                self.value = await asked()
            except Exception as error:  # noqa: BLE001 - it is the test's to look at
                self.error = error
            self.done = True

    def result(self) -> Any:
        """The value; raises the error, or AssertionError where there is no answer yet."""
        assert self.done, "there is no answer yet"
        if self.error is not None:
            raise self.error
        return self.value


Later: TypeAlias = Callable[[Callable[[], Awaitable[Any]]], Pending]
AskLater: TypeAlias = Callable[[ContainerActor, Ask[Any]], Pending]
OpenCore: TypeAlias = Callable[..., AbstractAsyncContextManager[Supervisor]]


@pytest.fixture
def clock() -> MockClock:
    """All of these tests run on the virtual clock, which goes on when nothing else does."""
    return MockClock(autojump_threshold=0)


def pytest_itemcollected(item: pytest.Item) -> None:
    """A test that forgot the clock would really sleep."""
    if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.function):
        assert "clock" in item.fixturenames, f"{item.nodeid} does not take the virtual clock"


@pytest.fixture
def fakes() -> Fakes:
    """The ports in memory."""
    return Fakes()


@pytest.fixture
def later(nursery: trio.Nursery) -> Later:
    """Run something in the background of the test."""

    def start(asked: Callable[[], Awaitable[Any]]) -> Pending:
        pending = Pending()
        nursery.start_soon(pending.run, asked)
        return pending

    return start


@pytest.fixture
def ask(later: Later) -> AskLater:
    """Ask a container in the background of the test."""
    return lambda actor, message: later(lambda: actor.ref.ask(message))


@pytest.fixture
def open_core(fakes: Fakes) -> OpenCore:
    """A supervisor on the fakes. After the block, with ``on_exit`` remove, nothing is left."""

    @asynccontextmanager
    async def opened(on_exit: OnExit = OnExit.REMOVE) -> AsyncIterator[Supervisor]:
        async with open_supervisor(fakes.ports(), on_exit=on_exit) as core:
            yield core
            await wait_all_tasks_blocked()
        statistics = core.statistics()
        assert statistics | IDLE == statistics, f"still under way: {statistics}"
        if on_exit is OnExit.REMOVE:
            assert statistics["containers"] == statistics["volumes"] == 0
            assert not fakes.leftovers(), "left behind:\n" + "\n".join(fakes.leftovers())

    return opened
