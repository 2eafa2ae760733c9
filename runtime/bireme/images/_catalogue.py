"""The picture of the images in memory, replaced as a whole by every change. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from bireme.images._index import Index
from bireme.images._layers import Layer
from bireme.images.model import HistoryEntry, Image
from bireme.images.references import Reference, full_id, is_prefix, key_of, no_such_image, parse
from bireme_actors import Conflict, ImageNotFound


@dataclass(frozen=True, slots=True)
class Stored:
    """An image and its layers. The image lacks its names, which the index has."""

    image: Image
    layers: tuple[Layer, ...]


def complete(image: Image, layers: Sequence[Layer]) -> Stored:
    """Add to what a configuration says what only the layers on disk tell: directories and sizes."""
    sizes = iter(layers)
    history: list[HistoryEntry] = []
    for step in image.history:
        layer = None if step.empty_layer else next(sizes, None)
        history.append(replace(step, size=layer.size) if layer is not None else step)
    whole = replace(
        image,
        layers=tuple(layer.directory for layer in layers),
        size=sum(layer.size for layer in layers),
        history=tuple(history),
    )
    return Stored(whole, tuple(layers))


class Catalogue:
    """Which images there are, by what they are called."""

    def __init__(self, index: Index, stored: Mapping[str, Stored]) -> None:
        self.index = index
        self.stored = stored
        self._images = {
            image_id: _named(stored[image_id].image, index)
            for image_id, listed in index.images.items()
            if image_id in stored and not listed.removed
        }

    def all(self) -> tuple[Image, ...]:
        """Every image that has not been removed, the newest first."""
        return tuple(sorted(self._images.values(), key=lambda image: (-image.created, image.id)))

    def find(self, ref: str) -> Image:
        """By whole ID, name, or beginning of one ID. Raises ImageNotFound, InvalidConfig, Conflict if two fit."""
        if whole := full_id(ref):
            if whole in self._images:
                return self._images[whole]
            raise ImageNotFound(no_such_image(ref))
        named = self.index.names.get(key_of(ref))
        if named in self._images:
            return self._images[named]
        fitting = [image for image_id, image in self._images.items() if is_prefix(ref, image_id)]
        if len(fitting) > 1:
            raise Conflict(f"ambiguous image ID '{ref}': {len(fitting)} images begin so; write more of it, or a name")
        if not fitting:
            raise ImageNotFound(no_such_image(ref))
        return fitting[0]

    def layers(self, image_id: str) -> tuple[Layer, ...]:
        """An image's layers, the lowest first, also while it only lives on for a container. Raises ImageNotFound."""
        return self._stored(image_id).layers

    def directories(self, image_id: str) -> tuple[str, ...]:
        """What to mount, as ``layers``."""
        return self._stored(image_id).image.layers

    def _stored(self, image_id: str) -> Stored:
        if image_id not in self.stored:
            raise ImageNotFound(f"No such image: {image_id}")
        return self.stored[image_id]

    def layer_names(self, without: Collection[str] = ()) -> set[str]:
        """The names of all layers that images have, apart from these images."""
        kept = (stored for image_id, stored in self.stored.items() if image_id not in without)
        return {layer.name for stored in kept for layer in stored.layers}

    def selected(self, ref: str) -> list[tuple[Image, Reference | None]]:
        """What ``save REF`` means: an image and the name to save with it, if any; all tags of a bare repository."""
        if full_id(ref):
            return [(self.find(ref), None)]
        reference = parse(ref)
        if not reference.tag and not reference.digest and (tags := self._tags(reference)):
            return tags
        named = self.index.names.get(reference.key) in self._images
        return [(self.find(ref), reference if named and reference.tag and not reference.digest else None)]

    def _tags(self, wanted: Reference) -> list[tuple[Image, Reference | None]]:
        names = ((parse(name), image_id) for name, image_id in sorted(self.index.names.items()))
        return [
            (self._images[image_id], name)
            for name, image_id in names
            if name.name == wanted.name and name.tag and image_id in self._images
        ]


def _named(image: Image, index: Index) -> Image:
    names = [parse(name) for name in index.references(image.id)]
    return replace(
        image,
        references=tuple(name.familiar for name in names if name.tag),
        digests=tuple(name.familiar for name in names if name.digest),
        tagged=index.images[image.id].tagged,
    )
