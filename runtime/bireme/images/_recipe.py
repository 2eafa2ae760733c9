"""How to put a layer's archive together again from its unpacked directory, to the last bit.

An image's identity is the digest of its configuration, which names the digests of its layers' *archives*. An archive
made anew from the unpacked files would differ (order, padding, header formats, duplicates), so ``save`` would change
the image. Keeping the archive itself would keep everything twice. So what is kept is what the files do not tell: every
byte of the archive that is not a file's content, in order, with a note in place of each content saying which file has
it. Compressed, that is about a hundredth of the archive. Docker does the same (``tar-split``).

A file whose place a later entry of the same archive takes is not deleted but set aside (see ``Replaced``), so hostile
and merely careless archives are put together just as well. What comes out is hashed by the caller: a layer that
somebody changed on disk is found out, not exported.

The recipe is a zstd stream of records: a byte for the kind, four for the length, the body; raw bytes, or msgpack of a
path and the stored segments of that file.
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import msgspec
import zstandard

from bireme import _syscalls
from bireme._files import open_beneath
from bireme_actors import InvalidConfig, StorageError

_HEAD = struct.Struct(">BI")
_RAW, _FILE = 0, 1
_FLUSH = 1 << 16
_PIECE = 1 << 18
_MOST_REPLACED = 1 << 16

Segments = list[tuple[int, int]]
"""(offset, length) of what an archive stores of a file."""


class Replaced(msgspec.Struct, frozen=True, array_like=True):
    """After ``position`` files of the recipe, what stood at ``path`` was set aside as number ``number``."""

    position: int
    path: bytes
    number: int


class _File(msgspec.Struct, frozen=True, array_like=True):
    path: bytes
    segments: Segments


class RecipeWriter:
    """Writes a recipe while its archive is read."""

    def __init__(self, path: str) -> None:
        self._file: BinaryIO = open(path, "xb")  # noqa: SIM115 (the writer's close is its end)
        self._stream = zstandard.ZstdCompressor(level=1).stream_writer(self._file)
        self._raw = bytearray()
        self._count = 0
        self.replaced: list[Replaced] = []

    def keep(self, data: bytes) -> None:
        """Bytes of the archive that no file holds."""
        self._raw += data
        if len(self._raw) >= _FLUSH:
            self._flush()

    def file(self, path: str, segments: Segments) -> None:
        """Here the archive has these segments of the file at ``path``."""
        self._flush()
        self._record(_FILE, msgspec.msgpack.encode(_File(os.fsencode(path), segments)))
        self._count += 1

    def set_aside(self, path: str) -> int:
        """What is at ``path`` makes room: the number to keep it under. Raises InvalidConfig if there are too many."""
        number = len(self.replaced)
        if number >= _MOST_REPLACED:
            raise InvalidConfig(f"the archive replaces more than {_MOST_REPLACED} of its own members")
        self.replaced.append(Replaced(self._count, os.fsencode(path), number))
        return number

    def finish(self) -> None:
        """Everything is in."""
        self._flush()
        self._stream.flush(zstandard.FLUSH_FRAME)

    def close(self) -> None:
        self._file.close()

    def _flush(self) -> None:
        if self._raw:
            self._record(_RAW, bytes(self._raw))
            self._raw.clear()

    def _record(self, kind: int, body: bytes) -> None:
        self._stream.write(_HEAD.pack(kind, len(body)) + body)


def assemble(recipe: str, tree: int, aside: str, replaced: list[Replaced]) -> Iterator[bytes]:
    """The archive, from its recipe, the directory it was unpacked in, and what was set aside meanwhile.

    Raises StorageError if a part is missing; that a part was changed shows in the digest of the whole.
    """
    places = _Places(replaced)
    count = 0
    for kind, body in _records(recipe):
        if kind == _RAW:
            yield body
            continue
        file = msgspec.msgpack.decode(body, type=_File)
        fd = _open(os.fsdecode(file.path), tree, aside, places.find(file.path, count))
        count += 1
        try:
            for offset, length in file.segments:
                yield from _segment(fd, offset, length)
        finally:
            os.close(fd)


class _Places:
    """Where files are that were set aside, found by path."""

    def __init__(self, replaced: Sequence[Replaced]) -> None:
        self._at: dict[bytes, list[Replaced]] = {}
        for event in replaced:
            self._at.setdefault(event.path, []).append(event)

    def find(self, path: bytes, count: int) -> Replaced | None:
        """The first replacement after file ``count`` was written that took it, or a directory above it, away."""
        found = None
        while self._at and path:
            events = self._at.get(path, ())
            at = bisect_right(events, count, key=lambda event: event.position)
            if at < len(events) and (found is None or events[at].number < found.number):
                found = events[at]
            path = path.rpartition(b"/")[0]
        return found


def _open(path: str, tree: int, aside: str, place: Replaced | None) -> int:
    try:
        if place is None:
            resolve = _syscalls.RESOLVE_BENEATH | _syscalls.RESOLVE_NO_SYMLINKS
            return _syscalls.openat2(tree, path, os.O_RDONLY, resolve=resolve)
        rest = path[len(os.fsdecode(place.path)) :].lstrip("/")
        base = os.open(aside, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return open_beneath(base, f"{place.number}/{rest}".rstrip("/"), os.O_RDONLY)
        finally:
            os.close(base)
    except OSError as error:
        raise StorageError(f"a stored layer is damaged: {path!r} cannot be read ({error.strerror})") from error


def _segment(fd: int, offset: int, length: int) -> Iterator[bytes]:
    end = offset + length
    while offset < end:
        data = os.pread(fd, min(_PIECE, end - offset), offset)
        if not data:
            raise StorageError("a stored layer is damaged: one of its files has become shorter")
        offset += len(data)
        yield data


def _records(recipe: str) -> Iterator[tuple[int, bytes]]:
    with open(recipe, "rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
        while head := stream.read(_HEAD.size):
            kind, length = _HEAD.unpack(head)
            yield kind, stream.read(length)
