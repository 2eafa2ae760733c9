"""What a container has changed in its root file system, read from its writable layer (``diff``).

A name in the writable layer is a deletion if it is a whiteout (a character device 0:0), an addition if no layer below
has it, else a modification. Directories on the way to a change count as modified, as in Docker.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence

MODIFIED, ADDED, DELETED = 0, 1, 2

MOUNTED = ("/dev", "/proc", "/sys", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/sbin/docker-init")
"""Places the engine mounts things at; what had to be made for that is nobody's change."""


def find_changes(upper: str, layers: Sequence[str], mounts: Sequence[str] = ()) -> list[tuple[str, int]]:
    """``(path, kind)`` in the order of the paths. ``layers``: directories, highest first. ``mounts``: paths to leave
    out.
    """
    return sorted(_walk(upper, "", layers, frozenset((*MOUNTED, *mounts))))


def _walk(upper: str, below: str, layers: Sequence[str], left_out: frozenset[str]) -> Iterator[tuple[str, int]]:
    with os.scandir(upper + below) as entries:
        for entry in entries:
            path = f"{below}/{entry.name}"
            if path in left_out:
                continue
            found = entry.stat(follow_symlinks=False)
            if stat.S_ISCHR(found.st_mode) and found.st_rdev == 0:
                yield path, DELETED
                continue
            inside = list(_walk(upper, path, layers, left_out)) if stat.S_ISDIR(found.st_mode) else []
            yield from inside
            change = _kind(path, found, layers, touched=bool(inside))
            if change is not None:
                yield path, change


def _kind(path: str, found: os.stat_result, layers: Sequence[str], *, touched: bool) -> int | None:
    for layer in layers:
        try:
            before = os.lstat(layer + path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if stat.S_ISCHR(before.st_mode) and before.st_rdev == 0:
            return ADDED
        same = stat.S_ISDIR(found.st_mode) and _facts(found) == _facts(before)
        return None if same and not touched else MODIFIED
    return ADDED


def _facts(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_mode, found.st_uid, found.st_gid, found.st_mtime_ns
