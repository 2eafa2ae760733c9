"""Where this host keeps its cgroups: the v2 hierarchy, and those v1 controllers that containers can be limited by."""

from __future__ import annotations

import os

from bireme import _syscalls as sys_

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_CONTROLLERS = frozenset(("memory", "cpu", "pids", "cpuset"))


class Mounted:
    """A line of ``mountinfo``, as far as it matters here."""

    __slots__ = ("kind", "options", "place", "root")

    def __init__(self, line: str) -> None:
        before, _, after = line.partition(" - ")
        self.root, self.place = (_unescape(field) for field in before.split(" ")[3:5])
        fields = after.split(" ")
        self.kind = fields[0]
        self.options = frozenset(fields[2].split(","))


def _unescape(field: str) -> str:
    for character in " \t\n\\":
        field = field.replace(f"\\{ord(character):03o}", character)
    return field


def open_all(place: str) -> tuple[int, dict[str, int]]:
    """Descriptors: of the v2 hierarchy (-1 if there is none to be had), and of our own group in each v1 hierarchy.

    Where no v2 hierarchy is mounted, one is mounted over the directory ``place`` for the moment; the caller has a
    mount namespace of its own.
    """
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        mounted = [Mounted(line.rstrip("\n")) for line in file if "cgroup" in line]
    with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        own = own_groups(file.read())
    v2 = [mount for mount in mounted if mount.kind == "cgroup2"]
    v1 = [mount for mount in mounted if mount.kind == "cgroup"]
    return _open_v2(v2, place), _open_v1(v1, own)


def own_groups(text: str) -> dict[str, str]:
    """The path of our own group for each v1 controller, of ``/proc/self/cgroup``."""
    found = {}
    for line in text.splitlines():
        _, names, path = line.split(":", 2)
        found.update(dict.fromkeys(_CONTROLLERS.intersection(names.split(",")), path))
    return found


def _open_v2(mounted: list[Mounted], place: str) -> int:
    try:
        if mounted:
            return os.open(mounted[-1].place, _DIRECTORY)
        sys_.mount("cgroup", place, "cgroup2", sys_.MS_NOSUID | sys_.MS_NODEV | sys_.MS_NOEXEC)
    except OSError:
        return -1
    try:
        return os.open(place, _DIRECTORY)
    finally:
        sys_.umount(place)


def _open_v1(mounted: list[Mounted], own: dict[str, str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for mount in mounted:
        for controller in mount.options.intersection(own).difference(found):
            path = os.path.normpath(f"{mount.place}/{os.path.relpath(own[controller], mount.root)}")
            try:
                found[controller] = os.open(path, _DIRECTORY)
            except OSError:
                continue
    return found
