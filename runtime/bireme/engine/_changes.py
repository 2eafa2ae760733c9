"""What a container has changed in its root file system, read from its writable layer (``diff``).

A name in the writable layer is a deletion if it is a whiteout (a character device 0:0), an addition if no layer below
has it, else a modification. Directories on the way to a change count as modified, as in Docker.

The container may be writing meanwhile, and means no good: what has gone is passed over, and no link is followed, for
on the host it would lead out of the layer.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence

from bireme import _syscalls as sys_

MODIFIED, ADDED, DELETED = 0, 1, 2

MOUNTED = frozenset({"/dev", "/proc", "/sys", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/sbin/docker-init"})
"""Places the engine mounts things at in every container; what had to be made for that is nobody's change."""
_HOLDING = frozenset(os.path.dirname(path) for path in MOUNTED)


_HERE = sys_.RESOLVE_BENEATH | sys_.RESOLVE_NO_SYMLINKS
_ELSEWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)

Compared = tuple[str, os.stat_result, os.stat_result | None]
"""A name, and what it stands for in the writable layer and in the highest other one that has it."""


def find_changes(upper: str, layers: Sequence[str]) -> list[tuple[str, int]]:
    """``(path, kind)`` in the order of the paths. ``layers``: directories, highest first.

    The place of a volume that the image lacks counts as added; what is in the volume is no part of the root.
    """
    with contextlib.ExitStack() as stack:
        top, *below = [_hold(stack, os.open(path, os.O_PATH | os.O_DIRECTORY)) for path in (upper, *layers)]
        seen = list(_walk(top, below))
    changes: list[tuple[str, int]] = []
    touched: set[str] = set()
    for path, alone, touched_inside in reversed(seen):  # what is in a directory comes before it
        change = touched_inside if path in touched else alone
        if change is not None:
            changes.append((path, change))
            touched.add(os.path.dirname(path))
    return sorted(changes)


def _hold(stack: contextlib.ExitStack, fd: int) -> int:
    stack.callback(os.close, fd)
    return fd


def _walk(top: int, below: Sequence[int]) -> Iterator[tuple[str, int | None, int | None]]:
    """Every path with its kind of change, and its kind if something inside has changed; directories come first."""
    waiting = [""]
    while waiting:
        directory = waiting.pop()
        for name, found, before in _entries(top, below, directory):
            path = f"{directory}/{name}"
            if path in MOUNTED:
                continue
            if _is_whiteout(found):
                yield path, DELETED, DELETED
                continue
            yield path, _kind(path, found, before, touched=False), _kind(path, found, before, touched=True)
            if stat.S_ISDIR(found.st_mode):
                waiting.append(path)


def _entries(top: int, below: Sequence[int], directory: str) -> Iterator[Compared]:
    with contextlib.ExitStack() as stack:
        here = _open(stack, top, directory)
        if here is None:
            return
        lower = [fd for root in below if (fd := _open(stack, root, directory)) is not None]
        for name in os.listdir(here):
            found = _stat(name, here)
            if found is not None:
                yield name, found, next(filter(None, (_stat(name, fd) for fd in lower)), None)


def _open(stack: contextlib.ExitStack, root: int, directory: str) -> int | None:
    """A directory of a layer; None if there is none, or none any more."""
    try:
        return _hold(stack, sys_.openat2(root, f".{directory}", os.O_RDONLY | os.O_DIRECTORY, resolve=_HERE))
    except OSError as error:
        if error.errno in _ELSEWHERE:
            return None
        raise


def _stat(name: str, directory: int) -> os.stat_result | None:
    try:
        return os.lstat(name, dir_fd=directory)
    except FileNotFoundError:
        return None


def _is_whiteout(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def _kind(path: str, found: os.stat_result, before: os.stat_result | None, *, touched: bool) -> int | None:
    if before is None:
        return None if path in _HOLDING and not touched else ADDED
    if _is_whiteout(before):
        return ADDED
    same = stat.S_ISDIR(found.st_mode) and _facts(path, found) == _facts(path, before)
    return None if same and not touched else MODIFIED


def _facts(path: str, found: os.stat_result) -> tuple[int, int, int, int]:
    """What tells a changed directory; in one that holds places of the engine's, not the time of making those."""
    return found.st_mode, found.st_uid, found.st_gid, 0 if path in _HOLDING else found.st_mtime_ns
