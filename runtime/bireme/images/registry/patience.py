"""How often what failed is tried again, and how long is waited before: bounded, and longer each time."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio

TRANSIENT = frozenset((408, 425, 429, 500, 502, 503, 504))
"""Statuses after which the same request may well succeed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """``attempts`` in all; before the second ``first`` seconds are waited, doubled each time, at most ``most``.

    What the registry asks for by ``Retry-After`` counts, up to ``longest``.
    """

    attempts: int = 6
    first: float = 0.5
    most: float = 15.0
    longest: float = 60.0
    sleep: Callable[[float], Awaitable[object]] = trio.sleep

    def delay(self, failures: int, asked: float = 0.0) -> float | None:
        """Seconds to wait after that many failures in a row; None to give up."""
        if failures >= self.attempts or asked > self.longest:
            return None
        return max(min(self.first * (1 << (failures - 1)), self.most), asked)


PATIENCE = Patience()


def retry_after(value: str | None) -> float:
    """The seconds that ``Retry-After`` asks for (a number, or a date); 0 if it asks for nothing."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return 0.0
