"""The two orders: between containers (who starts before whom) and within one container (what is mounted before what).

Both are pure. The first is the topological order of the volumes-from graph, by ``graphlib``; a cycle is an error that
prints the cycle. The second puts parents before children, so that a nested volume is never hidden by the one above.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from typing import TypeVar

from bireme_actors._errors import InvalidConfig
from bireme_actors._model import Mount, Tmpfs, VolumeId, VolumesFrom

N = TypeVar("N", bound=str)
M = TypeVar("M", bound=Mount | Tmpfs)

PATH_MAX = 4096
NAME_MAX = 255

LABEL_MODES = frozenset({"z", "Z"})
"""Of a ``--volumes-from`` or a mount: for SELinux, as Docker has them."""

NAMELESS = "volumes have no names and no chosen source here (Docker's data-volume specification): give only the path"


def start_order(sources: Mapping[N, Iterable[N]]) -> list[tuple[N, ...]]:
    """Generations of nodes, every node after all of its sources; within a generation all can go at once.

    Sources that are not nodes themselves are left out. Raises InvalidConfig that prints the cycle, if there is one,
    each node before its source.
    """
    sorter: TopologicalSorter[N] = TopologicalSorter()
    for node, wanted in sources.items():
        sorter.add(node, *(source for source in wanted if source in sources))
    try:
        sorter.prepare()
    except CycleError as error:
        cycle = " -> ".join(reversed(error.args[1]))
        raise InvalidConfig(f"volumes-from is a cycle: {cycle}; remove one of them") from None
    generations = []
    while sorter.is_active():
        ready = sorter.get_ready()
        generations.append(ready)
        sorter.done(*ready)
    return generations


def mount_order(mounts: Iterable[M]) -> tuple[M, ...]:
    """Parents before children, otherwise in the order given; teardown is the reverse."""
    return tuple(sorted(mounts, key=lambda mount: mount.destination.count("/")))


def mount_table(mounts: tuple[Mount, ...], tmpfs: Sequence[Tmpfs]) -> tuple[Mount | Tmpfs, ...]:
    """All that is mounted in a container, in mount order; at each place one thing, the last ``tmpfs`` if there is any.

    ``mounts``: its volumes, in mount order.
    """
    if not tmpfs:
        return mounts
    places: dict[str, Mount | Tmpfs] = {mount.destination: mount for mount in mounts}
    places |= {mount.destination: mount for mount in tmpfs}
    return mount_order(places.values())


def parse_volume(text: str) -> str:
    """The clean absolute path of one ``-v PATH``. Raises InvalidConfig, saying why, for anything else."""
    if not text:
        raise InvalidConfig("invalid volume '': the path is empty; give the absolute path to mount the volume at")
    if ":" in text:
        raise InvalidConfig(f"invalid volume '{shown(text)}': {NAMELESS}")
    return clean_destination(text)


@lru_cache(maxsize=256)
def clean_destination(path: str, kind: str = "volume") -> str:
    """``path`` as mount point of a ``kind``: absolute, clean, below the root. Raises InvalidConfig otherwise."""
    reason = _wrong_with(path, kind)
    if reason:
        raise InvalidConfig(f"invalid {kind} path '{shown(path)}': {reason}")
    return _clean(path)


def _clean(path: str) -> str:
    return "/" + posixpath.normpath(path).lstrip("/")


def _wrong_with(path: str, kind: str) -> str:
    if "\0" in path:
        return "it holds a NUL character"
    if not path.startswith("/"):
        return "it must be absolute; write it with a leading '/'"
    clean = _clean(path)
    if clean == "/":
        return f"the root itself cannot be a {kind}; name a directory below it"
    if len(clean.encode("utf-8", "surrogateescape")) >= PATH_MAX:
        return f"longer than {PATH_MAX - 1} bytes"
    if any(len(part.encode("utf-8", "surrogateescape")) > NAME_MAX for part in clean.split("/")):
        return f"a name in it is longer than {NAME_MAX} bytes"
    return ""


def parse_volumes_from(text: str) -> VolumesFrom:
    """``CONTAINER[:ro|:rw]``. Raises InvalidConfig for another mode or no container.

    The modes ``z`` and ``Z``, also beside the other (``ro,Z``), ask for SELinux labels and change nothing here.
    """
    container, colon, mode = text.partition(":")
    if not container:
        raise InvalidConfig(f"invalid volumes-from '{shown(text)}': name a container")
    if not colon:
        return VolumesFrom(container)
    modes = mode.split(",")
    access = [one for one in modes if one not in LABEL_MODES]
    if len(access) > 1 or len(modes) > 2 or not set(access) <= {"ro", "rw"}:
        raise InvalidConfig(f"invalid volumes-from '{shown(text)}': the mode is '{shown(mode)}'; it can be ro or rw")
    return VolumesFrom(container, access[0] == "ro" if access else None)


@dataclass(frozen=True, slots=True)
class MountPlan:
    """What a new container mounts: ``inherited`` as they are, and a new volume at each path of ``fresh``."""

    inherited: tuple[Mount, ...]
    fresh: tuple[str, ...]

    def mounts(self, new_volumes: Sequence[VolumeId]) -> tuple[Mount, ...]:
        """The whole mount table, in mount order; ``new_volumes`` are for ``fresh``, pairwise."""
        owned = (Mount(volume, path) for volume, path in zip(new_volumes, self.fresh, strict=True))
        return mount_order((*self.inherited, *owned))


def plan_mounts(
    paths: Iterable[str],
    sources: Iterable[tuple[VolumesFrom, Iterable[Mount]]],
    covered: Collection[str] = (),
) -> MountPlan:
    """Join a container's own volume paths with what its volumes-from sources mount.

    As in Docker: of several sources that mount the same path the last one wins, and a source wins over a path of the
    container's own. A mode of the reference overrides each mount's own; ``:rw`` cannot widen what the source has
    read-only. No volume is at the ``covered`` places, which a tmpfs takes.
    """
    inherited: dict[str, Mount] = {}
    for reference, mounts in sources:
        for mount in mounts:
            if mount.destination not in covered:
                read_only = mount.read_only or bool(reference.read_only)
                inherited[mount.destination] = replace(mount, read_only=read_only, owned=False)
    fresh = [path for path in dict.fromkeys(paths) if path not in inherited and path not in covered]
    return MountPlan(tuple(inherited.values()), tuple(fresh))


def shown(text: str) -> str:
    """As messages have it: printable, at most 120 characters."""
    printable = text.encode("unicode_escape", "backslashreplace").decode() if not text.isprintable() else text
    return printable if len(printable) <= 120 else printable[:117] + "..."
