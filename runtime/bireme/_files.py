"""Files that survive a crash, locks that die with their holder, joins and removals that cannot escape.

Standard library only; every function here blocks for as long as the disk takes (use a thread from an event loop).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import sys
from collections.abc import Callable

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602
_FROZEN, _TOP_OF_HIERARCHY = 0x10 | 0x20, 0x20000
_DEEPEST = 128
"""Directories held open at once while a tree is removed; deeper ones are first moved up to its top."""


def write_atomic(path: str | os.PathLike[str], data: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """Replace ``path`` by ``data``: readers and crashes see the old or the new file, never a part.

    ``durable`` waits until the disk has both the bytes and the name. Raises OSError and leaves nothing beside.
    """
    directory, name = os.path.split(os.path.abspath(path))
    beside = os.path.join(directory, f".{name}.{secrets.token_hex(6)}")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        try:
            write_all(fd, data)
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(beside, os.path.join(directory, name))
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        raise
    if durable:
        sync_directory(directory)


def write_all(fd: int, data: bytes | bytearray | memoryview) -> None:
    """Write every byte, however often the kernel takes only some."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def sync_directory(path: str | os.PathLike[str]) -> None:
    """Make the names in a directory durable: what was created, renamed or removed there."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def try_lock(path: str | os.PathLike[str]) -> int | None:
    """Lock a file (made if missing, 0600) and return the descriptor that holds the lock; None if another holds it.

    The lock ends when the descriptor is closed, so also when its process dies by any means.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return fd


def join_beneath(base: str, relative: str) -> str:
    """``base/relative``, by text alone. Raises ValueError for a NUL, an absolute path, or ``..`` that leaves ``base``.

    Symbolic links are not looked at: where a stranger may have made one, use ``open_beneath``.
    """
    if "\0" in relative or relative.startswith("/"):
        raise ValueError(f"{relative!r} is not a relative path")
    clean = os.path.normpath(relative)
    if clean == ".." or clean.startswith("../"):
        raise ValueError(f"{relative!r} leaves its directory")
    return os.path.join(base, clean) if clean != "." else base


def open_beneath(base_fd: int, relative: str, flags: int, mode: int = 0o600) -> int:
    """Open a path below the directory ``base_fd`` without following any symbolic link in it.

    Raises ValueError for an absolute path or ``..``, OSError (ELOOP, ENOTDIR) where a link stands in the way.
    """
    if relative.startswith("/") or "\0" in relative or ".." in relative.split("/"):
        raise ValueError(f"{relative!r} does not stay below its directory")
    names = [name for name in relative.split("/") if name not in ("", ".")] or ["."]
    with contextlib.ExitStack() as opened:
        directory = base_fd
        for name in names[:-1]:
            directory = os.open(name, _DIRECTORY, dir_fd=directory)
            opened.callback(os.close, directory)
        return os.open(names[-1], flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=directory)


def remove_tree(path: str | os.PathLike[str]) -> None:
    """Remove ``path`` and all below it, of any depth; a symbolic link is removed, never followed. Idempotent.

    Files made immutable or append-only go too. Several may remove the same tree at the same time.
    """
    try:
        top = os.open(path, _DIRECTORY)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        os.unlink(path)
        return
    try:
        while _empty(top, top, _DEEPEST):
            pass
    finally:
        os.close(top)
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(path)


def _empty(directory: int, top: int, depth: int) -> bool:
    """Remove what a directory holds; True if something was moved up to ``top`` and so is still there."""
    moved = False
    for name, is_directory in _entries(directory):
        if not is_directory:
            _insist(os.unlink, name, directory)
        elif depth == 0:
            os.rename(name, f".{secrets.token_hex(8)}", src_dir_fd=directory, dst_dir_fd=top)
            moved = True
        else:
            moved = _remove_directory(directory, name, top, depth) or moved
    return moved


def _remove_directory(directory: int, name: str, top: int, depth: int) -> bool:
    try:
        child = os.open(name, _DIRECTORY, dir_fd=directory)
    except FileNotFoundError:
        return False
    try:
        moved = _empty(child, top, depth - 1)
    finally:
        os.close(child)
    _insist(os.rmdir, name, directory)
    return moved


def _insist(remove: Callable[..., None], name: str, directory: int) -> None:
    """Remove an entry, also where an inode flag forbids it."""
    try:
        remove(name, dir_fd=directory)
    except FileNotFoundError:
        return
    except PermissionError:
        allow_changes(".", directory)
        allow_changes(name, directory)
        remove(name, dir_fd=directory)


def allow_changes(path: str, directory: int | None = None) -> None:
    """Take the immutable and append-only flags (``chattr +ia``) off a file or directory, if it has them."""
    _change_flags(path, directory, off=_FROZEN)


def spread(path: str) -> None:
    """Ask the file system to put what is made in each directory of ``path`` apart from the others (``chattr +T``).

    Without this ext4 makes all of them next to each other; where many come and go it then looks, for each new file, at
    every one that was deleted within the last minutes: 8 ms for the dozen files of a container, 0.4 ms with it.
    Other file systems know no such flag, and need none.
    """
    _change_flags(path, None, on=_TOP_OF_HIERARCHY)


def _change_flags(path: str, directory: int | None, *, on: int = 0, off: int = 0) -> None:
    """As far as the file system goes along."""
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        try:
            flags = bytearray(8)
            fcntl.ioctl(fd, _GET_FLAGS, flags)
            before = int.from_bytes(flags[:4], sys.byteorder)
            after = before & ~off | on
            if after != before:
                fcntl.ioctl(fd, _SET_FLAGS, after.to_bytes(4, sys.byteorder).ljust(8, b"\0"))
        finally:
            os.close(fd)


def rename_any(source: str, target: str) -> None:
    """Rename, also a directory that has been made immutable."""
    try:
        os.rename(source, target)
    except PermissionError:
        allow_changes(source)
        os.rename(source, target)


def _entries(directory: int) -> list[tuple[str, bool]]:
    with os.scandir(directory) as entries:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]


def tree_size(path: str | os.PathLike[str]) -> int:
    """Bytes that the files below ``path`` occupy on disk, each hard link once; 0 if there is nothing.

    What goes away meanwhile, or lies deeper than a path can say, is not counted.
    """
    seen: set[tuple[int, int]] = set()
    total = 0
    for directory, names, files in os.walk(path, onerror=None, followlinks=False):
        for name in (*names, *files):
            with contextlib.suppress(OSError):
                found = os.lstat(os.path.join(directory, name))
                key = (found.st_dev, found.st_ino)
                if stat.S_ISDIR(found.st_mode) or key not in seen:
                    seen.add(key)
                    total += found.st_blocks * 512
    return total
