"""Failures, delays, holds and crash points, to be set by a test and met by the fakes.

Theory of operation. Every operation of a fake goes through ``Faults.perform``: first come the delay, the hold and the
failure that a test has set for the operation's name, then the effect, all at once and without a checkpoint. So a fake
keeps the ports' cancellation contract by construction: cancelled or failed, an operation has had no effect.

A *crash* is the end of the machine rather than of an operation: from that point on nothing has an effect any more, not
even undoing, until ``revive``. What the stores hold then is what a disk would hold.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from typing import TypeVar

import trio

T = TypeVar("T")


class Crash(Exception):
    """The machine has stopped at a crash point; nothing more has an effect. Not a BiremeError: nobody handles it."""


class Hold:
    """An operation held in the middle: ``entered`` is set once it is there, ``release`` lets it go on."""

    def __init__(self, only: Callable[[str], bool]) -> None:
        self.only = only
        self.entered = trio.Event()
        self._released = trio.Event()

    def release(self) -> None:
        """Let the operation go on, and all later ones of its name."""
        self._released.set()

    async def wait(self) -> None:
        """For the fakes: stand here until released or cancelled."""
        self.entered.set()
        await self._released.wait()


class Faults:
    """What is to go wrong, by the name of the operation (``"driver.start"``, ``"containers.create"``, ...).

    ``calls`` lists every operation that was begun, with its subject (an identifier), in order.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.dead = False
        self._errors: defaultdict[str, deque[Exception]] = defaultdict(deque)
        self._delays: dict[str, float] = {}
        self._holds: dict[str, Hold] = {}
        self._crashes: set[tuple[str, bool]] = set()

    def fail(self, operation: str, error: Exception, *, times: int = 1) -> None:
        """The next ``times`` calls of the operation raise ``error``."""
        self._errors[operation].extend([error] * times)

    def delay(self, operation: str, seconds: float) -> None:
        """From now on the operation takes that long."""
        self._delays[operation] = seconds

    def hold(self, operation: str, only: Callable[[str], bool] = lambda subject: True) -> Hold:
        """From now on the operation waits until the hold is released; of the subjects that ``only`` says."""
        self._holds[operation] = Hold(only)
        return self._holds[operation]

    def crash(self, operation: str, *, after: bool = False) -> None:
        """The machine stops when the operation is called next, before its effect or right ``after`` it."""
        self._crashes.add((operation, after))

    def revive(self) -> None:
        """The machine runs again, and nothing is set to go wrong."""
        self.dead = False
        for faults in (self._errors, self._delays, self._holds, self._crashes):
            faults.clear()

    def called(self, operation: str) -> list[str]:
        """The subjects of every call of an operation so far."""
        return [subject for name, subject in self.calls if name == operation]

    async def perform(self, operation: str, subject: str, effect: Callable[[], T]) -> T:
        """For the fakes: do one operation. Cancelled: it has had no effect."""
        self.calls.append((operation, subject))
        await trio.lowlevel.checkpoint()
        if self._delays:
            await trio.sleep(self._delays.get(operation, 0))
        if operation in self._holds and self._holds[operation].only(subject):
            await self._holds[operation].wait()
        return self._have_effect(operation, effect)

    def perform_now(self, operation: str, subject: str, effect: Callable[[], T]) -> T:
        """For the fakes: do one operation that takes no time, so that delays and holds of it mean nothing."""
        self.calls.append((operation, subject))
        return self._have_effect(operation, effect)

    def _have_effect(self, operation: str, effect: Callable[[], T]) -> T:
        self._point(operation, False)
        if self._errors.get(operation):
            raise self._errors[operation].popleft()
        result = effect()
        self._point(operation, True)
        return result

    def _point(self, operation: str, after: bool) -> None:
        if (operation, after) in self._crashes:
            self.dead = True
        if self.dead:
            raise Crash(f"the machine has stopped {'after' if after else 'at'} {operation}")
