"""What the store's verbs stand on: commits of images to disk, and the lives of their layers.

On disk, below ``ROOT/images``::

    index.json           which images there are and their names: replacing it commits every change
    configs/<64 digits>  each image's configuration, the bytes whose digest is its ID
    layers/<24 digits>/  the layers, unpacked once and shared (see ``_layers``)
    staging/             what is under way; emptied at the start

- What an image needs is durable before the index names it, and what nothing names is removed at the start; so a crash
  at any moment leaves whole images and nothing else.
- The picture in memory is replaced in the event loop only, and changes are made one after another; threads do the
  blocking work. A cancelled call has had its whole effect or none.
- A layer goes with the last image that has it. While something is made or read its layers are *held*, so that a
  removal meanwhile does not take them away.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import trio

from bireme._files import write_atomic
from bireme.images._catalogue import Catalogue, Stored, complete
from bireme.images._config import digest, read_config
from bireme.images._faults import storage_faults
from bireme.images._index import Index, Listed, write_index
from bireme.images._layers import Layer, LayerDirectory, layer_name
from bireme.images._opening import Places, open_places
from bireme.images._tar import Stream
from bireme.images.model import Image
from bireme_actors import Clock

T = TypeVar("T")

_THREADS = 8
"""Archives read at once; a thread waits as long as whoever sends does, so they are not the event loop's own."""
_CLEANUP_SECONDS = 60
"""For removing what a failed or cancelled call has left; what is not done by then, the next start does."""


@dataclass(frozen=True, slots=True)
class NewImage:
    """An image to commit."""

    raw: bytes
    """Its configuration."""
    layers: tuple[Layer, ...]
    names: tuple[str, ...]
    """Whole names."""

    @property
    def id(self) -> str:
        return digest(self.raw)


