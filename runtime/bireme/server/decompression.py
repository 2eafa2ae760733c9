"""An archive that may have been compressed, as it comes in: plain, gzip, bzip2 or xz, told by its first bytes."""

from __future__ import annotations

import bz2
import lzma
import zlib
from typing import Protocol

import trio

from bireme_actors import ByteSource, InvalidConfig

_CHUNK = 1 << 16
_MAGIC = 6
_ERRORS = (zlib.error, lzma.LZMAError, OSError, EOFError)


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes: ...


class _Gzip:
    """zlib's object with the manners of the other two: it keeps what it could not take in one go."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(16 + zlib.MAX_WBITS)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max(max_length, 0))


def _decoder(head: bytes) -> _Decoder | None:
    if head.startswith(b"\x1f\x8b"):
        return _Gzip()
    if head.startswith(b"BZh"):
        return bz2.BZ2Decompressor()
    if head.startswith(b"\xfd7zXZ\x00"):
        return lzma.LZMADecompressor(memlimit=256 << 20)
    return None


def decompressed(source: ByteSource) -> ByteSource:
    """``source`` without its compression. Reading raises InvalidConfig where the data is damaged."""
    return _Decompressed(source)


class _Decompressed:
    """Members of a compressed stream one after the other, a bounded piece at a time."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._head = b""
        self._begun = False
        self._decoder: _Decoder | None = None

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next plain bytes, ``b""`` at the end. Cancelled: nothing is lost."""
        if not self._begun:
            await self._begin()
        if self._decoder is None:
            return await self._plain()
        most = max_bytes or _CHUNK
        while True:
            data = self._decode(self._take(), most)
            if data:
                return data
            if self._decoder.eof:
                if not await self._next_member():
                    return b""
                continue
            more = bytes(await self._source.receive_some(_CHUNK))
            if not more:
                raise InvalidConfig("the archive is damaged: its compressed data ends too early")
            self._head = more
            await trio.lowlevel.checkpoint()

    async def _begin(self) -> None:
        while len(self._head) < _MAGIC and (more := bytes(await self._source.receive_some(_CHUNK))):
            self._head += more
        self._decoder = _decoder(self._head)
        self._begun = True

    async def _plain(self) -> bytes:
        return self._take() or bytes(await self._source.receive_some(_CHUNK))

    def _take(self) -> bytes:
        data, self._head = self._head, b""
        return data

    def _decode(self, data: bytes, most: int) -> bytes:
        assert self._decoder is not None
        if self._decoder.eof:
            self._head = data
            return b""
        try:
            return self._decoder.decompress(data, most)
        except _ERRORS as error:
            raise InvalidConfig(f"the archive is damaged: its compressed data is invalid ({error})") from error

    async def _next_member(self) -> bool:
        """Whether another compressed member follows; padding after the last one is dropped."""
        assert self._decoder is not None
        self._head = self._decoder.unused_data + self._head
        while len(self._head) < _MAGIC and (more := bytes(await self._source.receive_some(_CHUNK))):
            self._head += more
        following = _decoder(self._head)
        if following is None:
            return False
        self._decoder = following
        return True

    async def aclose(self) -> None:
        await self._source.aclose()
