"""``load``: the images of a ``docker save`` archive or an OCI image layout.

The archive is copied to a scratch file first (see ``_spool``); then every layer that is not here yet is unpacked, its
digests compared; at last all the images are committed by one change, so a failing archive leaves none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from bireme.images._config import read_config
from bireme.images._layers import Layer
from bireme.images._legacy import legacy_config, legacy_images
from bireme.images._plans import PlannedImage, PlannedLayer, docker_images, oci_images
from bireme.images._removal import short
from bireme.images._repository import Hold, NewImage, Repository
from bireme.images._spool import Spool
from bireme.images._streams import FromSource, Hashed, Reporter, decompressed
from bireme.images._tar import Stream
from bireme.images.model import Image, Progress, ProgressEvent
from bireme.images.references import parse
from bireme_actors import ByteSource, InvalidConfig

Loaded = tuple[tuple[str, Image], ...]
"""Each name with its image; an image without a name by its ID."""


async def load_images(repository: Repository, source: ByteSource, *, progress: Progress, total: int) -> Loaded:
    """Read the archive and commit what it holds."""
    with _spool(repository.staging) as spool:
        report = Reporter(progress, "Receiving", total=total)
        await repository.in_thread(partial(_fill, spool, source, report))
        planned = await repository.in_thread(partial(_plan, spool))
        async with repository.hold() as hold:
            new = [await _unpack(repository, hold, spool, image, progress) for image in planned]
            _tell_moves(repository, new, progress)
            images = await repository.add_images(new)
    return tuple(
        (parse(name).familiar if name else image.id, image)
        for image, plan in zip(images, new, strict=True)
        for name in plan.names or ("",)
    )


@contextmanager
def _spool(directory: str) -> Iterator[Spool]:
    spool = Spool(directory)
    try:
        yield spool
    finally:
        spool.close()


def _fill(spool: Spool, source: ByteSource, report: Reporter) -> None:
    spool.fill(decompressed(Hashed(FromSource(source), report)))


def _plan(spool: Spool) -> list[PlannedImage]:
    for member, read in (("manifest.json", docker_images), ("index.json", oci_images), ("repositories", legacy_images)):
        if member in spool:
            images = read(spool)
            break
    else:
        raise InvalidConfig(
            "the archive holds no image (no manifest.json, no index.json): for a root file system use import"
        )
    if not images:
        raise InvalidConfig("the archive holds no image: its list of images is empty")
    return images


async def _unpack(
    repository: Repository, hold: Hold, spool: Spool, image: PlannedImage, progress: Progress
) -> NewImage:
    expected: Sequence[str] = [""] * len(image.layers)
    if image.config:
        expected = read_config(image.config).diff_ids
        if len(expected) != len(image.layers):
            raise InvalidConfig(
                f"invalid manifest, layers length mismatch: expected {len(expected)}, got {len(image.layers)}"
            )
    layers: list[Layer] = []
    for planned, diff_id in zip(image.layers, expected, strict=True):
        name = short(diff_id or planned.member)
        stream = partial(_layer_stream, spool, planned, Reporter(progress, "Loading layer", name=name))
        layers.append(await repository.add_layer(hold, stream, diff_id))
        size = spool.size(planned.member)
        progress(ProgressEvent(status="Loading layer", id=name, current=size, total=size))
    raw = image.config or legacy_config(image.legacy, [layer.diff_id for layer in layers])
    return NewImage(raw, tuple(layers), image.names)


def _layer_stream(spool: Spool, layer: PlannedLayer, report: Reporter) -> Stream:
    report.total = spool.size(layer.member)
    return decompressed(_Verified(spool.stream(layer.member), layer.blob, report))


def _tell_moves(repository: Repository, new: Sequence[NewImage], progress: Progress) -> None:
    """Say which names are about to lead to another image than before, as Docker does."""
    for image in new:
        for name in image.names:
            before = repository.catalogue.index.names.get(name)
            if before is not None and before != image.id:
                text = f"The image {parse(name).familiar} already exists, renaming the old one with ID {before}"
                progress(ProgressEvent(status=f"{text} to empty string"))


class _Verified:
    """A blob that is refused at its end if its digest is not what it should be."""

    def __init__(self, stream: Stream, expected: str, report: Reporter) -> None:
        self._stream = Hashed(stream, report)
        self._expected = expected

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        if not data and self._expected and self._stream.digest != self._expected:
            raise InvalidConfig(f"the archive is damaged: the blob {self._expected} has another digest")
        return data
