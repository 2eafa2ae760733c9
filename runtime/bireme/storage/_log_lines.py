"""The format of ``log.jsonl``: one JSON object a line, ``time`` in nanoseconds, ``stream``, and the bytes.

``data`` holds them where they are UTF-8 text, ``base64`` where they are not. A line that cannot be read (the engine
was killed while it wrote) is passed over.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec

_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A piece of output, as it was read from the process."""

    stream: str
    """``stdout`` or ``stderr``."""
    time: int
    """Nanoseconds since the epoch."""
    data: bytes


class Line(msgspec.Struct, omit_defaults=True):
    """A line of the file."""

    time: int
    stream: str
    data: str = ""
    base64: str = ""

    @classmethod
    def of(cls, entry: LogEntry) -> bytes:
        """The line of an entry, with its end."""
        try:
            line = cls(entry.time, entry.stream, entry.data.decode())
        except UnicodeDecodeError:
            line = cls(entry.time, entry.stream, "", b64encode(entry.data).decode())
        return _encode(line) + b"\n"

    def entry(self) -> LogEntry:
        return LogEntry(self.stream, self.time, b64decode(self.base64) if self.base64 else self.data.encode())


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Line)


def decode(lines: bytes) -> list[LogEntry]:
    """The entries of whole lines."""
    try:
        return [line.entry() for line in _decoder.decode_lines(lines)]
    except (msgspec.DecodeError, ValueError):
        return [entry for line in lines.split(b"\n") if (entry := _decode_one(line)) is not None]


def _decode_one(line: bytes) -> LogEntry | None:
    try:
        return _decoder.decode(line).entry()
    except (msgspec.DecodeError, ValueError):
        return None


Read = Callable[[int, int], bytes]
"""Reads at most so many bytes from an offset on: ``partial(os.pread, fd)``."""


def read_lines(read: Read, offset: int, end: int, size: int) -> tuple[list[LogEntry], int]:
    """The entries of the whole lines in about ``size`` bytes from ``offset``, and the offset behind them."""
    block = read(min(size, end - offset), offset)
    while (cut := block.rfind(b"\n") + 1) == 0:
        more = read(min(size, end - offset - len(block)), offset + len(block))
        if not more:
            return decode(block), end
        block += more
    return decode(block[:cut]), offset + cut


def find_tail(read: Read, start: int, end: int, lines: int) -> tuple[int, int]:
    """Where the last ``lines`` lines of output between two offsets begin: an entry's offset, and how many bytes of it
    are not wanted.

    Output is cut into entries anywhere, so lines are counted by their ends; each stream's last may lack it.
    """
    begun: set[str] = set()
    for offset, line in _backwards(read, start, end):
        entry = _decode_one(line)
        if entry is None:
            continue
        ends = entry.data.count(b"\n")
        if entry.stream not in begun:
            begun.add(entry.stream)
            ends += not entry.data.endswith(b"\n")
        if ends > lines:
            cut = len(entry.data) - len(entry.data.split(b"\n", ends - lines)[-1])
            return (offset, cut) if cut < len(entry.data) else (offset + len(line) + 1, 0)
        lines -= ends
    return start, 0


def _whole(read: Read, size: int, offset: int) -> bytes:
    """Exactly so many bytes, where they are in several files; fewer if some are gone."""
    data = read(size, offset)
    while len(data) < size and (more := read(size - len(data), offset + len(data))):
        data += more
    return data


def _backwards(read: Read, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Lines, the last first, with their offsets."""
    head = b""
    while end > start:
        size = min(max(_BLOCK, len(head)), end - start)
        end -= size
        first, *others = (_whole(read, size, end) + head).split(b"\n")
        offset = end + len(first) + 1 + sum(map(len, others)) + len(others)
        for line in reversed(others):
            offset -= len(line) + 1
            if line:
                yield offset, line
        head = first
    if head:
        yield start, head
