"""Manifests and indexes: read from anybody's bytes, checked, the right platform chosen; and written. Pure.

(OCI image specification: manifest and index; Docker's image manifest version 2, schema 2.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from bireme.images._config import LONGEST as LONGEST_CONFIG
from bireme.images._config import MOST_LAYERS
from bireme.images.platforms import Platform, rank
from bireme.images.registry.faults import RegistryError
from bireme_actors import ImageNotFound

LONGEST_MANIFEST = 4 << 20

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
ACCEPT = f"{DOCKER_MANIFEST}, {OCI_MANIFEST}, {DOCKER_LIST}, {OCI_INDEX}"

_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+"
_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
_LAYERS = {
    **dict.fromkeys((DOCKER_GZIP, OCI_GZIP), "gzip"),
    **dict.fromkeys((_DOCKER_LAYER, _OCI_LAYER), ""),
    **dict.fromkeys((f"{_DOCKER_LAYER}.zstd", f"{_OCI_LAYER}+zstd"), "zstd"),
}
"""Media types of layers → their compression."""
_FOREIGN = ("application/vnd.docker.image.rootfs.foreign.", "application/vnd.oci.image.layer.nondistributable.")
_CONFIGS = ("application/vnd.oci.image.config.", "application/vnd.docker.container.image.")
_ATTESTATION = "vnd.docker.reference.type"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class _Platform(msgspec.Struct, frozen=True):
    architecture: str = ""
    os: str = ""
    variant: str = ""


class Descriptor(msgspec.Struct, frozen=True, rename="camel"):
    """What is where: the digest and size of a blob or manifest."""

    digest: str
    size: int
    media_type: str = ""
    platform: _Platform | None = None
    annotations: dict[str, str] | None = None

    def __post_init__(self) -> None:
        if not _DIGEST.fullmatch(self.digest):
            raise ValueError(f"{self.digest[:80]!r} is not a SHA-256 digest")
        if self.size < 0:
            raise ValueError(f"{self.digest} has a negative size")


class Document(msgspec.Struct, frozen=True, rename="camel"):
    """A manifest (it has ``config``) or an index (it has ``manifests``)."""

    schema_version: int = 0
    media_type: str = ""
    config: Descriptor | None = None
    layers: list[Descriptor] | None = None
    manifests: list[Descriptor] | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image: the blobs it is made of."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


def is_digest(text: str) -> bool:
    """``sha256:`` and 64 hexadecimal digits."""
    return _DIGEST.fullmatch(text) is not None


def read_document(data: bytes, kind: str, name: str) -> Document:
    """A manifest or an index; ``kind`` is its media type as the registry said. Raises RegistryError."""
    try:
        document = msgspec.json.decode(data, type=Document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RegistryError(f"the manifest of {name} is invalid: {error}") from None
    if document.schema_version == 1 or kind.startswith(_SCHEMA1) or document.media_type.startswith(_SCHEMA1):
        raise RegistryError(
            f"the manifest of {name} is of schema 1, which is not supported any more: "
            "push the image anew with a Docker of 1.10 or later (schema 2, or OCI)"
        )
    if document.media_type and (document.config, document.manifests) == (None, None):
        raise RegistryError(f"the manifest of {name} is of an unsupported kind: {document.media_type[:100]!r}")
    if document.config is not None and document.manifests is not None:
        raise RegistryError(f"the manifest of {name} is invalid: it is a manifest and an index at once")
    return document


def read_manifest(document: Document, name: str) -> Manifest:
    """The image of a manifest that is no index. Raises RegistryError."""
    config, layers = document.config, tuple(document.layers or ())
    if config is None:
        raise RegistryError(f"the manifest of {name} is invalid: it names no configuration")
    if not config.media_type.startswith(_CONFIGS):
        raise RegistryError(f"{name} is no image: its configuration is {config.media_type[:100]!r}")
    if config.size > LONGEST_CONFIG:
        raise RegistryError(f"the configuration of {name} is longer than {LONGEST_CONFIG} bytes")
    if len(layers) > MOST_LAYERS:
        raise RegistryError(f"max depth exceeded: {name} has {len(layers)} layers, {MOST_LAYERS} are possible")
    for layer in layers:
        _check_layer(layer, name)
    return Manifest(config, layers)


def _check_layer(layer: Descriptor, name: str) -> None:
    if layer.media_type.startswith(_FOREIGN):
        raise RegistryError(f"{name} has a layer that registries may not hand on ({layer.media_type}): it is foreign")
    if layer.media_type not in _LAYERS:
        raise RegistryError(f"{name} has a layer of an unknown kind: {layer.media_type[:100]!r}")


def choose(descriptors: Sequence[Descriptor], platform: Platform) -> Descriptor:
    """The best for a platform; of several equally good ones the first. Raises ImageNotFound with Docker's words."""
    best: tuple[int, Descriptor] | None = None
    for descriptor in descriptors:
        rank = _rank(descriptor, platform)
        if rank and (best is None or rank > best[0]):
            best = rank, descriptor
    if best is None:
        raise ImageNotFound(f"no matching manifest for {platform} in the manifest list entries")
    return best[1]


def _rank(descriptor: Descriptor, wanted: Platform) -> int:
    """0 for what does not do."""
    given = descriptor.platform
    if given is None or _ATTESTATION in (descriptor.annotations or {}):
        return 0
    return rank(Platform(given.os, given.architecture, given.variant), wanted)


def write_manifest(config: Descriptor, layers: Sequence[Descriptor]) -> tuple[str, bytes]:
    """Media type and bytes of a manifest: of Docker's kind, to the last byte, where that can say all, else OCI's."""
    docker = all(layer.media_type in (DOCKER_GZIP, OCI_GZIP) for layer in layers)
    kind, config_kind = (DOCKER_MANIFEST, DOCKER_CONFIG) if docker else (OCI_MANIFEST, OCI_CONFIG)
    document = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": _entry(config_kind, config),
        "layers": [_entry(DOCKER_GZIP if docker else _oci_kind(layer.media_type), layer) for layer in layers],
    }
    return kind, json.dumps(document, indent=3, separators=(",", ": ")).encode()


def _entry(kind: str, descriptor: Descriptor) -> dict[str, object]:
    return {"mediaType": kind, "size": descriptor.size, "digest": descriptor.digest}


def _oci_kind(kind: str) -> str:
    compression = _LAYERS[kind]
    return f"{_OCI_LAYER}+{compression}" if compression else _OCI_LAYER
