"""What an image is to its users, and what is reported while one is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """How to run an image: the defaults of its containers. ``None`` for a command that was never set."""

    env: tuple[str, ...] = ()
    cmd: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    user: str = ""
    working_dir: str = ""
    volumes: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    exposed_ports: tuple[str, ...] = ()
    """``80/tcp``, sorted."""
    stop_signal: str = ""
    extra: Mapping[str, object] = field(default_factory=dict)
    """What this runtime does not act on (``Shell``, ``Healthcheck``, ``OnBuild``, ...), kept by Docker's names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One step of how an image came to be, the oldest first. ``size``: bytes of the layer it made, if any."""

    created: int
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image as it is stored."""

    id: str
    """``sha256:`` and 64 hexadecimal digits: the digest of its configuration."""
    config: ImageConfig
    layers: tuple[str, ...]
    """Directory names below the store's ``layers``, the lowest first."""
    diff_ids: tuple[str, ...]
    references: tuple[str, ...] = ()
    """Its tags as people write them, ``busybox:latest``, sorted."""
    digests: tuple[str, ...] = ()
    created: int = 0
    """Nanoseconds since the epoch; 0 where the image does not say."""
    size: int = 0
    """Bytes of all its layers' files."""
    architecture: str = ""
    variant: str = ""
    os: str = "linux"
    author: str = ""
    comment: str = ""
    history: tuple[HistoryEntry, ...] = ()
    tagged: int = 0
    """When its names last changed, nanoseconds since the epoch."""
    document: Mapping[str, object] = field(default_factory=dict)
    """The whole configuration as it is stored, by Docker's names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressEvent:
    """How far something is. ``total`` is 0 where nobody knows it; ``id`` is a layer's short name or empty."""

    status: str
    id: str = ""
    current: int = 0
    total: int = 0
    line: bool = False
    """Whether what comes later with the same ``id`` takes its place; counts always do."""
    aux: Mapping[str, object] | None = None
    """A result for programs, which is not shown."""


Progress = Callable[[ProgressEvent], None]
"""Called in the event loop's thread; must not block."""


def silent(event: ProgressEvent) -> None:
    """Progress that nobody watches."""
