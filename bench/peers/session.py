"""What a system that has been opened can be asked to do. What it cannot do is left out, and so is not measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from bench.processes import MountNamespace

Times = list[float]
Life = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Site:
    """Where a system may put its files, and what it finds there."""

    place: Path
    """A directory of its own, with a short name."""
    programs: Path
    """Where programs in C are compiled to."""
    layer: Path
    """The unpacked root of the image."""
    archive: Path
    """The same as a tar archive."""
    seccomp: Path
    """Docker's default filter, compiled."""
    namespace: MountNamespace


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Abilities of an opened system. Ways (``library``, ``api``, ``command``) are keys where there may be several."""

    version: str
    parallels: tuple[int, ...] = (1, 2, 4, 8)
    """Degrees of parallelism that are tried."""
    start: Callable[[int, int], Times] | None = None
    """Run so many containers of one volume each, so many at a time, and remove them; seconds from the beginning until
    each one ran."""
    run: Mapping[str, Life] = field(default_factory=dict)
    """One container from before its creation until it has been removed; seconds."""
    shared: Callable[[int, int], Times] | None = None
    """As ``start``, every container with the volumes of one that was started before."""
    wait: Mapping[str, Callable[[int], Times]] = field(default_factory=dict)
    """Seconds from a container's exit to the answer to each of so many waiters."""
    running: Callable[[int], AbstractContextManager[None]] | None = None
    """So many containers run in the block."""
    processes: Callable[[], list[int]] | None = None
    """The system's own processes, those inside the containers left out."""
    executing: Callable[[], AbstractContextManager[Mapping[str, Life]]] | None = None
    """Ways to execute ``true`` in a container that runs in the block; seconds."""
    logs: Callable[[int, bool], float] | None = None
    """MiB a second through ``logs -f`` of so many MiB of output; True: while another reader of as much has stopped
    reading."""
