"""A reader of tar archives that trusts nothing and forgets nothing.

The standard library's reader is made for archives one believes: it keeps extended headers of any size in memory and
cannot say which bytes it read. This one reads ustar, pax and GNU archives (long names, sparse files of all four
forms) in one pass, holds at most a header in memory, and hands every byte that is not a file's content to ``keep``,
in order, so that the archive can be put together again to the last bit (see ``_recipe``).

Rules: what a header says is checked before it is used; an error is one ``InvalidConfig``; types that carry no data
have none, whatever their size field says (as Go's reader, so as Docker).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from bireme_actors import InvalidConfig

BLOCK = 512
_READ = 1 << 18
_LONGEST_HEADER = 1 << 20
"""Most bytes of one extended header; Go's bound too."""
_MOST_SEGMENTS = 1 << 18
_MOST_HEADERS = 16
"""Most extended headers of one entry."""
_GLOBAL, _PAX, _LONG_NAME, _LONG_LINK = b"g", (b"x", b"X"), b"L", b"K"
_KINDS = {
    b"0": "file", b"\0": "file", b"7": "file", b"S": "file", b"1": "link", b"2": "symlink", b"3": "char",
    b"4": "block", b"5": "directory", b"6": "fifo", b"V": "label",
}  # fmt: skip
_WITH_DATA = {"file", "label"}
_XATTR = b"SCHILY.xattr."
_SPARSE = b"GNU.sparse."
_DECIMAL = re.compile(rb"-?[0-9]{1,20}")
_TIME = re.compile(rb"(-?)([0-9]{1,20})(?:\.([0-9]*))?")
_DAMAGED = "the archive is damaged"


class Stream(Protocol):
    """Where bytes come from, read by a thread that may wait."""

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes; ``b""`` at the end."""
        ...


@dataclass(slots=True)
class Entry:
    """One member of an archive, as its headers describe it."""

    name: str
    """As written; bytes that are not UTF-8 as Python's file functions take them."""
    kind: str
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    """Nanoseconds since the epoch."""
    size: int = 0
    """Bytes that are stored in the archive."""
    length: int = 0
    """Bytes of the file; more than ``size`` where there are holes."""
    target: str = ""
    device: tuple[int, int] = (0, 0)
    xattrs: dict[str, bytes] = field(default_factory=dict)
    segments: list[tuple[int, int]] | None = None
    """(offset, length) of what is stored of a file with holes."""


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
            raise InvalidConfig(f"{_DAMAGED}: it ends in the middle of a header")
        if not block.strip(b"\0"):
            return None
        _check_sum(block)
        return block

    def _entry(self, header: bytes) -> Entry:
        """The entry that begins here, with the extended headers before it."""
        pax: dict[bytes, bytes] = {}
        count = 0
        while (kind := header[156:157]) in (_LONG_NAME, _LONG_LINK, *_PAX):
            count += 1
            if count > _MOST_HEADERS:
                raise InvalidConfig(f"{_DAMAGED}: more than {_MOST_HEADERS} extended headers for one entry")
            body = self._extended(header)
            if kind in _PAX:
                pax.update(_pax_records(body))
            else:
                pax[b"path" if kind == _LONG_NAME else b"linkpath"] = body.partition(b"\0")[0]
            following = self._header()
            if following is None:
                raise InvalidConfig(f"{_DAMAGED}: an extended header describes nothing")
            header = following
        return self._described(header, pax)

    def _extended(self, header: bytes) -> bytes:
        size = _number(header[124:136], "size")
        if size > _LONGEST_HEADER:
            raise InvalidConfig(f"{_DAMAGED}: an extended header of {size} bytes")
        body = self._take(size)
        self._keep(body)
        self._keep(self._take(-size % BLOCK))
        return body

    def _described(self, header: bytes, pax: dict[bytes, bytes]) -> Entry:
        entry = _plain_entry(header)
        _apply_pax(entry, pax)
        _check_text(entry)
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
        entry.length = _number(header[483:495], "size")
        segments = _old_segments(header[386:482])
        more = header[482]
        while more:
            block = self._take(BLOCK)
            self._keep(block)
            segments += _old_segments(block[:504])
            more = block[504]
            if len(segments) > _MOST_SEGMENTS:
                raise InvalidConfig(f"{_DAMAGED}: {entry.name!r} has too many holes")
        _set_segments(entry, segments)

    def _pax_sparse(self, entry: Entry, pax: dict[bytes, bytes]) -> None:
        if pax.get(_SPARSE + b"major") == b"1":
            segments = self._leading_map(entry)
        elif _SPARSE + b"map" in pax:
            segments = _pairs([_decimal(text, "map") for text in pax[_SPARSE + b"map"].split(b",") if text])
        else:
            return
        length = pax.get(_SPARSE + b"realsize", pax.get(_SPARSE + b"size", b""))
        entry.length = _decimal(length, "size")
        _set_segments(entry, segments)

    def _leading_map(self, entry: Entry) -> list[tuple[int, int]]:
        """The map of form 1.0, which stands in blocks of its own before the content."""
        numbers: list[int] = []
        text = b""
        while not numbers or len(numbers) < 1 + 2 * numbers[0]:
            if self._left < BLOCK or len(text) > BLOCK or (numbers and numbers[0] > _MOST_SEGMENTS):
                raise InvalidConfig(f"{_DAMAGED}: the map of {entry.name!r}'s holes is not whole")
            block = self._take(BLOCK)
            self._keep(block)
            self._left -= BLOCK
            *whole, text = (text + block).split(b"\n")
            numbers += [_decimal(line, "map") for line in whole]
        entry.size = self._left
        return _pairs(numbers[1 : 1 + 2 * numbers[0]])

    def _rest(self) -> None:
        """What follows the end mark: part of the archive's digest, of no other meaning."""
        while chunk := self._upto(_READ):
            self._keep(chunk)

    def _take(self, size: int) -> bytes:
        data = self._upto(size)
        if len(data) < size:
            raise InvalidConfig(f"{_DAMAGED}: it ends too early")
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
            raise InvalidConfig(f"{_DAMAGED}: it ends in the middle of a file")
        self._at += len(data)
        return data


