"""Moments and spans in Docker's words. Pure.

Inside, a moment is nanoseconds since the epoch, 0 where it has not happened.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from bireme_actors import InvalidConfig

Nanoseconds = int

SECOND = 1_000_000_000
_ZERO = "0001-01-01T00:00:00Z"
_MINUTE, _HOUR = 60, 3600
_UNIX = re.compile(r"(-?\d{1,12})(?:\.(\d{1,9})\d*)?")
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def rfc3339(moment: Nanoseconds) -> str:
    """``2026-11-24T17:19:36.5Z``: nanoseconds without trailing zeros, Go's zero time for 0."""
    if not moment:
        return _ZERO
    rest = moment % SECOND
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{_to_second(moment)}{fraction}Z"


def rfc3339_fixed(moment: Nanoseconds) -> str:
    """The same with all nine digits: columns of a log stay aligned."""
    return f"{_to_second(moment)}.{moment % SECOND:09d}Z"


def _to_second(moment: Nanoseconds) -> str:
    return datetime.fromtimestamp(moment // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def parse_moment(text: str, now: Nanoseconds) -> Nanoseconds:
    """``since``, ``until``: a Unix time with a fraction, a span before ``now``, or RFC 3339. Raises InvalidConfig."""
    if text in ("", "0"):
        return 0
    unix = _UNIX.fullmatch(text)
    if unix:
        return int(unix[1]) * SECOND + int((unix[2] or "").ljust(9, "0"))
    spans = _SPAN.findall(text)
    if spans and "".join(number + unit for number, unit in spans) == text:
        return now - int(sum(float(number) * _UNITS[unit] for number, unit in spans) * SECOND)
    return _parse_date(text)


def _parse_date(text: str) -> Nanoseconds:
    try:
        found = datetime.fromisoformat(text)
        return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * SECOND)
    except (ValueError, OverflowError):
        raise InvalidConfig(f"invalid time {text!r}: give seconds since 1970, RFC 3339, or a span as 10m") from None


def span(seconds: float) -> str:
    """``7300`` → ``2 hours``: Docker's words and roundings."""
    if seconds < 1:
        return "Less than a second"
    if seconds < _MINUTE:
        return "1 second" if int(seconds) == 1 else f"{int(seconds)} seconds"
    minutes = int(seconds / _MINUTE)
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    return _long_span(int(seconds / _HOUR + 0.5))


def _long_span(hours: int) -> str:
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    days = hours // 24
    if days < 14:
        return f"{days} days"
    if days < 60:
        return f"{days // 7} weeks"
    return f"{days // 30} months" if days < 730 else f"{days // 365} years"
