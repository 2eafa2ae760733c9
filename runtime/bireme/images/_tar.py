"""A reader of tar archives that trusts nothing and forgets nothing.

The standard library's reader is made for archives one believes: it keeps extended headers of any size in memory and
cannot say which bytes it read. This one reads ustar, pax and GNU archives (long names, sparse files of all four
forms) in one pass, holds at most a header in memory, and hands every byte that is not a file's content to ``keep``,
in order, so that the archive can be put together again to the last bit (see ``_recipe``).

Rules: what a header says is checked before it is used; an error is one ``InvalidConfig``; types that carry no data
have none, whatever their size field says (as Go's reader, so as Docker).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from bireme.images._tar_headers import (
    DAMAGED,
    MOST_SEGMENTS,
    SPARSE,
    Entry,
    apply_pax,
    check_sum,
    check_text,
    decimal,
    number,
    old_segments,
    pairs,
    pax_records,
    plain_entry,
    set_segments,
)
from bireme_actors import InvalidConfig

BLOCK = 512
_READ = 1 << 18
_LONGEST_HEADER = 1 << 20
"""Most bytes of one extended header; Go's bound too."""
_MOST_HEADERS = 16
"""Most extended headers of one entry."""
_GLOBAL, _PAX, _LONG_NAME, _LONG_LINK = b"g", (b"x", b"X"), b"L", b"K"
_WITH_DATA = ("file", "label")


class Stream(Protocol):
    """Where bytes come from, read by a thread that may wait."""

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes; ``b""`` at the end."""
        ...


class Archive:
    """Iterate for the entries; take each one's content with ``content`` before the next."""

    def __init__(self, stream: Stream, keep: Callable[[bytes], None]) -> None:
        self._stream = stream
        self._keep = keep
        self._buffer = b""
        self._at = 0
        self._left = 0
        self._padding = 0

    def __iter__(self) -> Iterator[Entry]:
        while (header := self._header()) is not None:
            if header[156:157] == _GLOBAL:
                self._extended(header)
                continue
            entry = self._entry(header)
            if entry.kind != "label":
                yield entry
        self._rest()

    def content(self, limit: int) -> Iterator[bytes]:
        """The next stored bytes of the entry that was yielded last; they are not handed to ``keep``."""
        end = self._left - min(limit, self._left)
        while self._left > end:
            chunk = self._some(self._left - end)
            self._left -= len(chunk)
            yield chunk

    def _header(self) -> bytes | None:
        for chunk in self.content(self._left):
            self._keep(chunk)
        self._keep(self._take(self._padding))
        self._padding = 0
        block = self._upto(BLOCK)
        self._keep(block)
        if len(block) not in (0, BLOCK):
            raise InvalidConfig(f"{DAMAGED}: it ends in the middle of a header")
        if not block.strip(b"\0"):
            return None
        check_sum(block)
        return block

    def _entry(self, header: bytes) -> Entry:
        """The entry that begins here, with the extended headers before it."""
        pax: dict[bytes, bytes] = {}
        count = 0
        while (kind := header[156:157]) in (_LONG_NAME, _LONG_LINK, *_PAX):
            count += 1
            if count > _MOST_HEADERS:
                raise InvalidConfig(f"{DAMAGED}: more than {_MOST_HEADERS} extended headers for one entry")
            body = self._extended(header)
            if kind in _PAX:
                pax.update(pax_records(body))
            else:
                pax[b"path" if kind == _LONG_NAME else b"linkpath"] = body.partition(b"\0")[0]
            following = self._header()
            if following is None:
                raise InvalidConfig(f"{DAMAGED}: an extended header describes nothing")
            header = following
        return self._described(header, pax)

    def _extended(self, header: bytes) -> bytes:
        size = number(header[124:136], "size")
        if size > _LONGEST_HEADER:
            raise InvalidConfig(f"{DAMAGED}: an extended header of {size} bytes")
        body = self._take(size)
        self._keep(body)
        self._keep(self._take(-size % BLOCK))
        return body

    def _described(self, header: bytes, pax: dict[bytes, bytes]) -> Entry:
        entry = plain_entry(header)
        apply_pax(entry, pax)
        check_text(entry)
        if entry.kind not in _WITH_DATA:
            entry.size = 0
        self._left, self._padding = entry.size, -entry.size % BLOCK
        entry.length = entry.size
        if header[156:157] == b"S":
            self._old_sparse(entry, header)
        elif entry.kind == "file":
            self._pax_sparse(entry, pax)
        return entry

    def _old_sparse(self, entry: Entry, header: bytes) -> None:
        entry.length = number(header[483:495], "size")
        segments = old_segments(header[386:482])
        more = header[482]
        while more:
            block = self._take(BLOCK)
            self._keep(block)
            segments += old_segments(block[:504])
            more = block[504]
            if len(segments) > MOST_SEGMENTS:
                raise InvalidConfig(f"{DAMAGED}: {entry.name!r} has too many holes")
        set_segments(entry, segments)

    def _pax_sparse(self, entry: Entry, pax: dict[bytes, bytes]) -> None:
        if pax.get(SPARSE + b"major") == b"1":
            segments = self._leading_map(entry)
        elif SPARSE + b"map" in pax:
            segments = pairs([decimal(text, "map") for text in pax[SPARSE + b"map"].split(b",") if text])
        else:
            return
        length = pax.get(SPARSE + b"realsize", pax.get(SPARSE + b"size", b""))
        entry.length = decimal(length, "size")
        set_segments(entry, segments)

    def _leading_map(self, entry: Entry) -> list[tuple[int, int]]:
        """The map of form 1.0, which stands in blocks of its own before the content."""
        numbers: list[int] = []
        text = b""
        while not numbers or len(numbers) < 1 + 2 * numbers[0]:
            if self._left < BLOCK or len(text) > BLOCK or (numbers and numbers[0] > MOST_SEGMENTS):
                raise InvalidConfig(f"{DAMAGED}: the map of {entry.name!r}'s holes is not whole")
            block = self._take(BLOCK)
            self._keep(block)
            self._left -= BLOCK
            *whole, text = (text + block).split(b"\n")
            numbers += [decimal(line, "map") for line in whole]
        entry.size = self._left
        return pairs(numbers[1 : 1 + 2 * numbers[0]])

    def _rest(self) -> None:
        """What follows the end mark: part of the archive's digest, of no other meaning."""
        while chunk := self._upto(_READ):
            self._keep(chunk)

    def _take(self, size: int) -> bytes:
        data = self._upto(size)
        if len(data) < size:
            raise InvalidConfig(f"{DAMAGED}: it ends too early")
        return data

    def _upto(self, size: int) -> bytes:
        """Exactly ``size`` bytes, less only at the end."""
        end = self._at + size
        while len(self._buffer) < end:
            more = self._stream.read(_READ)
            if not more:
                break
            self._buffer = self._buffer[self._at :] + more
            self._at, end = 0, size
        data = self._buffer[self._at : end]
        self._at += len(data)
        return data

    def _some(self, limit: int) -> bytes:
        """At least one byte, at most ``limit``, without joining buffers."""
        if self._at == len(self._buffer):
            self._buffer, self._at = self._stream.read(_READ), 0
        data = self._buffer[self._at : self._at + limit]
        if not data:
            raise InvalidConfig(f"{DAMAGED}: it ends in the middle of a file")
        self._at += len(data)
        return data
