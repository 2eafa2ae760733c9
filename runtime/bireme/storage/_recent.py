"""The last entries of a log, kept in memory, with their places in the file.

Entries are numbered in the order of their coming, from 0 for the first one that this engine has seen.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

from bireme.storage._log_lines import LogEntry

BEFORE = -1
"""The number of an entry of which only the offset is known: it comes before all that are kept."""


class Recent:
    """A queue of entries, bounded in bytes."""

    def __init__(self, offset: int) -> None:
        """``offset`` is where in the file the next entry begins."""
        self._entries: deque[tuple[LogEntry, int]] = deque()
        self.begin = offset
        """File offset of the oldest entry kept."""
        self.bytes = 0
        self.count = 0
        """How many have come; the number of the next."""

    @property
    def first(self) -> int:
        """The number of the oldest entry kept."""
        return self.count - len(self._entries)

    def add(self, entry: LogEntry, after: int, bound: int) -> None:
        """Keep an entry behind which the file goes on at ``after``, and no more than ``bound`` bytes together."""
        self.count += 1
        self._entries.append((entry, after))
        self.bytes += len(entry.data)
        while self.bytes > bound:
            oldest, self.begin = self._entries.popleft()
            self.bytes -= len(oldest.data)

    def take(self, number: int, stop: int) -> tuple[list[LogEntry], int]:
        """The entries from ``number`` up to before ``stop``, at least one, and the file offset behind them."""
        taken = list(islice(self._entries, number - self.first, stop - self.first))
        return [entry for entry, _ in taken], taken[-1][1]

    def number_at(self, offset: int) -> int:
        """The number of the entry that begins at a file offset; ``BEFORE`` if it is not kept."""
        number, begin = self.first, self.begin
        for _, after in self._entries:
            if begin >= offset:
                break
            number, begin = number + 1, after
        return number if begin == offset else BEFORE