def _check_sum(block: bytes) -> None:
    stated = _number(block[148:156], "checksum")
    rest = block[:148] + b" " * 8 + block[156:]
    if stated != sum(rest) and stated != sum(byte - 256 if byte > 127 else byte for byte in rest):
        raise InvalidConfig("this is not a tar archive, or it is damaged: a header's checksum is wrong")


def _plain_entry(header: bytes) -> Entry:
    kind = _KINDS.get(header[156:157])
    name = _text(header[:100])
    if kind is None:
        raise InvalidConfig(f"the archive holds {name!r} of the unknown type {header[156:157]!r}")
    if header[257:263] == b"ustar\0" and (prefix := _text(header[345 : 476 if header[508:512] == b"tar\0" else 500])):
        name = f"{prefix}/{name}"
    if header[156] == 0 and name.endswith("/"):
        kind = "directory"
    entry = Entry(name=name, kind=kind, target=_text(header[157:257]))
    entry.mode = _number(header[100:108], "mode") & 0o7777
    entry.uid, entry.gid = _number(header[108:116], "uid"), _number(header[116:124], "gid")
    entry.size = _number(header[124:136], "size")
    entry.mtime = _number(header[136:148], "time", signed=True) * 1_000_000_000
    if kind in ("char", "block"):
        entry.device = _number(header[329:337], "device"), _number(header[337:345], "device")
    return entry


def _apply_pax(entry: Entry, pax: dict[bytes, bytes]) -> None:
    entry.name = os.fsdecode(pax.get(_SPARSE + b"name") or pax.get(b"path") or os.fsencode(entry.name))
    entry.target = os.fsdecode(pax.get(b"linkpath") or os.fsencode(entry.target))
    if pax.get(b"size"):
        entry.size = _decimal(pax[b"size"], "size")
    if pax.get(b"uid"):
        entry.uid = _decimal(pax[b"uid"], "uid")
    if pax.get(b"gid"):
        entry.gid = _decimal(pax[b"gid"], "gid")
    if pax.get(b"mtime"):
        entry.mtime = _pax_time(pax[b"mtime"])
    for key, value in pax.items():
        if key.startswith(_XATTR):
            entry.xattrs[os.fsdecode(key[len(_XATTR) :])] = value


