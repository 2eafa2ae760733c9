"""An event as one line of text. Pure."""

from __future__ import annotations

from bireme.cli._render.units import stamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NANO = 10**9


def event_line(event: dict[str, Any]) -> str:
    """``2026-11-24T17:19:36.123456789Z container create ID (image=busybox, name=x)``, in local time."""
    actor = event.get("Actor") or {}
    nanos = int(event.get("timeNano") or int(event.get("time") or 0) * _NANO)
    attributes = ", ".join(f"{key}={value}" for key, value in sorted((actor.get("Attributes") or {}).items()))
    words = stamp(nanos // _NANO, nanos % _NANO), event.get("Type", ""), event.get("Action", ""), actor.get("ID", "")
    line = " ".join(map(str, words))
    return f"{line} ({attributes})\n" if attributes else f"{line}\n"
