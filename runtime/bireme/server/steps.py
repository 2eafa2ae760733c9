"""Progress on its way to a client: as Docker's JSON, and a box that a client's slowness cannot fill.

Of counts that a client has not taken yet only the latest matters, so the box holds one for each line; everything else
is kept in order.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from bireme.engine import ProgressEvent

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_BAR = 50


def progress_document(event: ProgressEvent) -> dict[str, Any]:
    """One step as Docker's clients draw it."""
    found: dict[str, Any] = {"status": event.status} if event.status else {}
    if event.id:
        found["id"] = event.id
    if event.line or event.current or event.total:
        counts = {"current": event.current, "total": event.total}
        found["progressDetail"] = {name: count for name, count in counts.items() if count}
    if event.line and event.current:
        found["progress"] = bar(event.current, event.total)
    if event.aux is not None:
        found["aux"] = event.aux
    return found


def bar(current: int, total: int) -> str:
    """``[=====>     ]  1.1MB/10MB``, as Docker's engine draws it for clients that do not draw."""
    if total <= 0:
        return f"{human_size(current):>8}"
    done = min(current * 100 // total // 2, _BAR)
    of = "" if current > total else f"/{human_size(total)}"
    return f"[{'=' * done}>{' ' * (_BAR - done)}] {human_size(current):>8}{of}"


def human_size(size: float) -> str:
    """Powers of 1000, four digits."""
    index = 0
    while size >= 1000 and index < len(_UNITS) - 1:
        size /= 1000
        index += 1
    return f"{size:.4g}{_UNITS[index]}"


class Outbox:
    """Filled from the event loop's thread without waiting, emptied by one reader."""

    def __init__(self) -> None:
        self._waiting: dict[object, dict[str, Any]] = {}
        self._changed = trio.Event()
        self._closed = False

    def put(self, event: ProgressEvent) -> None:
        """Add a step; an earlier count of the same line that still waits is replaced."""
        key: object = (event.id, event.status) if event.current else object()
        self._waiting[key] = progress_document(event)
        self._changed.set()

    def close(self) -> None:
        """Nothing more comes."""
        self._closed = True
        self._changed.set()

    async def wait(self) -> bool:
        """Until there is a step to take; False if none will ever come."""
        while not self._waiting and not self._closed:
            await self._changed.wait()
            self._changed = trio.Event()
        return bool(self._waiting)

    async def steps(self) -> AsyncGenerator[dict[str, Any]]:
        """Every step, until nothing more comes. Close it (``aclosing``) when reading ends early."""
        while await self.wait():
            yield self._waiting.pop(next(iter(self._waiting)))