def _check_text(entry: Entry) -> None:
    if "\0" in entry.name or "\0" in entry.target or any("\0" in name for name in entry.xattrs):
        raise InvalidConfig(f"{_DAMAGED}: {entry.name!r} has a NUL in it")


def _pax_records(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """``<length> <key>=<value>\\n`` after another. A map of form 0.0 comes back as one of form 0.1."""
    pieces: list[bytes] = []
    at = 0
    while at < len(body) and body[at : at + 1] != b"\0":
        digits, space, _ = body[at : at + 21].partition(b" ")
        length = _decimal(digits, "record") if space else 0
        record = body[at : at + length]
        key, equals, value = record[len(digits) + 1 : -1].partition(b"=")
        if length <= len(digits) + 1 or not equals or record[-1:] != b"\n" or len(record) != length:
            raise InvalidConfig(f"{_DAMAGED}: an extended header's record is malformed")
        at += length
        if key in (_SPARSE + b"offset", _SPARSE + b"numbytes"):
            pieces.append(value)
        else:
            yield key, value
    if pieces:
        yield _SPARSE + b"map", b",".join(pieces)


def _set_segments(entry: Entry, segments: list[tuple[int, int]]) -> None:
    """Check that the segments lie within the file, in order, and are what is stored."""
    end = 0
    for offset, length in segments:
        if offset < end or length < 0 or offset + length > entry.length:
            raise InvalidConfig(f"{_DAMAGED}: the map of {entry.name!r}'s holes is wrong")
        end = offset + length
    if sum(length for _, length in segments) != entry.size:
        raise InvalidConfig(f"{_DAMAGED}: the map of {entry.name!r}'s holes does not fit its size")
    entry.segments = [segment for segment in segments if segment[1]]


def _old_segments(field_: bytes) -> list[tuple[int, int]]:
    pieces = [field_[at : at + 24] for at in range(0, len(field_), 24)]
    return [(_number(piece[:12], "map"), _number(piece[12:], "map")) for piece in pieces if piece[0] != 0]


def _pairs(numbers: list[int]) -> list[tuple[int, int]]:
    if len(numbers) % 2 or len(numbers) > 2 * _MOST_SEGMENTS:
        raise InvalidConfig(f"{_DAMAGED}: a map of holes is not whole")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _text(field_: bytes) -> str:
    return os.fsdecode(field_.partition(b"\0")[0])


def _number(field_: bytes, what: str, *, signed: bool = False) -> int:
    """A header's number: octal text, or binary where it does not fit (GNU, star)."""
    if field_[0] & 0x80:
        value = int.from_bytes(bytes([field_[0] & 0x7F]) + field_[1:], "big")
        if field_[0] & 0x40:
            value -= 1 << (8 * len(field_) - 1)
    else:
        digits = field_.partition(b"\0")[0].strip(b" ")
        if digits.strip(b"01234567"):
            raise InvalidConfig(f"{_DAMAGED}: a header's {what} is not a number")
        value = int(digits, 8) if digits else 0
    if value.bit_length() > 63 or (value < 0 and not signed):
        raise InvalidConfig(f"{_DAMAGED}: a header's {what} is out of range")
    return value


def _decimal(text: bytes, what: str) -> int:
    if not _DECIMAL.fullmatch(text):
        raise InvalidConfig(f"{_DAMAGED}: an extended header's {what} is not a number")
    value = int(text)
    if value < 0 or value.bit_length() > 63:
        raise InvalidConfig(f"{_DAMAGED}: an extended header's {what} is out of range")
    return value


def _pax_time(text: bytes) -> int:
    match = _TIME.fullmatch(text)
    if match is None:
        raise InvalidConfig(f"{_DAMAGED}: an extended header's time is not a number")
    value = int(match[2]) * 1_000_000_000 + int((match[3] or b"")[:9].ljust(9, b"0"))
    return -value if match[1] else value
