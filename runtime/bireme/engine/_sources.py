"""A file as a source of bytes, for ``import_``, ``load`` and ``put_archive``."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import trio

from bireme_actors import ByteSource, NotFound, StorageError

_CHUNK = 1 << 20


class _Readable(Protocol):
    async def read(self, size: int, /) -> bytes: ...

    async def aclose(self) -> None: ...


class FileSource:
    """Reads an open binary file in a worker thread."""

    def __init__(self, file: _Readable) -> None:
        self._file = file

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next bytes; ``b""`` at the end."""
        return await self._file.read(max_bytes or _CHUNK)

    async def aclose(self) -> None:
        await self._file.aclose()


@asynccontextmanager
async def open_file(path: str | os.PathLike[str]) -> AsyncIterator[ByteSource]:
    """A file of the host, open for the length of the block. Raises NotFound, StorageError."""
    try:
        file = await trio.open_file(path, "rb")
    except FileNotFoundError:
        raise NotFound(f"open {os.fspath(path)}: no such file or directory") from None
    except OSError as error:
        raise StorageError(f"open {os.fspath(path)}: {error.strerror}") from error
    async with file:
        yield FileSource(file)
