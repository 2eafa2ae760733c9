"""An image's configuration document: read from anybody's, written as Docker writes it. Pure.

The document's bytes *are* the image (its ID is their digest), so they are kept as they came and never written anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from bireme.images._times import format_time, parse_time
from bireme.images.model import HistoryEntry, Image, ImageConfig
from bireme_actors import InvalidConfig

LONGEST = 4 << 20
"""Most bytes of a configuration."""
MOST_LAYERS = 125
"""What the names of all layers may fill of one mount's options; Docker's bound too."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_KNOWN = frozenset(
    ("Env", "Cmd", "Entrypoint", "User", "WorkingDir", "Volumes", "Labels", "ExposedPorts", "StopSignal")
)  # fmt: skip
_MACHINES = {
    "x86_64": ("amd64", ""), "aarch64": ("arm64", "v8"), "armv7l": ("arm", "v7"), "armv6l": ("arm", "v6"),
    "i386": ("386", ""), "i686": ("386", ""), "ppc64le": ("ppc64le", ""), "s390x": ("s390x", ""),
    "riscv64": ("riscv64", ""), "loongarch64": ("loong64", ""),
}  # fmt: skip


class _Run(msgspec.Struct, rename="pascal"):
    env: list[str] | None = None
    cmd: list[str] | str | None = None
    entrypoint: list[str] | str | None = None
    user: str | None = None
    working_dir: str | None = None
    volumes: dict[str, Any] | None = None
    labels: dict[str, str] | None = None
    exposed_ports: dict[str, Any] | None = None
    stop_signal: str | None = None


class _Step(msgspec.Struct):
    created: str | None = None
    created_by: str | None = None
    author: str | None = None
    comment: str | None = None
    empty_layer: bool | None = None


class _RootFS(msgspec.Struct):
    type: str = "layers"
    diff_ids: list[str] | None = None


class _Document(msgspec.Struct):
    rootfs: _RootFS
    architecture: str = ""
    variant: str | None = None
    os: str = "linux"
    created: str | None = None
    author: str | None = None
    comment: str | None = None
    config: _Run | None = None
    history: list[_Step] | None = None


def digest(data: bytes) -> str:
    """``sha256:`` and the digits."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def chain_ids(diff_ids: Sequence[str]) -> list[str]:
    """The digests of the stacks that end with each layer (OCI image specification, ``ChainID``)."""
    chain: list[str] = []
    for diff_id in diff_ids:
        chain.append(digest(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return chain


def host_platform() -> tuple[str, str]:
    """This machine's (architecture, variant), as Go names them."""
    machine = os.uname().machine
    return _MACHINES.get(machine, (machine, ""))


def read_config(raw: bytes) -> Image:
    """The image that a configuration describes, without what the store adds. Raises InvalidConfig."""
    try:
        document = msgspec.json.decode(raw, type=_Document)
        whole = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidConfig(f"the image's configuration is invalid: {error}") from error
    diff_ids = tuple(document.rootfs.diff_ids or ())
    _check(document, diff_ids)
    return Image(
        id=digest(raw),
        config=_run(document.config or _Run(), whole.get("config") or {}),
        layers=(),
        diff_ids=diff_ids,
        created=parse_time(document.created or ""),
        architecture=document.architecture,
        variant=document.variant or "",
        os=document.os or "linux",
        author=document.author or "",
        comment=document.comment or "",
        history=tuple(_step(step) for step in document.history or ()),
        document=whole,
    )


def _check(document: _Document, diff_ids: tuple[str, ...]) -> None:
    if document.os not in ("linux", ""):
        raise InvalidConfig(f'image operating system "{document.os}" cannot be used on this platform: linux is needed')
    if document.rootfs.type != "layers":
        raise InvalidConfig(f"the image's configuration is invalid: unknown rootfs type {document.rootfs.type!r}")
    if bad := next((diff_id for diff_id in diff_ids if not _DIGEST.fullmatch(diff_id)), None):
        raise InvalidConfig(f"the image's configuration is invalid: {bad!r} is not a layer's digest")
    if len(diff_ids) > MOST_LAYERS:
        raise InvalidConfig(f"max depth exceeded: the image has {len(diff_ids)} layers, {MOST_LAYERS} are possible")


def _run(run: _Run, whole: dict[str, object]) -> ImageConfig:
    return ImageConfig(
        env=tuple(run.env or ()),
        cmd=_command(run.cmd),
        entrypoint=_command(run.entrypoint),
        user=run.user or "",
        working_dir=run.working_dir or "",
        volumes=tuple(sorted(run.volumes or ())),
        labels=dict(run.labels or {}),
        exposed_ports=tuple(sorted(run.exposed_ports or ())),
        stop_signal=run.stop_signal or "",
        extra={key: value for key, value in whole.items() if key not in _KNOWN and value is not None},
    )


def _command(value: list[str] | str | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    return (value,) if isinstance(value, str) else tuple(value)


def _step(step: _Step) -> HistoryEntry:
    return HistoryEntry(
        created=parse_time(step.created or ""),
        created_by=step.created_by or "",
        author=step.author or "",
        comment=step.comment or "",
        empty_layer=bool(step.empty_layer),
    )


def build_config(config: ImageConfig, *, diff_ids: list[str], created: int, comment: str) -> bytes:
    """The document of an imported image; the same arguments give the same bytes."""
    architecture, variant = host_platform()
    moment = format_time(created)
    document = {
        "architecture": architecture,
        **({"variant": variant} if variant else {}),
        "comment": comment,
        "config": run_document(config),
        "created": moment,
        "history": [{"created": moment, "comment": comment}],
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def run_document(config: ImageConfig) -> dict[str, object]:
    """The part of it that says how to run the image, by Docker's names, without what is empty."""
    document: dict[str, object] = {
        "User": config.user,
        "ExposedPorts": {port: {} for port in sorted(config.exposed_ports)},
        "Env": list(config.env),
        "Entrypoint": None if config.entrypoint is None else list(config.entrypoint),
        "Cmd": None if config.cmd is None else list(config.cmd),
        "Volumes": {path: {} for path in sorted(config.volumes)},
        "WorkingDir": config.working_dir,
        "Labels": dict(config.labels),
        "StopSignal": config.stop_signal,
        **config.extra,
    }
    return {key: value for key, value in document.items() if value not in (None, "", {}, []) or key == "Cmd"}
