"""What one header of a tar archive says: fields, extended records, maps of holes. Pure.

Every function raises ``InvalidConfig`` for what is malformed; nothing is used before it is checked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from bireme_actors import InvalidConfig

DAMAGED = "the archive is damaged"
MOST_SEGMENTS = 1 << 18
_KINDS = {
    b"0": "file", b"\0": "file", b"7": "file", b"S": "file", b"1": "link", b"2": "symlink", b"3": "char",
    b"4": "block", b"5": "directory", b"6": "fifo", b"V": "label",
}  # fmt: skip
_XATTR = b"SCHILY.xattr."
SPARSE = b"GNU.sparse."
_DECIMAL = re.compile(rb"-?[0-9]{1,20}")
_TIME = re.compile(rb"(-?)([0-9]{1,20})(?:\.([0-9]*))?")


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


def check_sum(block: bytes) -> None:
    """Compare a header's checksum, which some old programs made of signed bytes."""
    stated = number(block[148:156], "checksum")
    rest = block[:148] + b" " * 8 + block[156:]
    if stated != sum(rest) and stated != sum(byte - 256 if byte > 127 else byte for byte in rest):
        raise InvalidConfig("this is not a tar archive, or it is damaged: a header's checksum is wrong")


def plain_entry(header: bytes) -> Entry:
    """What the header itself says, by its oldest fields."""
    kind = _KINDS.get(header[156:157])
    name = _text(header[:100])
    if kind is None:
        raise InvalidConfig(f"the archive holds {name!r} of the unknown type {header[156:157]!r}")
    if header[257:263] == b"ustar\0" and (prefix := _text(header[345 : 476 if header[508:512] == b"tar\0" else 500])):
        name = f"{prefix}/{name}"
    if header[156] == 0 and name.endswith("/"):
        kind = "directory"
    entry = Entry(name=name, kind=kind, target=_text(header[157:257]))
    entry.mode = number(header[100:108], "mode") & 0o7777
    entry.uid, entry.gid = number(header[108:116], "uid"), number(header[116:124], "gid")
    entry.size = number(header[124:136], "size")
    entry.mtime = number(header[136:148], "time", signed=True) * 1_000_000_000
    if kind in ("char", "block"):
        entry.device = number(header[329:337], "device"), number(header[337:345], "device")
    return entry


def apply_pax(entry: Entry, pax: dict[bytes, bytes]) -> None:
    """Put the extended records over it."""
    entry.name = os.fsdecode(pax.get(SPARSE + b"name") or pax.get(b"path") or os.fsencode(entry.name))
    entry.target = os.fsdecode(pax.get(b"linkpath") or os.fsencode(entry.target))
    if pax.get(b"size"):
        entry.size = decimal(pax[b"size"], "size")
    if pax.get(b"uid"):
        entry.uid = decimal(pax[b"uid"], "uid")
    if pax.get(b"gid"):
        entry.gid = decimal(pax[b"gid"], "gid")
    if pax.get(b"mtime"):
        entry.mtime = _pax_time(pax[b"mtime"])
    for key, value in pax.items():
        if key.startswith(_XATTR):
            entry.xattrs[os.fsdecode(key[len(_XATTR) :])] = value


def check_text(entry: Entry) -> None:
    """Names go to the kernel, which ends them at a NUL."""
    if "\0" in entry.name or "\0" in entry.target or any("\0" in name for name in entry.xattrs):
        raise InvalidConfig(f"{DAMAGED}: {entry.name!r} has a NUL in it")


def pax_records(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """``<length> <key>=<value>\\n`` after another. A map of form 0.0 comes back as one of form 0.1."""
    pieces: list[bytes] = []
    at = 0
    while at < len(body) and body[at : at + 1] != b"\0":
        digits, space, _ = body[at : at + 21].partition(b" ")
        length = decimal(digits, "record") if space else 0
        record = body[at : at + length]
        key, equals, value = record[len(digits) + 1 : -1].partition(b"=")
        if length <= len(digits) + 1 or not equals or record[-1:] != b"\n" or len(record) != length:
            raise InvalidConfig(f"{DAMAGED}: an extended header's record is malformed")
        at += length
        if key in (SPARSE + b"offset", SPARSE + b"numbytes"):
            pieces.append(value)
        else:
            yield key, value
    if pieces:
        yield SPARSE + b"map", b",".join(pieces)


def set_segments(entry: Entry, segments: list[tuple[int, int]]) -> None:
    """Check that the segments lie within the file, in order, and are what is stored."""
    end = 0
    for offset, length in segments:
        if offset < end or length < 0 or offset + length > entry.length:
            raise InvalidConfig(f"{DAMAGED}: the map of {entry.name!r}'s holes is wrong")
        end = offset + length
    if sum(length for _, length in segments) != entry.size:
        raise InvalidConfig(f"{DAMAGED}: the map of {entry.name!r}'s holes does not fit its size")
    entry.segments = [segment for segment in segments if segment[1]]


def old_segments(field_: bytes) -> list[tuple[int, int]]:
    """The map of the old GNU form, 24 bytes a segment."""
    pieces = [field_[at : at + 24] for at in range(0, len(field_), 24)]
    return [(number(piece[:12], "map"), number(piece[12:], "map")) for piece in pieces if piece[0] != 0]


def pairs(numbers: list[int]) -> list[tuple[int, int]]:
    """The map of a newer form, of its numbers one after another."""
    if len(numbers) % 2 or len(numbers) > 2 * MOST_SEGMENTS:
        raise InvalidConfig(f"{DAMAGED}: a map of holes is not whole")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _text(field_: bytes) -> str:
    return os.fsdecode(field_.partition(b"\0")[0])


def number(field_: bytes, what: str, *, signed: bool = False) -> int:
    """A header's number: octal text, or binary where it does not fit (GNU, star)."""
    if field_[0] & 0x80:
        value = int.from_bytes(bytes([field_[0] & 0x7F]) + field_[1:], "big")
        if field_[0] & 0x40:
            value -= 1 << (8 * len(field_) - 1)
    else:
        digits = field_.partition(b"\0")[0].strip(b" ")
        if digits.strip(b"01234567"):
            raise InvalidConfig(f"{DAMAGED}: a header's {what} is not a number")
        value = int(digits, 8) if digits else 0
    if value.bit_length() > 63 or (value < 0 and not signed):
        raise InvalidConfig(f"{DAMAGED}: a header's {what} is out of range")
    return value


def decimal(text: bytes, what: str) -> int:
    """An extended record's number."""
    if not _DECIMAL.fullmatch(text):
        raise InvalidConfig(f"{DAMAGED}: an extended header's {what} is not a number")
    value = int(text)
    if value < 0 or value.bit_length() > 63:
        raise InvalidConfig(f"{DAMAGED}: an extended header's {what} is out of range")
    return value


def _pax_time(text: bytes) -> int:
    match = _TIME.fullmatch(text)
    if match is None:
        raise InvalidConfig(f"{DAMAGED}: an extended header's time is not a number")
    value = int(match[2]) * 1_000_000_000 + int((match[3] or b"")[:9].ljust(9, b"0"))
    return -value if match[1] else value
