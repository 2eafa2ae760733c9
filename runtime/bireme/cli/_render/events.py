"""An event as one line of text. Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NANO = 10**9


def event_line(event: dict[str, Any]) -> str:
    """``2026-11-24T17:19:36.123456789Z container create ID (image=busybox, name=x)``, in local time."""
    actor = event.get("Actor") or {}
    nanos = int(event.get("timeNano") or int(event.get("time") or 0) * _NANO)
    attributes = ", ".join(f"{key}={value}" for key, value in sorted((actor.get("Attributes") or {}).items()))
    line = f"{stamp(nanos)} {event.get('Type', '')} {event.get('Action', '')} {actor.get('ID', '')}"
    return f"{line} ({attributes})\n" if attributes else f"{line}\n"


def stamp(nanos: int) -> str:
    """A moment as RFC 3339 has it, all nine digits, with the zone's offset (``Z`` for none)."""
    import time

    seconds, rest = divmod(nanos, _NANO)
    local = time.localtime(seconds)
    offset = time.strftime("%z", local)
    zone = "Z" if offset in ("+0000", "") else f"{offset[:3]}:{offset[3:]}"
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{rest:09d}{zone}"
