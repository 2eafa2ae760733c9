"""A layer's archive put together again and compressed: the same layer gives the same blob, whenever it is pushed."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from bireme._files import write_all
from bireme.images._faults import storage_faults
from bireme.images._layers import Layer, LayerDirectory
from bireme.images._spool import nameless
from bireme.images.registry.documents import DOCKER_GZIP, Descriptor

_LEVEL = 6
_GZIP = 31
"""zlib's number for gzip with its largest window. The header it writes has no time and no name."""


@contextmanager
def scratch(directory: str) -> Iterator[int]:
    """A file without a name for the length of the block. Raises StorageError."""
    with storage_faults("a layer cannot be compressed"):
        fd = nameless(directory)
    try:
        yield fd
    finally:
        os.close(fd)


def compress(layers: LayerDirectory, layer: Layer, fd: int) -> Descriptor:
    """Write the layer's blob to a file. Blocks, for a worker thread of trio's; cancelled between two pieces.

    Raises StorageError: the disk refuses, or the stored layer has been changed.
    """
    packer = zlib.compressobj(_LEVEL, wbits=_GZIP)
    hashed, size = hashlib.sha256(), 0
    with storage_faults("a layer cannot be compressed"):
        for data in _packed(layers, layer, packer):
            trio.from_thread.check_cancelled()
            write_all(fd, data)
            hashed.update(data)
            size += len(data)
    return Descriptor(digest=f"sha256:{hashed.hexdigest()}", size=size, media_type=DOCKER_GZIP)


def _packed(layers: LayerDirectory, layer: Layer, packer: zlib._Compress) -> Iterator[bytes]:
    for piece in layers.archive(layer):
        yield packer.compress(piece)
    yield packer.flush()