class Hold:
    """Layers that must not go while this lasts."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self.names: list[str] = []

    async def pin(self, name: str) -> None:
        """Hold a layer, present or to come; waits for a removal that is at work."""
        async with self._repository.lock:
            self.pin_nowait(name)

    def pin_nowait(self, name: str) -> None:
        """Hold a layer of an image that is listed."""
        self._repository.pins[name] += 1
        self.names.append(name)


class Repository:
    """Opened by its construction, which blocks; afterwards for the event loop's thread."""

    def __init__(self, places: Places, clock: Clock) -> None:
        self._places = places
        self.staging = places.staging
        self.clock = clock
        self.layers = LayerDirectory(places.layers, places.staging)
        opened = open_places(places, self.layers)
        self.catalogue = opened.catalogue
        self.problems = tuple(opened.problems)
        self.pins: Counter[str] = Counter()
        self.lock = trio.Lock()
        self._threads = trio.CapacityLimiter(_THREADS)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run what reads an archive, which may wait for its sender. Cancelled: at the next read, cleaned up."""
        return await trio.to_thread.run_sync(work, limiter=self._threads)

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[Hold]:
        """While it lasts what is pinned stays; afterwards layers go that no image has come to need."""
        hold = Hold(self)
        try:
            yield hold
        finally:
            self.pins.subtract(hold.names)
            self.pins += Counter()
            if not self.catalogue.layer_names().issuperset(hold.names):
                with trio.CancelScope(deadline=trio.current_time() + _CLEANUP_SECONDS, shield=True):
                    await self._drop_unneeded(hold.names)

    async def add_layer(self, hold: Hold, stream: Callable[[], Stream], expected: str = "") -> Layer:
        """Unpack an archive, which is opened in the thread, unless the layer with the expected digest is here.

        Raises InvalidConfig, StorageError. Cancelled or failed: nothing of it is left.
        """
        if expected:
            await hold.pin(layer_name(expected))
            found = await trio.to_thread.run_sync(self.layers.find, expected)
            if found is not None:
                return found
        return await self.in_thread(partial(self._add_layer, hold, stream, expected))

    def _add_layer(self, hold: Hold, stream: Callable[[], Stream], expected: str) -> Layer:
        staged, layer = self.layers.stage(stream(), expected)
        try:
            trio.from_thread.run(hold.pin, layer.name)
            self.layers.commit(staged, layer)
        except BaseException:
            self.layers.discard(staged)
            raise
        return layer

    async def add_images(self, new: Sequence[NewImage]) -> list[Image]:
        """Commit images whose layers are here and held, all by one change; their names are taken from others.

        Raises InvalidConfig, StorageError; nothing has changed then.
        """
        stored = {image.id: complete(read_config(image.raw), image.layers) for image in new}
        async with self.lock:
            index = self.catalogue.index.copy()
            for image in new:
                index.images[image.id] = Listed(tagged=self.clock())
                index.names.update(dict.fromkeys(image.names, image.id))
            await trio.to_thread.run_sync(self._write_images, new, index)
            self.catalogue = Catalogue(index, {**self.catalogue.stored, **stored})
            return [self.catalogue.find(image.id) for image in new]

    def _write_images(self, new: Sequence[NewImage], index: Index) -> None:
        fresh = [image for image in new if image.id not in self.catalogue.index.images]
        with storage_faults("the image cannot be stored"):
            try:
                for image in fresh:
                    write_atomic(self._places.config(image.id), image.raw)
                write_index(self._places.index, index)
            except BaseException:
                for image in fresh:
                    with suppress(FileNotFoundError):
                        os.unlink(self._places.config(image.id))
                raise

    def config(self, image_id: str) -> bytes:
        """An image's configuration, as it is stored. Blocks. Raises StorageError."""
        with (
            storage_faults(f"the configuration of {image_id} cannot be read"),
            open(self._places.config(image_id), "rb") as file,
        ):
            return file.read()

    async def change(self, decide: Callable[[Index], Collection[str]]) -> list[Layer]:
        """Let ``decide`` alter a copy of the index and say which images go with all they had; the layers that went.

        ``decide`` runs when no other change does; what it raises leaves all as it was.
        """
        async with self.lock:
            index = self.catalogue.index.copy()
            gone = decide(index)
            for image_id in gone:
                index.images.pop(image_id, None)
            unneeded = self._unneeded(gone)
            retired = await trio.to_thread.run_sync(self._retire, index, gone, list(unneeded))
            self.catalogue = Catalogue(index, _without(self.catalogue.stored, gone))
        await self._discard(retired)
        return list(unneeded.values())

    def _unneeded(self, gone: Collection[str]) -> dict[str, Layer]:
        needed = self.catalogue.layer_names(without=gone)
        layers = (layer for image_id in gone for layer in self.catalogue.layers(image_id))
        return {layer.name: layer for layer in layers if layer.name not in needed and not self.pins[layer.name]}

    def _retire(self, index: Index, gone: Iterable[str], layers: Iterable[str]) -> list[str]:
        with storage_faults("the image cannot be removed"):
            write_index(self._places.index, index)
            for image_id in gone:
                with suppress(FileNotFoundError):
                    os.unlink(self._places.config(image_id))
        return self.layers.retire(layers)

    async def _drop_unneeded(self, names: Iterable[str]) -> None:
        async with self.lock:
            needed = self.catalogue.layer_names()
            unneeded = [name for name in set(names) if name not in needed and not self.pins[name]]
            retired = await trio.to_thread.run_sync(self.layers.retire, unneeded)
        await self._discard(retired)

    async def _discard(self, retired: Iterable[str]) -> None:
        """Remove directories; once out of the store they go, whatever happens to the caller."""
        with trio.CancelScope(deadline=trio.current_time() + _CLEANUP_SECONDS, shield=True):
            for path in retired:
                await trio.to_thread.run_sync(self.layers.discard, path)


def _without(stored: Mapping[str, Stored], gone: Collection[str]) -> dict[str, Stored]:
    return {image_id: image for image_id, image in stored.items() if image_id not in gone}
