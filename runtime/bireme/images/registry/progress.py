"""The steps of a pull or push as Docker's clients know them: a line a layer, rewritten, and lines that stay."""

from __future__ import annotations

from collections.abc import Mapping

import trio

from bireme.images._removal import short
from bireme.images.model import Progress, ProgressEvent

_EVERY = 0.1


def say(progress: Progress, text: str, name: str = "") -> None:
    """A line that stays."""
    progress(ProgressEvent(status=text, id=name))


def tell_result(progress: Progress, result: Mapping[str, object]) -> None:
    """What programs want to know of a push."""
    progress(ProgressEvent(status="", line=True, aux=result))


class LayerLine:
    """The line of one layer. For the event loop's thread."""

    def __init__(self, progress: Progress, digest: str) -> None:
        self._progress = progress
        self.name = short(digest)
        self._due = 0.0

    def show(self, status: str) -> None:
        """Say what happens to the layer now."""
        self._progress(ProgressEvent(status=status, id=self.name, line=True))

    def count(self, status: str, current: int, total: int) -> None:
        """So many bytes of so many; ten times a second at most, but for the last."""
        now = trio.current_time()
        if now >= self._due or current >= total:
            self._due = now + _EVERY
            self._progress(ProgressEvent(status=status, id=self.name, current=current, total=total, line=True))
