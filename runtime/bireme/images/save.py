"""``save``: images as an archive that Docker loads and that is an OCI image layout too.

Its layers are uncompressed, so a layer's digest is its ``diff_id`` and no image changes on the way. The small members
come first. The same images under the same names give the same bytes, whenever they are saved.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import trio

from bireme.images._config import digest
from bireme.images._layers import Layer, LayerDirectory
from bireme.images._repository import Repository
from bireme.images.model import Image
from bireme.images.references import Reference

_CHUNK = 1 << 20
_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_BLOBS = "blobs/sha256"


@dataclass(slots=True)
class _Saved:
    image: Image
    config: bytes
    layers: tuple[Layer, ...]
    names: list[Reference] = field(default_factory=list)


async def save_images(repository: Repository, refs: Sequence[str]) -> AsyncGenerator[bytes, None]:
    """The archive, in pieces of about a mebibyte; the images stay for as long as it is read."""
    async with repository.hold() as hold:
        selected = _select(repository, refs)
        for image, _ in selected.values():
            for layer in repository.catalogue.layers(image.id):
                hold.pin_nowait(layer.name)
        saved = [await _read(repository, image, names) for image, names in selected.values()]
        pieces = _archive(saved, repository.layers)
        try:
            while chunk := await trio.to_thread.run_sync(partial(_next_chunk, pieces)):
                yield chunk
        finally:
            pieces.close()


def check_savable(repository: Repository, refs: Sequence[str]) -> None:
    """Raises ImageNotFound, InvalidConfig if one of them cannot be saved."""
    _select(repository, refs)


def _select(repository: Repository, refs: Sequence[str]) -> dict[str, tuple[Image, list[Reference]]]:
    selected: dict[str, tuple[Image, list[Reference]]] = {}
    for ref in refs:
        for image, name in repository.catalogue.selected(ref):
            known = selected.setdefault(image.id, (image, []))[1]
            if name is not None and name not in known:
                known.append(name)
    return selected


async def _read(repository: Repository, image: Image, names: list[Reference]) -> _Saved:
    raw = await trio.to_thread.run_sync(repository.config, image.id)
    return _Saved(image, raw, repository.catalogue.layers(image.id), names)


def _next_chunk(pieces: Iterator[bytes]) -> bytes:
    chunk = bytearray()
    for piece in pieces:
        chunk += piece
        if len(chunk) >= _CHUNK:
            break
    return bytes(chunk)


def _archive(saved: Sequence[_Saved], layers: LayerDirectory) -> Generator[bytes, None, None]:
    manifests = [_manifest(image) for image in saved]
    size = 0
    for piece in _members(saved, manifests, layers):
        size += len(piece)
        yield piece
    yield bytes(2 * tarfile.BLOCKSIZE + -(size + 2 * tarfile.BLOCKSIZE) % tarfile.RECORDSIZE)


def _members(saved: Sequence[_Saved], manifests: Sequence[bytes], layers: LayerDirectory) -> Iterator[bytes]:
    yield from _file("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    yield from _file("index.json", _index(saved, manifests))
    yield from _file("manifest.json", _docker_manifest(saved))
    yield _header("blobs", directory=True)
    yield _header(_BLOBS, directory=True)
    small = {digest(data): data for data in (*manifests, *(image.config for image in saved))}
    for blob, data in sorted(small.items()):
        yield from _file(_member(blob), data)
    for layer in {layer.diff_id: layer for image in saved for layer in image.layers}.values():
        yield _header(_member(layer.diff_id), layer.archive_size)
        yield from layers.archive(layer)
        yield bytes(-layer.archive_size % tarfile.BLOCKSIZE)


def _file(name: str, data: bytes) -> Iterator[bytes]:
    yield _header(name, len(data))
    yield data + bytes(-len(data) % tarfile.BLOCKSIZE)


def _header(name: str, size: int = 0, *, directory: bool = False) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    member.type, member.mode = (tarfile.DIRTYPE, 0o755) if directory else (tarfile.REGTYPE, 0o644)
    return member.tobuf(tarfile.PAX_FORMAT)


def _manifest(saved: _Saved) -> bytes:
    return _json(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _descriptor(_CONFIG, saved.image.id, len(saved.config)),
            "layers": [_descriptor(_LAYER, layer.diff_id, layer.archive_size) for layer in saved.layers],
        }
    )


def _index(saved: Sequence[_Saved], manifests: Sequence[bytes]) -> bytes:
    entries = []
    for image, manifest in zip(saved, manifests, strict=True):
        descriptor = _descriptor(_MANIFEST, digest(manifest), len(manifest))
        for name in image.names:
            named = {"io.containerd.image.name": str(name), "org.opencontainers.image.ref.name": name.tag}
            entries.append({**descriptor, "annotations": named})
        if not image.names:
            entries.append(descriptor)
    return _json({"schemaVersion": 2, "mediaType": _INDEX, "manifests": entries})


def _docker_manifest(saved: Sequence[_Saved]) -> bytes:
    return _json(
        [
            {
                "Config": _member(image.image.id),
                "RepoTags": [name.familiar for name in image.names] or None,
                "Layers": [_member(layer.diff_id) for layer in image.layers],
            }
            for image in saved
        ]
    )


def _descriptor(kind: str, blob: str, size: int) -> dict[str, object]:
    return {"mediaType": kind, "digest": blob, "size": size}


def _member(blob: str) -> str:
    return f"{_BLOBS}/{blob.removeprefix('sha256:')}"


def _json(value: Mapping[str, object] | Sequence[object]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
