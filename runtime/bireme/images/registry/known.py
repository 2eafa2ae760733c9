"""Which blobs of registries a layer is known to be, and where: kept beside the layer, gone with it.

A layer has one archive and many compressed forms. What it was pulled as or pushed as before need not be compressed
again to be found in a registry, and can be mounted there from a neighbouring repository. All this is a hint: a registry
is always asked, and a file that makes no sense counts as none.
"""

from __future__ import annotations

import contextlib
import os

import msgspec

from bireme._files import write_atomic
from bireme.images.registry.documents import Descriptor

_FILE = "blobs.json"
_LONGEST = 1 << 16
_MOST = 16


class KnownBlob(msgspec.Struct, frozen=True):
    """A blob, and the repositories (whole names) that have or had it, the latest first."""

    digest: str
    size: int
    media_type: str
    sources: list[str] = []

    @property
    def descriptor(self) -> Descriptor:
        """Raises ValueError for what cannot be a blob's digest."""
        return Descriptor(digest=self.digest, size=self.size, media_type=self.media_type)


def read_known(layer_directory: str) -> list[KnownBlob]:
    """The latest first. Blocks."""
    try:
        with open(os.path.join(layer_directory, _FILE), "rb") as file:
            found = msgspec.json.decode(file.read(_LONGEST), type=list[KnownBlob])
            for blob in found:
                _ = blob.descriptor
            return found
    except (OSError, ValueError):
        return []


def remember(layer_directory: str, descriptor: Descriptor, source: str) -> None:
    """Note that a repository has a layer as this blob. Blocks; a disk that refuses is no reason to fail."""
    before = read_known(layer_directory)
    same = next((blob for blob in before if blob.digest == descriptor.digest), None)
    sources = [source, *(name for name in (same.sources if same else ()) if name != source)]
    new = KnownBlob(descriptor.digest, descriptor.size, descriptor.media_type, sources[:_MOST])
    if before[:1] == [new]:
        return
    blobs = [new, *(blob for blob in before if blob.digest != new.digest)]
    with contextlib.suppress(OSError):
        write_atomic(os.path.join(layer_directory, _FILE), msgspec.json.encode(blobs[:_MOST]), durable=False)
