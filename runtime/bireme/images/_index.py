"""The one file that says which images there are and what they are called; replacing it is the commit of every change.

What is on disk but not in it (a configuration, a layer) is a leftover of something that did not end.
"""

from __future__ import annotations

import os

import msgspec

from bireme._files import write_atomic
from bireme_actors import StorageError

_VERSION = 1


class Listed(msgspec.Struct, frozen=True):
    """An image that is here."""

    tagged: int = 0
    """When its names last changed, nanoseconds since the epoch."""
    removed: bool = False
    """Removed by force while a container used it: it has no name and is not listed, but its layers stay."""


class Index(msgspec.Struct):
    """Images by ID, and the whole names (``docker.io/library/busybox:latest``) that lead to them."""

    version: int = _VERSION
    images: dict[str, Listed] = {}
    names: dict[str, str] = {}

    def copy(self) -> Index:
        return Index(images=dict(self.images), names=dict(self.names))

    def references(self, image_id: str) -> list[str]:
        """The names of an image, sorted."""
        return sorted(name for name, target in self.names.items() if target == image_id)


def read_index(path: str) -> Index | None:
    """The index; None if there is none. Raises StorageError for a damaged one, which nothing here replaces."""
    try:
        with open(path, "rb") as file:
            index = msgspec.json.decode(file.read(), type=Index)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, OSError) as error:
        hint = f"move {os.path.basename(path)} away to find the images again, without their names"
        raise StorageError(f"the list of images {path} is damaged ({error}): {hint}") from error
    if index.version != _VERSION:
        raise StorageError(f"the list of images {path} is of version {index.version}, made by another bireme")
    return index


def write_index(path: str, index: Index) -> None:
    """Replace the index: atomic, durable."""
    write_atomic(path, msgspec.json.encode(index))
