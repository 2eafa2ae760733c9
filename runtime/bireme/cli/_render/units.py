"""Sizes, spans and moments as people read them, in Docker's words. Pure."""

from __future__ import annotations

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_MINUTE, _HOUR = 60, 3600
_SHORT = 12


def human_size(size: float, digits: int = 4) -> str:
    """``1994568`` → ``1.995MB``: powers of 1000, ``digits`` significant."""
    return _scaled(size, 1000.0, _DECIMAL, digits)


def binary_size(size: float) -> str:
    """``1048576`` → ``1MiB``: powers of 1024, four digits."""
    return _scaled(size, 1024.0, _BINARY, 4)


def _scaled(size: float, base: float, units: tuple[str, ...], digits: int) -> str:
    index = 0
    # Rounding may reach the next unit: 999.95 is 1kB, not 1000B.
    while float(f"{size:.{digits}g}") >= base and index < len(units) - 1:
        size /= base
        index += 1
    return f"{float(f'{size:.{digits}g}'):.10g}{units[index]}"


def human_duration(seconds: float) -> str:
    """``7300`` → ``2 hours``; Docker's words and its roundings."""
    if seconds < 1:
        return "Less than a second"
    if seconds < _MINUTE:
        return _count(int(seconds), "second")
    minutes = int(seconds / _MINUTE)
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = int(seconds / _HOUR + 0.5)
    if hours == 1:
        return "About an hour"
    return _long_duration(hours)


def _long_duration(hours: int) -> str:
    if hours < 48:
        return f"{hours} hours"
    days = hours // 24
    if days < 14:
        return f"{days} days"
    if days < 60:
        return f"{days // 7} weeks"
    if days < 730:
        return f"{days // 30} months"
    return f"{days // 365} years"


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def ago(then: float, now: float) -> str:
    """How long ago a moment was; ``N/A`` for one that never was."""
    return f"{human_duration(max(now - then, 0))} ago" if then > 0 else "N/A"


def local_time(moment: float) -> str:
    """A moment as Go prints times: ``2026-11-24 17:19:36 +0000 UTC``."""
    import time

    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(moment))


def stamp(seconds: int, nanos: int | None = None) -> str:
    """A moment as RFC 3339 has it in local time, with all nine digits if they are given; no offset is ``Z``."""
    import time

    local = time.localtime(seconds)
    offset = time.strftime("%z", local)
    zone = "Z" if offset in ("+0000", "") else f"{offset[:3]}:{offset[3:]}"
    fraction = "" if nanos is None else f".{nanos:09d}"
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}{fraction}{zone}"


def moment_of(text: str) -> float:
    """An API's time (RFC 3339) in seconds since 1970; 0 for none (Go's year 1) and for what is no time."""
    from datetime import datetime

    if not text or text.startswith("0001-"):
        return 0.0
    head, _, fraction = text.replace("Z", "+00:00").partition(".")
    digits = fraction[: len(fraction) - len(fraction.lstrip("0123456789"))]
    try:
        return datetime.fromisoformat(head + fraction[len(digits) :]).timestamp() + float(f"0.{digits or 0}")
    except ValueError:
        return 0.0


def short_id(identifier: str) -> str:
    """The first twelve digits, without an algorithm's name."""
    return identifier.removeprefix("sha256:")[:_SHORT]


def ellipsis(text: str, width: int) -> str:
    """``text`` cut to ``width`` characters, the last of them ``…`` where something was cut."""
    return text if len(text) <= width else text[: width - 1] + "…"
