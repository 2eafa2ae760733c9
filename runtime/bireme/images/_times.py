"""RFC 3339 times, to the nanosecond as Go writes them. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9})\d*)?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000_000


def parse_time(text: str) -> int:
    """Nanoseconds since the epoch; 0 for Go's zero time and for what is not a time."""
    match = _TIME.fullmatch(text)
    if match is None:
        return 0
    try:
        year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
        moment = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError:
        return 0
    offset = int(match[9] or 0) * 60 + int(match[10] or 0)
    minutes = offset if match[8] == "-" else -offset
    seconds = (moment - _EPOCH) // timedelta(seconds=1) + minutes * 60
    return max(0, seconds * _SECOND + int((match[7] or "").ljust(9, "0")))


def format_time(nanoseconds: int) -> str:
    """``2026-01-02T03:04:05.000000006Z``; Go's way, without trailing zeros."""
    seconds, rest = divmod(nanoseconds, _SECOND)
    moment = _EPOCH + timedelta(seconds=seconds)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"
