"""Streams of bytes as a worker thread reads them: from an async source, from a part of a file, hashed, decompressed.

Every stream is pulled, a bounded piece at a time, so nothing that a stranger sends is ever whole in memory: a
decompressor gives out what was asked for and no more, however much its input stands for. The compression is told by
its first bytes, as Docker does.
"""

from __future__ import annotations

import bz2
import hashlib
import lzma
import os
import time
import zlib
from collections.abc import Callable
from typing import Protocol

import trio
import zstandard

from bireme.images._tar import Stream
from bireme.images.model import Progress, ProgressEvent
from bireme_actors import ByteSource, InvalidConfig

CHUNK = 1 << 18
_XZ_MEMORY = 256 << 20
"""Most memory of an xz dictionary; ``xz -9`` needs 65 MiB."""
_ZSTD_WINDOW = 128 << 20
"""Largest zstd window, that of ``--long=27``, which the zstd program accepts unasked."""
_ZSTD_PIECE = 512
_REPORT_SECONDS = 0.1


class FromSource:
    """An async source, read from a worker thread; cancelling the thread's task ends the read with ``Cancelled``."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source

    def read(self, size: int) -> bytes:
        try:
            return bytes(trio.from_thread.run(self._source.receive_some, size))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise InvalidConfig("the archive broke off: whoever sent it has gone") from error


class FromFile:
    """Part of an open file; reading it is a point of cancellation."""

    def __init__(self, fd: int, offset: int, size: int) -> None:
        self._fd = fd
        self._at = offset
        self._end = offset + size

    def read(self, size: int) -> bytes:
        trio.from_thread.check_cancelled()
        data = os.pread(self._fd, min(size, self._end - self._at), self._at)
        if not data and self._at < self._end:
            raise InvalidConfig("the archive is damaged: it ends too early")
        self._at += len(data)
        return data


class Hashed:
    """Passes a stream through, and knows its SHA-256 and length so far."""

    def __init__(self, stream: Stream, report: Callable[[int], None] | None = None) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self._report = report
        self.length = 0

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._hash.update(data)
        self.length += len(data)
        if self._report is not None:
            self._report(self.length)
        return data

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


class Reporter:
    """Hands progress from a worker thread to the event loop, ten times a second at most."""

    def __init__(self, progress: Progress, status: str, *, name: str = "", total: int = 0) -> None:
        self._progress = progress
        self._status = status
        self._name = name
        self.total = total
        self.due = time.monotonic() + _REPORT_SECONDS

    def __call__(self, current: int) -> None:
        now = time.monotonic()
        if now >= self.due:
            self.due = now + _REPORT_SECONDS
            event = ProgressEvent(status=self._status, id=self._name, current=current, total=self.total)
            trio.from_thread.run_sync(self._progress, event)


class _Peeked:
    """A stream whose first bytes have been looked at."""

    def __init__(self, stream: Stream, size: int) -> None:
        self._stream = stream
        self.start = b""
        while len(self.start) < size and (more := stream.read(CHUNK)):
            self.start += more
        self._rest = self.start

    def read(self, size: int) -> bytes:
        if not self._rest:
            return self._stream.read(size)
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


class _Decoder(Protocol):
    """One member of a compressed stream: the common part of the standard library's decompressors."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Gzip:
    """``zlib``'s decompressor in the shape of ``lzma``'s and ``bz2``'s."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


class _Members:
    """Decompresses member after member; zeros may follow the last one, nothing else."""

    def __init__(self, stream: Stream, new: Callable[[], _Decoder], kind: str) -> None:
        self._stream = stream
        self._new = new
        self._kind = kind
        self._decoder = new()
        self._pending = b""

    def read(self, size: int) -> bytes:
        while True:
            if self._decoder.eof and not self._next_member():
                return b""
            if not self._pending and self._decoder.needs_input:
                self._pending = self._stream.read(CHUNK)
                if not self._pending:
                    raise InvalidConfig(f"the archive is damaged: its {self._kind} data ends too early")
            data, self._pending = self._decode(self._pending, size), b""
            if data:
                return data

    def _decode(self, data: bytes, size: int) -> bytes:
        try:
            return self._decoder.decompress(data, size)
        except (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError, ValueError) as error:
            raise InvalidConfig(f"the archive is damaged: its {self._kind} data is invalid ({error})") from error

    def _next_member(self) -> bool:
        rest = self._decoder.unused_data.lstrip(b"\0")
        while not rest:
            more = self._stream.read(CHUNK)
            if not more:
                return False
            rest = more.lstrip(b"\0")
        self._decoder, self._pending = self._new(), rest
        return True


class _Zstd:
    """One zstd frame in the shape of ``lzma``'s decompressor.

    The binding's own reader takes the end of a truncated stream for the end of the data, and its decompressor gives
    out all that its input stands for; small pieces of input bound that (four bytes may stand for a block of 128 KiB).
    """

    def __init__(self) -> None:
        self._inner = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
        self._input = b""
        self._output = b""

    @property
    def eof(self) -> bool:
        return self._inner.eof and not self._output

    @property
    def needs_input(self) -> bool:
        return not self._input and not self._output

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data + self._input

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        self._input += data
        pieces = [self._output]
        length, at = len(self._output), 0
        while length < max_length and at < len(self._input) and not self._inner.eof:
            pieces.append(self._inner.decompress(self._input[at : at + _ZSTD_PIECE]))
            length, at = length + len(pieces[-1]), at + _ZSTD_PIECE
        self._input = self._input[at:]
        whole = b"".join(pieces)
        self._output = whole[max_length:]
        return whole[:max_length]


def _xz() -> _Decoder:
    return lzma.LZMADecompressor(memlimit=_XZ_MEMORY)


_FORMATS: tuple[tuple[str, Callable[[], _Decoder], tuple[bytes, ...]], ...] = (
    ("gzip", _Gzip, (b"\x1f\x8b\x08",)),
    ("xz", _xz, (b"\xfd7zXZ\0",)),
    ("bzip2", bz2.BZ2Decompressor, (b"BZh",)),
    ("zstd", _Zstd, (b"\x28\xb5\x2f\xfd", *(bytes([byte]) + b"\x2a\x4d\x18" for byte in range(0x50, 0x60)))),
)
"""Name, decompressor, first bytes; a zstd stream may begin with a frame to skip, as those with an index do."""


def decompressed(stream: Stream) -> Stream:
    """The stream without its compression, if it has one (gzip, xz, bzip2, zstd)."""
    peeked = _Peeked(stream, 8)
    for kind, new, magics in _FORMATS:
        if peeked.start.startswith(magics):
            return _Members(peeked, new, kind)
    return peeked
