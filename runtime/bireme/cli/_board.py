"""Progress as Docker's command draws it: a line for each layer, rewritten where it stands, and lines that stay.

On a terminal the cursor goes up to a layer's line and down again; elsewhere counts are left out, and only what happens
is told.
"""

from __future__ import annotations

from bireme.cli import _terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

_CLEAR = "\x1b[2K\r"
_BAR = 50
_WIDE = 110
"""Columns from which on there is room for a bar."""


class Board:
    """``show`` takes the objects of a progress stream, ``end`` leaves the terminal as it should be."""

    def __init__(self, out: TextIO, columns: int | None = None) -> None:
        self._out = out
        self._terminal = out.isatty()
        self._wide = (_terminal.size()[1] if columns is None else columns) > _WIDE
        self._lines: dict[str, int] = {}
        self._open = False
        """Whether the last line is one that the next may take the place of."""

    def show(self, value: dict[str, Any]) -> None:
        """One step."""
        name, detail = str(value.get("id") or ""), value.get("progressDetail")
        text = f"{name}: {value['status']}" if name else str(value["status"])
        if not self._terminal:
            if not detail:
                self._write(f"{text}\n")
        elif detail is None:
            self._stay(text)
        elif name:
            self._rewrite(name, f"{text} {_counts(detail, wide=self._wide)}".rstrip())
        else:
            self._write(f"{_CLEAR}{text} {_counts(detail, wide=self._wide)}")
            self._open = True

    def end(self) -> None:
        """Take away a line that was to be rewritten."""
        if self._open:
            self._write(_CLEAR)
            self._open = False

    def _stay(self, text: str) -> None:
        self.end()
        self._lines.clear()
        self._write(f"{text}\n")

    def _rewrite(self, name: str, text: str) -> None:
        self.end()
        if name not in self._lines:
            self._lines[name] = len(self._lines)
            self._write("\n")
        up = len(self._lines) - self._lines[name]
        self._write(f"\x1b[{up}A{_CLEAR}{text}\r\x1b[{up}B")

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def _counts(detail: dict[str, Any], *, wide: bool) -> str:
    from bireme.cli._render.units import human_size

    current, total = int(detail.get("current") or 0), int(detail.get("total") or 0)
    if current <= 0 and total <= 0:
        return ""
    if total <= 0:
        return human_size(current)
    numbers = human_size(current) if current > total else f"{human_size(current)}/{human_size(total)}"
    if not wide:
        return numbers
    done = min(current * 100 // total // 2, _BAR)
    return f"[{'=' * done}>{' ' * (_BAR - done)}] {numbers:>15}"
