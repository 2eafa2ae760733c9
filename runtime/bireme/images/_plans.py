"""What an archive of images holds, by whichever of the three layouts: the part that reads small JSON members.

- ``docker save``: ``manifest.json`` names configurations and layers.
- An OCI image layout: ``index.json`` leads to manifests, through more indexes for several platforms.
- ``docker save`` before 1.10: ``repositories`` and a directory a layer (see ``_legacy``).

A newer ``docker save`` is the first and the second at once; ``manifest.json`` goes first, as in Docker.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from bireme.images._config import LONGEST, digest, host_platform
from bireme.images._spool import Spool
from bireme.images.references import Reference, parse
from bireme_actors import InvalidConfig

T = TypeVar("T")

_LONGEST_MANIFEST = 4 << 20
_MOST_IMAGES = 256
_DEEPEST = 4
"""Indexes within indexes."""
_IMAGE_CONFIGS = ("application/vnd.oci.image.config.", "application/vnd.docker.container.image.")
_CONTAINERD_NAME = "io.containerd.image.name"
_REF_NAME = "org.opencontainers.image.ref.name"
_ATTESTATION = "vnd.docker.reference.type"


@dataclass(frozen=True, slots=True)
class PlannedLayer:
    """A member that holds a layer's archive; ``blob`` is the digest it must have, if that is known."""

    member: str
    blob: str = ""


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """One image of an archive. Without a configuration (of old archives) one is made of ``legacy``."""

    config: bytes
    layers: tuple[PlannedLayer, ...]
    names: tuple[str, ...]
    """Whole names."""
    legacy: tuple[bytes, ...] = ()


class _Manifest(msgspec.Struct, rename="pascal"):
    config: str
    repo_tags: list[str] | None = None
    layers: list[str] | None = None


class _Platform(msgspec.Struct):
    architecture: str = ""
    os: str = ""
    variant: str = ""


class _Descriptor(msgspec.Struct, rename="camel"):
    digest: str
    size: int
    media_type: str = ""
    platform: _Platform | None = None
    annotations: dict[str, str] | None = None


class _Document(msgspec.Struct, rename="camel"):
    """A manifest or an index."""

    config: _Descriptor | None = None
    layers: list[_Descriptor] | None = None
    manifests: list[_Descriptor] | None = None


def docker_images(spool: Spool) -> list[PlannedImage]:
    """The images that ``manifest.json`` names. Raises InvalidConfig."""
    manifests = decode(spool.read("manifest.json", _LONGEST_MANIFEST), list[_Manifest], "manifest.json")
    check_count(manifests)
    return [
        PlannedImage(
            spool.read(manifest.config, LONGEST),
            tuple(PlannedLayer(member) for member in manifest.layers or ()),
            tuple(tagged(text) for text in manifest.repo_tags or ()),
        )
        for manifest in manifests
    ]


def oci_images(spool: Spool) -> list[PlannedImage]:
    """The images that ``index.json`` leads to: one for each name, for this machine's platform. Raises InvalidConfig."""
    index = decode(spool.read("index.json", _LONGEST_MANIFEST), _Document, "index.json")
    groups: dict[str, list[_Descriptor]] = {}
    for descriptor in index.manifests or ():
        name = _name(descriptor)
        groups.setdefault(name or ("" if descriptor.platform else descriptor.digest), []).append(descriptor)
    found: dict[str, tuple[_Document, list[str]]] = {}
    for group in groups.values():
        chosen = _choose(spool, group)
        manifest = _manifest(spool, chosen, _DEEPEST)
        name = _name(chosen)
        found.setdefault(chosen.digest, (manifest, []))[1].extend([name] if name else [])
    check_count(found)
    return [_oci_image(spool, manifest, names) for manifest, names in found.values()]


def _oci_image(spool: Spool, manifest: _Document, names: Sequence[str]) -> PlannedImage:
    config = manifest.config
    if config is None or not config.media_type.startswith(_IMAGE_CONFIGS):
        kind = config.media_type if config else "nothing"
        raise InvalidConfig(f"the archive holds no image: its configuration is {kind!r}")
    layers = tuple(PlannedLayer(_member(layer.digest), layer.digest) for layer in manifest.layers or ())
    return PlannedImage(_blob(spool, config, LONGEST), layers, tuple(names))


def _manifest(spool: Spool, descriptor: _Descriptor, depth: int) -> _Document:
    document = decode(_blob(spool, descriptor, _LONGEST_MANIFEST), _Document, f"manifest {descriptor.digest}")
    if document.manifests is None or document.config is not None:
        return document
    if depth == 0:
        raise InvalidConfig("the archive's indexes nest too deeply")
    return _manifest(spool, _choose(spool, document.manifests), depth - 1)


def _choose(spool: Spool, descriptors: Sequence[_Descriptor]) -> _Descriptor:
    """The one for this machine, of those whose blob is here; one that names no platform if there is no other."""
    architecture, variant = host_platform()
    ranked = []
    for descriptor in descriptors:
        platform = descriptor.platform or _Platform()
        fits = platform.os in ("linux", "") and platform.architecture in (architecture, "")
        if fits and _member(descriptor.digest) in spool and _ATTESTATION not in (descriptor.annotations or {}):
            exact = platform.architecture == architecture, platform.variant in (variant, "")
            ranked.append((exact, descriptor))
    if ranked:
        return max(ranked, key=lambda pair: pair[0])[1]
    platforms = [item.platform for item in descriptors if item.platform and item.platform.os != "unknown"]
    offered = ", ".join(sorted({f"{platform.os}/{platform.architecture}" for platform in platforms}))
    raise InvalidConfig(f"the archive has no image for linux/{architecture}, only for {offered or 'no platform'}")


def _name(descriptor: _Descriptor) -> str:
    """The whole name that an index gives an image. A bare tag, which the annotation may be too, names nothing."""
    annotations = descriptor.annotations or {}
    text = annotations.get(_CONTAINERD_NAME, "") or annotations.get(_REF_NAME, "")
    if _CONTAINERD_NAME not in annotations and not set(text) & set(":/"):
        return ""
    return tagged(text)


def _blob(spool: Spool, descriptor: _Descriptor, most: int) -> bytes:
    data = spool.read(_member(descriptor.digest), most)
    if digest(data) != descriptor.digest or len(data) != descriptor.size:
        raise InvalidConfig(f"the archive is damaged: the blob {descriptor.digest} has another digest or size")
    return data


def _member(blob: str) -> str:
    algorithm, _, digits = blob.partition(":")
    if algorithm != "sha256" or len(digits) != 64 or digits.strip("0123456789abcdef"):
        raise InvalidConfig(f"the archive names a blob {blob!r}, which is not a SHA-256 digest")
    return f"blobs/sha256/{digits}"


def check_count(images: Collection[object]) -> None:
    """Refuse an archive that says it has more images than anybody puts into one. Raises InvalidConfig."""
    if len(images) > _MOST_IMAGES:
        raise InvalidConfig(f"the archive has {len(images)} images, more than {_MOST_IMAGES}: split it")


def tagged(text: str) -> str:
    """The whole name of a text that must have a tag. Raises InvalidConfig."""
    reference: Reference = parse(text)
    if not reference.tag or reference.digest:
        raise InvalidConfig(f"invalid tag {text!r}")
    return reference.key


def decode(data: bytes, kind: type[T], name: str) -> T:
    """Read JSON of a certain shape. Raises InvalidConfig."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidConfig(f"the archive's {name} is invalid: {error}") from error
