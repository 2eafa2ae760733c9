"""Outputs that say nothing: one task looks after all of them, until there is something to read.

Theory of operation. The kernel keeps the set (epoll), and the task waits for the whole of it as for one descriptor. An
output leaves the set with its first news: whoever is woken reads it himself from then on. It has to leave before its
descriptor is closed too, as the launcher has copies of it: what is open somewhere stays in the kernel's set.
"""

from __future__ import annotations

import select
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio


class Readiness:
    """Who is to be woken by which descriptor; made by ``open_readiness``, alive inside its block only."""

    def __init__(self, epoll: select.epoll) -> None:
        self._epoll = epoll
        self._wakes: dict[int, Callable[[], object]] = {}

    def __repr__(self) -> str:
        return f"<Readiness: {self.statistics()}>"

    def statistics(self) -> dict[str, int]:
        """How many descriptors are ``watched``."""
        return {"watched": len(self._wakes)}

    def watch(self, fd: int, wake: Callable[[], object]) -> None:
        """Call ``wake``, once, as soon as there is something to read or the end; it must not raise."""
        self._epoll.register(fd, select.EPOLLIN)
        self._wakes[fd] = wake

    def forget(self, fd: int) -> None:
        """Nobody is to be woken any more; to be called before the descriptor is closed. Idempotent."""
        if self._wakes.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    async def run(self) -> None:
        """The service task. Cancelled: nobody is woken any more, and all are forgotten."""
        try:
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                for fd, _ in self._epoll.poll(0):
                    self._wake(fd)
        finally:
            self._wakes.clear()

    def _wake(self, fd: int) -> None:
        wake = self._wakes[fd]
        self.forget(fd)
        wake()


@asynccontextmanager
async def open_readiness() -> AsyncIterator[Readiness]:
    """For the length of the block: cancelled, it is there until the block has been left.

    What the block raises leaves unwrapped.
    """
    failure: BaseException | None = None
    with select.epoll() as epoll:
        async with trio.open_nursery() as nursery:
            readiness, running = Readiness(epoll), trio.CancelScope(shield=True)
            nursery.start_soon(_run, readiness, running)
            try:
                yield readiness
            except BaseException as error:  # noqa: BLE001 - raised again once the task has ended
                failure = error
            running.cancel()
    if failure is not None:
        raise failure


async def _run(readiness: Readiness, running: trio.CancelScope) -> None:
    with running:
        await readiness.run()
