"""Columns lined up by tabs, as Go's ``tabwriter`` does it. Pure.

A cell ends with a tab; a column is what consecutive lines share. The text after a line's last tab belongs to none.
"""

from __future__ import annotations

MINIMUM = 10
PADDING = 3


def align(source: str, *, minimum: int = MINIMUM) -> str:
    """``source`` with its tabs turned into spaces: columns at least ``minimum`` wide, PADDING between them."""
    lines = [line.split("\t") for line in source.split("\n")]
    widths: list[list[int]] = [[0] * (len(cells) - 1) for cells in lines]
    _measure(lines, widths, 0, len(lines), 0, minimum)
    rows = []
    for cells, columns in zip(lines, widths, strict=True):
        padded = [cell.ljust(width) for cell, width in zip(cells[:-1], columns, strict=True)]
        rows.append("".join(padded) + cells[-1])
    return "\n".join(rows)


def _measure(lines: list[list[str]], widths: list[list[int]], first: int, last: int, column: int, minimum: int) -> None:
    """Width of ``column`` in each run of lines between ``first`` and ``last`` that have it, then of the next."""
    index = first
    while index < last:
        start = index
        while index < last and len(lines[index]) - 1 > column:
            index += 1
        if index == start:
            index += 1
            continue
        longest = max(len(lines[row][column]) for row in range(start, index))
        # A column of nothing but empty cells takes no room.
        width = max(longest + PADDING, minimum) if longest else 0
        for row in range(start, index):
            widths[row][column] = width
        _measure(lines, widths, start, index, column + 1, minimum)
