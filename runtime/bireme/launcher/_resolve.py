"""Finding, and where needed making, the place of a mount inside a container's root.

Rule: everything is looked up from the container's root, one way in. What exists is found by the kernel itself
(``openat2`` with RESOLVE_IN_ROOT, no magic links). What is missing is made one name at a time, each name opened
without following, so that a link another container puts there meanwhile makes the start fail, never leads it astray.
The answer is a descriptor; nobody looks the path up a second time.
"""

from __future__ import annotations

import os
import stat

from bireme import _syscalls as sys_
from bireme.launcher._protocol import INVALID, Failure

_IN_ROOT = sys_.RESOLVE_IN_ROOT | sys_.RESOLVE_NO_MAGICLINKS
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_LINKS = 255


def open_directory(root: int, path: str, mode: int = 0o755) -> int:
    """An O_PATH descriptor of the directory at ``path``, made (root's, ``mode``) with its parents if it is missing.

    Raises NotADirectoryError if something else than a directory is there, or on the way.
    """
    try:
        return sys_.openat2(root, path, os.O_PATH | os.O_DIRECTORY, resolve=_IN_ROOT)
    except FileNotFoundError:
        names = without_links(root, path)
        parent = _make_parents(root, names[:-1])
        return _step(parent, names[-1], mode) if names else parent


def open_file(root: int, path: str) -> int:
    """An O_PATH descriptor of the file at ``path``, made empty with its parents if it is missing."""
    try:
        return sys_.openat2(root, path, os.O_PATH, resolve=_IN_ROOT)
    except FileNotFoundError:
        *parents, name = without_links(root, path)
        fd = _make_parents(root, parents)
    try:
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=fd))
        return os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    finally:
        os.close(fd)


def _make_parents(root: int, names: list[str]) -> int:
    fd = os.dup(root)
    for name in names:
        fd = _step(fd, name, 0o755)
    return fd


def _step(parent: int, name: str, mode: int) -> int:
    """Open one directory of ``parent``, made if missing; closes ``parent``."""
    try:
        try:
            return os.open(name, _DIRECTORY, dir_fd=parent)
        except FileNotFoundError:
            os.mkdir(name, mode, dir_fd=parent)
            return os.open(name, _DIRECTORY, dir_fd=parent)
    except FileExistsError:
        return os.open(name, _DIRECTORY, dir_fd=parent)
    finally:
        os.close(parent)


def without_links(root: int, path: str) -> list[str]:
    """The names from the root down to ``path`` once every symbolic link on the way has been replaced by its target.

    A name that does not exist yet stands for itself: links may dangle, what they point to is then made.
    """
    done: list[str] = []
    rest = _names(path)
    links = 0
    while rest:
        name = rest.pop(0)
        if name == "..":
            del done[-1:]
            continue
        target = _link_target(root, [*done, name])
        if target is None:
            done.append(name)
            continue
        links += 1
        if links > _MOST_LINKS:
            raise Failure(INVALID, f"too many levels of symbolic links: {path}")
        if target.startswith("/"):
            done.clear()
        rest[:0] = _names(target)
    return done


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in ("", ".")]


def _link_target(root: int, names: list[str]) -> str | None:
    """Where the last of ``names`` points to; None if it is missing or no link. The others are no links."""
    flags = sys_.RESOLVE_IN_ROOT | sys_.RESOLVE_NO_MAGICLINKS
    try:
        fd = sys_.openat2(root, "/".join(names), os.O_PATH | os.O_NOFOLLOW, resolve=flags)
    except FileNotFoundError:
        return None
    try:
        return os.readlink("", dir_fd=fd) if stat.S_ISLNK(os.fstat(fd).st_mode) else None
    finally:
        os.close(fd)
