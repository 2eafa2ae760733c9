"""The start of a store: read what there is, remove what no image needs."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from bireme._files import remove_tree
from bireme.images._catalogue import Catalogue, Stored, complete
from bireme.images._config import read_config
from bireme.images._faults import storage_faults
from bireme.images._index import Index, Listed, read_index, write_index
from bireme.images._layers import LayerDirectory
from bireme_actors import BiremeError, StorageError


@dataclass(frozen=True, slots=True)
class Places:
    """The paths below a store's directory."""

    directory: str
    staging: str

    @property
    def index(self) -> str:
        return os.path.join(self.directory, "index.json")

    @property
    def configs(self) -> str:
        return os.path.join(self.directory, "configs")

    @property
    def layers(self) -> str:
        return os.path.join(self.directory, "layers")

    def config(self, image_id: str) -> str:
        """Where an image's configuration is."""
        return os.path.join(self.configs, image_id.removeprefix("sha256:"))


@dataclass(slots=True)
class Opened:
    """What was found. An image with a problem stays listed in the index, so that nothing of it is thrown away."""

    catalogue: Catalogue
    problems: list[str] = field(default_factory=list)


def open_places(places: Places, layers: LayerDirectory) -> Opened:
    """Blocks. Raises StorageError if the disk refuses or the index is damaged."""
    with storage_faults(f"the images in {places.directory} cannot be opened"):
        for path in (places.directory, places.configs, places.layers, places.staging):
            os.makedirs(path, 0o700, exist_ok=True)
        index = read_index(places.index)
        if index is None:
            index = Index(images={f"sha256:{name}": Listed() for name in os.listdir(places.configs)})
            write_index(places.index, index)
        opened = _read_images(places, layers, index)
        _remove_leftovers(places, layers, opened)
    return opened


def _read_images(places: Places, layers: LayerDirectory, index: Index) -> Opened:
    stored: dict[str, Stored] = {}
    problems: list[str] = []
    for image_id in index.images:
        try:
            stored[image_id] = _read_image(places, layers, image_id)
        except BiremeError as error:
            problems.append(f"image {image_id} cannot be used: {error}")
    return Opened(Catalogue(index, stored), problems)


def _read_image(places: Places, layers: LayerDirectory, image_id: str) -> Stored:
    try:
        with open(places.config(image_id), "rb") as file:
            image = read_config(file.read())
    except FileNotFoundError as error:
        raise StorageError(f"its configuration {error.filename} is missing") from error
    if image.id != image_id:
        raise StorageError("its configuration has been changed")
    found = []
    for diff_id in image.diff_ids:
        layer = layers.find(diff_id)
        if layer is None:
            raise StorageError(f"its layer {diff_id} is missing")
        found.append(layer)
    return complete(image, found)


def _remove_leftovers(places: Places, layers: LayerDirectory, opened: Opened) -> None:
    if not opened.problems:
        configs = {image_id.removeprefix("sha256:") for image_id in opened.catalogue.index.images}
        for name in set(os.listdir(places.configs)) - configs:
            os.unlink(os.path.join(places.configs, name))
        layers.retire(set(layers.names()) - opened.catalogue.layer_names())
    for name in os.listdir(places.staging):
        remove_tree(os.path.join(places.staging, name))
