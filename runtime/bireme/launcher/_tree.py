"""Walking and describing the files of a view by descriptors: no name is looked up but in the directory it was read in.

Containers write to these trees while they are walked. A name that is gone, or has become something else, by the time
it is opened is passed over; a link is never followed.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_OVERLAY = "trusted.overlay."
"""Attributes by which overlay keeps its own books: a copy that had them would be read as such a book."""
CHUNK = 1 << 20


class Entry:
    """A name in a directory."""

    __slots__ = ("found", "name", "parent", "path")

    def __init__(self, parent: int, name: str, path: str, found: os.stat_result) -> None:
        self.parent = parent
        self.name = name
        self.path = path
        """Relative to where the walk began."""
        self.found = found


class _Level:
    """A directory on the way down."""

    __slots__ = ("entry", "fd", "names")

    def __init__(self, fd: int, entry: Entry | None) -> None:
        self.fd = fd
        self.entry = entry
        self.names = iter(sorted(os.listdir(fd)))


def walk(top: int, descend: Callable[[os.stat_result], bool]) -> Iterator[tuple[Entry, int]]:
    """Everything below the directory ``top``, each directory twice: ``(entry, -1)`` before what it holds, and
    ``(entry, descriptor)`` after it. Directories for which ``descend`` is false are not looked into.
    """
    levels = [_Level(os.open(".", DIRECTORY, dir_fd=top), None)]
    try:
        while levels:
            level = levels[-1]
            name = next(level.names, None)
            if name is not None:
                entry = _look(level, name)
                if entry is not None:
                    yield entry, -1
                    if stat.S_ISDIR(entry.found.st_mode) and descend(entry.found):
                        _go_down(levels, entry)
                continue
            levels.pop()
            if level.entry is not None:
                yield level.entry, level.fd
            os.close(level.fd)
    finally:
        for level in levels:
            os.close(level.fd)


def _look(level: _Level, name: str) -> Entry | None:
    try:
        found = os.lstat(name, dir_fd=level.fd)
    except FileNotFoundError:
        return None
    path = f"{level.entry.path}/{name}" if level.entry is not None else name
    return Entry(level.fd, name, path, found)


def _go_down(levels: list[_Level], entry: Entry) -> None:
    fd = open_same(entry, DIRECTORY)
    if fd >= 0:
        levels.append(_Level(fd, entry))


def open_same(entry: Entry, flags: int) -> int:
    """Open what ``entry`` was found to be; -1 if it is that no longer."""
    try:
        fd = os.open(entry.name, flags, dir_fd=entry.parent)
    except OSError:
        if not _changed(entry):
            raise
        return -1
    if os.path.samestat(os.fstat(fd), entry.found):
        return fd
    os.close(fd)
    return -1


def _changed(entry: Entry) -> bool:
    try:
        return not os.path.samestat(os.lstat(entry.name, dir_fd=entry.parent), entry.found)
    except FileNotFoundError:
        return True


def attributes(place: int | str) -> dict[str, bytes]:
    """Extended attributes of an open file, or of a name in the working directory, which is not followed."""
    follow = isinstance(place, int)
    try:
        names = os.listxattr(place, follow_symlinks=follow)
        return {name: os.getxattr(place, name, follow_symlinks=follow) for name in names if _is_kept(name)}
    except OSError:  # this file system has none, or they changed
        return {}


def _is_kept(name: str) -> bool:
    return not name.startswith(_OVERLAY)


def set_attributes(place: int | str, found: dict[str, bytes]) -> None:
    """Set extended attributes; one that the file system has no place for is left out."""
    for name, value in found.items():
        try:
            os.setxattr(place, name, value, follow_symlinks=isinstance(place, int))
        except OSError:
            continue


def remove(parent: int, name: str) -> None:
    """Remove a name and all below it."""
    found = os.lstat(name, dir_fd=parent)
    if not stat.S_ISDIR(found.st_mode):
        os.unlink(name, dir_fd=parent)
        return
    fd = os.open(name, DIRECTORY, dir_fd=parent)
    try:
        for entry, after in walk(fd, lambda _: True):
            if after >= 0:
                os.rmdir(entry.name, dir_fd=entry.parent)
            elif not stat.S_ISDIR(entry.found.st_mode):
                os.unlink(entry.name, dir_fd=entry.parent)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=parent)
