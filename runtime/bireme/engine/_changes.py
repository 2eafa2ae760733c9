"""What a container has changed in its root file system, read from its writable layer (``diff``).

A name in the writable layer is a deletion if it is a whiteout (a character device 0:0), an addition if no layer below
has it, else a modification. Directories on the way to a change count as modified, as in Docker.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence

MODIFIED, ADDED, DELETED = 0, 1, 2

MOUNTED = frozenset(
    {"/dev", "/proc", "/sys", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/sbin/docker-init"}
)
"""Places the engine mounts things at in every container; what had to be made for that is nobody's change."""
_HOLDING = frozenset(os.path.dirname(path) for path in MOUNTED)


def find_changes(upper: str, layers: Sequence[str]) -> list[tuple[str, int]]:
    """``(path, kind)`` in the order of the paths. ``layers``: directories, highest first.

    The place of a volume that the image lacks counts as added; what is in the volume is no part of the root.
    """
    return sorted(_walk(upper, "", layers))


def _walk(upper: str, below: str, layers: Sequence[str]) -> Iterator[tuple[str, int]]:
    with os.scandir(upper + below) as entries:
        for entry in entries:
            path = f"{below}/{entry.name}"
            if path in MOUNTED:
                continue
            found = entry.stat(follow_symlinks=False)
            if stat.S_ISCHR(found.st_mode) and found.st_rdev == 0:
                yield path, DELETED
                continue
            inside = list(_walk(upper, path, layers)) if stat.S_ISDIR(found.st_mode) else []
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
        same = stat.S_ISDIR(found.st_mode) and _facts(path, found) == _facts(path, before)
        return None if same and not touched else MODIFIED
    return None if path in _HOLDING and not touched else ADDED


def _facts(path: str, found: os.stat_result) -> tuple[int, int, int, int]:
    """What tells a changed directory; in one that holds places of the engine's, not the time of making those."""
    return found.st_mode, found.st_uid, found.st_gid, 0 if path in _HOLDING else found.st_mtime_ns
