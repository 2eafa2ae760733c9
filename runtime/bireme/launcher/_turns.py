"""Of the starts that are asked for at once, a few are under way at a time: the rest wait for their turn.

More than keep the processors busy make none of them ready sooner.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from bireme.launcher._loop import Loop

PATIENCE = 0.05
"""Seconds after which one that is still under way, hanging somewhere in the kernel, is in nobody's way any more."""


class Turns:
    """Who is under way, and who waits, in the order in which they came."""

    def __init__(self, loop: Loop, most: int = 0) -> None:
        """At most ``most`` at a time; 0: one for each processor, and one that is on its way to one."""
        self._loop = loop
        self._most = most or len(os.sched_getaffinity(0)) + 1
        self._waiting: dict[int, Callable[[], None]] = {}
        self._under_way: dict[int, float] = {}
        """Since when; for one that has been so for longer than PATIENCE, another may begin."""

    def take(self, request_id: int, begin: Callable[[], None]) -> None:
        """Call ``begin``, now or as soon as there is room; it says by ``began`` if something is under way then."""
        self._waiting[request_id] = begin
        self._go_on()

    def began(self, number: int) -> None:
        """What has the ``number`` is under way."""
        self._under_way[number] = time.monotonic()

    def over(self, number: int) -> None:
        """It is no more, one way or the other."""
        self._under_way.pop(number, None)
        self._go_on()

    def withdraw(self, request_id: int) -> bool:
        """Whether it still waited; it never begins then."""
        return self._waiting.pop(request_id, None) is not None

    def clear(self) -> None:
        """Nobody waits any longer."""
        self._waiting.clear()

    def _go_on(self) -> None:
        while self._waiting and self._has_room():
            first = next(iter(self._waiting))
            self._waiting.pop(first)()
        if self._waiting:
            self._loop.call_later(PATIENCE, self._go_on)

    def _has_room(self) -> bool:
        long_ago = time.monotonic() - PATIENCE
        return sum(since > long_ago for since in self._under_way.values()) < self._most
