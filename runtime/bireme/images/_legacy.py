"""Archives of Docker before 1.10: ``repositories``, and a directory a layer with ``json`` and ``layer.tar``.

An image was the layer it ended with, and its configuration a chain of parents; a configuration of today's kind is made
of them as Docker does it (moby, ``image/v1/imagev1.go``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from bireme.images._config import LONGEST
from bireme.images._plans import PlannedImage, PlannedLayer, check_count, decode, tagged
from bireme.images._spool import Spool
from bireme_actors import InvalidConfig

_LONGEST_REPOSITORIES = 4 << 20
_MOST_PARENTS = 125
_ID = re.compile(r"[0-9a-f]{64}")
_DROPPED = frozenset(("id", "parent", "Size", "parent_id", "layer_id", "throwaway"))


def legacy_images(spool: Spool) -> list[PlannedImage]:
    """The images that ``repositories`` names. Raises InvalidConfig."""
    data = spool.read("repositories", _LONGEST_REPOSITORIES)
    repositories = decode(data, dict[str, dict[str, str]], "repositories")
    names: dict[str, list[str]] = {}
    for repository, tags in repositories.items():
        for tag, top in tags.items():
            names.setdefault(top, []).append(tagged(f"{repository}:{tag}"))
    check_count(names)
    return [_image(spool, top, found) for top, found in names.items()]


def _image(spool: Spool, top: str, names: Sequence[str]) -> PlannedImage:
    chain: list[tuple[str, bytes]] = []
    identifier = top
    while identifier:
        if not _ID.fullmatch(identifier) or len(chain) >= _MOST_PARENTS:
            raise InvalidConfig(f"the archive's image {top[:64]!r} has a parent that cannot be one")
        data = spool.read(f"{identifier}/json", LONGEST)
        chain.append((identifier, data))
        identifier = str(_fields(data).get("parent") or "")
    chain.reverse()
    layers = tuple(PlannedLayer(f"{identifier}/layer.tar") for identifier, _ in chain)
    return PlannedImage(b"", layers, tuple(names), tuple(data for _, data in chain))


def legacy_config(documents: Sequence[bytes], diff_ids: Sequence[str]) -> bytes:
    """A configuration of today's kind, of those of the layers, the lowest first."""
    top = {key: value for key, value in _fields(documents[-1]).items() if key not in _DROPPED}
    top["rootfs"] = {"type": "layers", "diff_ids": list(diff_ids)}
    top["history"] = [_step(_fields(data)) for data in documents]
    return json.dumps(top, separators=(",", ":"), ensure_ascii=False, sort_keys=True).encode()


def _step(fields: dict[str, Any]) -> dict[str, object]:
    container = fields.get("container_config")
    command = container.get("Cmd") if isinstance(container, dict) else None
    step = {
        "created": fields.get("created"),
        "author": fields.get("author"),
        "created_by": " ".join(map(str, command)) if isinstance(command, list) else None,
        "comment": fields.get("comment"),
    }
    return {key: value for key, value in step.items() if value}


def _fields(data: bytes) -> dict[str, Any]:
    return decode(data, dict[str, Any], "image description")
