"""A blob on its way: whatever has come counts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import trio

from bireme.images.registry import blobs
from bireme.images.registry.documents import Descriptor
from bireme.images.registry.partials import Partial
from bireme.images.registry.progress import LayerLine

DIGEST = f"sha256:{'0' * 64}"


class LastWords(httpx.AsyncByteStream):
    """One piece; whoever reads it has been cancelled by then."""

    def __init__(self, piece: bytes, reader: trio.CancelScope) -> None:
        self._piece = piece
        self._reader = reader

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._reader.cancel()
        yield self._piece


@pytest.mark.parametrize("size", [5, 1 << 20, 3 << 20])
async def test_what_has_come_is_kept_by_whoever_is_cancelled(tmp_path: Path, size: int) -> None:
    """Less than is written at once, as much, and more."""
    partial = Partial(str(tmp_path / "blob"))
    line = LayerLine(lambda event: None, DIGEST)
    with trio.CancelScope() as scope:
        response = httpx.Response(200, stream=LastWords(bytes(size), scope))
        await blobs._receive(response, partial, Descriptor(digest=DIGEST, size=4 << 20), line)
        await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    partial.close()
    assert (partial.length, (tmp_path / "blob").stat().st_size) == (size, size)
