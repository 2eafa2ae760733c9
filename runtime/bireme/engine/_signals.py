"""Signals as users write them: ``TERM``, ``SIGTERM``, ``15``, ``RTMIN+3``."""

from __future__ import annotations

import re
import signal
from functools import lru_cache

from bireme_actors import InvalidConfig

_REAL_TIME = re.compile(r"RT(MIN|MAX)([+-]\d+)?")


def parse_signal(value: str | int) -> int:
    """The signal's number, 1 to 64. Raises InvalidConfig."""
    text = str(int(value) if isinstance(value, int) else value).strip().upper().removeprefix("SIG")
    number = int(text) if text.isascii() and text.isdigit() else _named(text)
    if number is None or not 1 <= number <= 64:
        raise InvalidConfig(f"Invalid signal: {value}")
    return number


@lru_cache(maxsize=128)
def _named(name: str) -> int | None:
    real_time = _REAL_TIME.fullmatch(name)
    if real_time:
        base = signal.SIGRTMIN if real_time[1] == "MIN" else signal.SIGRTMAX
        number = int(base) + int(real_time[2] or 0)
        return number if signal.SIGRTMIN <= number <= signal.SIGRTMAX else None
    found = signal.Signals.__members__.get(f"SIG{name}")
    return int(found) if found is not None else None


def signal_name(number: int) -> str:
    """``SIGTERM`` for 15; the number itself where it has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
