"""``commit``: an image of another one's layers and what a container has written on top of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bireme.images._config import host_platform, run_document
from bireme.images._repository import NewImage, Repository
from bireme.images._streams import FromSource
from bireme.images._tar import Stream
from bireme.images._times import format_time
from bireme.images.changes import apply_changes, check_text
from bireme.images.imports import new_name
from bireme.images.model import Image, ImageConfig
from bireme_actors import ByteSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What to make of a container."""

    base: str
    """The ID of the image it was made of."""
    config: ImageConfig
    """How it runs."""
    reference: str = ""
    changes: Sequence[str] = ()
    """Instructions, as of a Dockerfile, on top of ``config``."""
    message: str = ""
    author: str = ""


async def commit_image(repository: Repository, source: ByteSource, commit: Commit) -> Image:
    """Unpack the layer and commit the image. What is wrong with the request is found before a byte is read."""
    names = (new_name(commit.reference),) if commit.reference else ()
    config = merged(commit.config, apply_changes(commit.changes))
    check_text(commit.message, "the message")
    check_text(commit.author, "the author")

    def archive() -> Stream:
        return FromSource(source)

    async with repository.hold() as hold:
        base = repository.catalogue.find(commit.base)
        below = repository.catalogue.layers(base.id)
        for layer in below:
            hold.pin_nowait(layer.name)
        layer = await repository.add_layer(hold, archive)
        raw = _document(base, replace(commit, config=config), [*base.diff_ids, layer.diff_id], repository.clock())
        return (await repository.add_images([NewImage(raw, (*below, layer), names)]))[0]


def merged(config: ImageConfig, changes: ImageConfig) -> ImageConfig:
    """The configuration with the changes put over it."""
    env = {entry.partition("=")[0]: entry for entry in (*config.env, *changes.env) if "=" in entry}
    entrypoint = config.entrypoint if changes.entrypoint is None else changes.entrypoint
    return replace(
        config,
        env=tuple(env.values()),
        cmd=config.cmd if changes.cmd is None else changes.cmd,
        entrypoint=entrypoint,
        user=changes.user or config.user,
        working_dir=changes.working_dir or config.working_dir,
        volumes=tuple(sorted({*config.volumes, *changes.volumes})),
        labels={**config.labels, **changes.labels},
        exposed_ports=tuple(sorted({*config.exposed_ports, *changes.exposed_ports})),
        stop_signal=changes.stop_signal or config.stop_signal,
    )


def _document(base: Image, commit: Commit, diff_ids: list[str], created: int) -> bytes:
    architecture, variant = base.architecture, base.variant
    if not architecture:
        architecture, variant = host_platform()
    moment = format_time(created)
    known = base.document.get("history")
    steps: list[object] = list(known) if isinstance(known, list) else []
    step = {"created": moment, "created_by": " ".join(commit.config.cmd or ()), "author": commit.author}
    document = {
        "architecture": architecture,
        **({"variant": variant} if variant else {}),
        "author": commit.author,
        "comment": commit.message,
        "config": run_document(commit.config),
        "created": moment,
        "history": [*steps, {**step, "comment": commit.message}],
        "os": "linux",
        "parent": base.id,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
