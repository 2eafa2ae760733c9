"""Compressions: told by their first bytes, read to the last, refused when damaged, bounded in memory."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import struct
import tracemalloc
from collections.abc import Callable

import pytest
import trio
import zstandard

from bireme.images._streams import CHUNK, FromSource, Hashed, Reporter, decompressed
from bireme.images.model import ProgressEvent
from bireme_actors import InvalidConfig
from tests.runtime.images.archives import Breaking, Source, sha256

Compress = Callable[[bytes], bytes]


def _zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


FORMATS: dict[str, Compress] = {"gzip": gzip.compress, "xz": lzma.compress, "bzip2": bz2.compress, "zstd": _zstd}
DATA = os.urandom(200_000) + b"abc" * 300_000


class Pieces:
    """A stream that gives little at a time."""

    def __init__(self, data: bytes, piece: int) -> None:
        self._file = io.BytesIO(data)
        self._piece = piece

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, self._piece))


def read_all(data: bytes, piece: int = CHUNK) -> bytes:
    stream = decompressed(Pieces(data, piece))
    return b"".join(iter(lambda: stream.read(10_000), b""))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("piece", [CHUNK, 1000])
def test_each_format(name: str, piece: int) -> None:
    packed = FORMATS[name](DATA)
    assert read_all(packed, piece) == DATA
    assert read_all(packed + packed, piece) == DATA + DATA
    assert read_all(packed + bytes(1024), piece) == DATA
    assert read_all(FORMATS[name](b"")) == b""


@pytest.mark.parametrize("data", [b"", b"x", b"\x1f", DATA])
def test_no_compression(data: bytes) -> None:
    assert read_all(data, 3000) == data
    assert read_all(data[:5000], 1) == data[:5000]


def test_zstd_frames_to_skip() -> None:
    skipped = b"\x5a\x2a\x4d\x18" + struct.pack("<I", 5) + b"index"
    assert read_all(skipped + _zstd(DATA) + skipped) == DATA


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_damaged_is_refused(name: str) -> None:
    packed = FORMATS[name](DATA)
    middle = len(packed) // 2
    for damaged in (packed[:-1], packed[:middle], packed[:20], packed + b"garbage", _flipped(packed, middle)):
        with pytest.raises(InvalidConfig, match=f"the archive is damaged: its {name} data") as caught:
            read_all(damaged)
        assert "\n" not in str(caught.value)


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


@pytest.mark.parametrize("name", FORMATS)
def test_a_bomb_takes_little_memory(name: str) -> None:
    packed = FORMATS[name](bytes(96 << 20))
    tracemalloc.start()
    try:
        stream = decompressed(Pieces(packed, CHUNK))
        total = 0
        while data := stream.read(CHUNK):
            total += len(data)
        assert total == 96 << 20
        assert tracemalloc.get_traced_memory()[1] < 80 << 20
    finally:
        tracemalloc.stop()


def test_a_huge_xz_dictionary_is_refused() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30, "mode": lzma.MODE_FAST, "mf": lzma.MF_HC3, "depth": 1}]
    try:
        packed = lzma.compress(b"x", filters=filters)
    except MemoryError:
        pytest.skip("this machine has not the memory to make such a file")
    with pytest.raises(InvalidConfig, match=r"[Mm]emory"):
        read_all(packed)


def test_the_digest_is_of_what_went_through() -> None:
    hashed = Hashed(io.BytesIO(DATA))
    assert hashed.read(10) == DATA[:10]
    while hashed.read(CHUNK):
        pass
    assert (hashed.digest, hashed.length) == (sha256(DATA), len(DATA))


async def test_a_source_is_read_from_a_thread() -> None:
    def read() -> bytes:
        stream = FromSource(Source(DATA, piece=7777))
        return b"".join(iter(lambda: stream.read(CHUNK), b""))

    assert await trio.to_thread.run_sync(read) == DATA


async def test_a_source_that_breaks_is_told() -> None:
    stream = FromSource(Breaking(b"x"))
    with pytest.raises(InvalidConfig, match="broke off"):
        await trio.to_thread.run_sync(lambda: [stream.read(CHUNK), stream.read(CHUNK)])


async def test_progress_is_reported_now_and_then() -> None:
    events: list[ProgressEvent] = []

    def report() -> None:
        reporter = Reporter(events.append, "Importing", name="abc", total=9)
        reporter(1)
        reporter.due = 0.0
        reporter(2)
        reporter(3)

    await trio.to_thread.run_sync(report)
    assert events == [ProgressEvent(status="Importing", id="abc", current=2, total=9)]
