"""A directory that a stranger's archive is unpacked into, and never anything outside of it.

Rules: every path is taken apart and opened from the root's descriptor, with the kernel resolving links as if that
directory were ``/`` (``openat2``, ``RESOLVE_IN_ROOT``), so neither ``..`` nor a link leads out, whenever it was made.
The last part of a name is never followed: what is there is replaced. Nothing is ever opened for writing that was not
created by that very call, so no write goes through a link of any kind.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from bireme import _syscalls
from bireme_actors import InvalidConfig

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_STRAIGHT = _syscalls.RESOLVE_BENEATH | _syscalls.RESOLVE_NO_SYMLINKS
_INSIDE = _syscalls.RESOLVE_IN_ROOT | _syscalls.RESOLVE_NO_MAGICLINKS
_LONGEST = 4000
"""Bytes of a path, so that it can be named to the kernel whole."""
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def clean(name: str) -> str:
    """A member's name as a path below the root, without ``.``, ``..`` and slashes too many; ``""`` is the root.

    An absolute name is taken below the root, as ``tar`` and Docker do; a ``..`` that leaves it raises InvalidConfig.
    """
    parts: list[str] = []
    for part in name.split("/"):
        if part == ".." and not parts and not name.startswith("/"):
            raise InvalidConfig(f"the archive's member {name!r} leaves the directory it is unpacked in")
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    path = "/".join(parts)
    if len(os.fsencode(path)) > _LONGEST:
        raise InvalidConfig(f"the archive's member {name[:80]!r}... cannot be unpacked: File name too long")
    return path


def join(parent: str, name: str) -> str:
    return f"{parent}/{name}" if parent else name


class Tree:
    """Open from construction to ``close``. ``set_aside(path)`` says where what makes room at a path goes."""

    def __init__(self, root: int, set_aside: Callable[[str], tuple[int, str]]) -> None:
        self._root = root
        self._base = os.readlink(f"/proc/self/fd/{root}")
        self._set_aside = set_aside
        self._cached: tuple[str, int, str] | None = None

    def close(self) -> None:
        """Forget the directory that is kept open; the root stays the caller's."""
        if self._cached is not None:
            os.close(self._cached[1])
            self._cached = None

    def parent(self, path: str, *, make: bool = True) -> tuple[int, str, str]:
        """For a clean path: a descriptor of its directory, good until the next call, that one's true path, the name.

        Missing directories are made (0755). Raises InvalidConfig if something else stands in the way.
        """
        directory, _, name = path.rpartition("/")
        if self._cached is None or self._cached[0] != directory:
            self.close()
            fd, true = self._open(directory, make)
            self._cached = directory, fd, true
        return self._cached[1], self._cached[2], name

    def _open(self, path: str, make: bool) -> tuple[int, str]:
        try:
            return _syscalls.openat2(self._root, path or ".", _DIRECTORY, resolve=_STRAIGHT), path
        except OSError as error:
            if error.errno == errno.ENOENT and make:
                self._make(path)
            elif error.errno not in (errno.ELOOP, errno.EXDEV):
                raise _in_the_way(path, error) from error
        try:
            fd = _syscalls.openat2(self._root, path, _DIRECTORY, resolve=_INSIDE)
        except OSError as error:
            raise _in_the_way(path, error) from error
        return fd, os.readlink(f"/proc/self/fd/{fd}")[len(self._base) + 1 :]

    def _make(self, path: str) -> None:
        """Make the directories of a path one by one, following links inside the root as the kernel would."""
        done = ""
        for name in path.split("/"):
            try:
                above = _syscalls.openat2(self._root, done or ".", _DIRECTORY, resolve=_INSIDE)
            except OSError as error:
                raise _in_the_way(done, error) from error
            try:
                os.mkdir(name, 0o755, dir_fd=above)
            except FileExistsError:
                pass
            finally:
                os.close(above)
            done = join(done, name)

    def stat(self, path: str) -> os.stat_result | None:
        """What is at a clean path, not followed; None for nothing. Makes the directories above it."""
        directory, _, name = self.parent(path)
        try:
            return os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def make_room(self, path: str) -> None:
        """Take away what is at a path, if anything: empty things are removed, what has content is set aside."""
        found = self.stat(path)
        if found is None:
            return
        directory, true, name = self.parent(path)
        if stat.S_ISDIR(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_size):
            aside, number = self._set_aside(join(true, name))
            os.rename(name, number, src_dir_fd=directory, dst_dir_fd=aside)
            self.close()
        else:
            os.unlink(name, dir_fd=directory)
            if stat.S_ISLNK(found.st_mode):
                self.close()

    def create(self, path: str) -> tuple[int, str]:
        """A new, empty regular file in place of what may be there: a descriptor to write to, and the true path."""
        self.make_room(path)
        directory, true, name = self.parent(path)
        return os.open(name, _NEW_FILE, 0o600, dir_fd=directory), join(true, name)

    def directory(self, path: str) -> int:
        """A descriptor, the caller's, of the directory at a path whose last part is not followed."""
        name, flags = path or ".", _DIRECTORY | os.O_NOFOLLOW
        return _syscalls.openat2(self._root, name, flags, resolve=_INSIDE)


def _in_the_way(path: str, error: OSError) -> Exception:
    """InvalidConfig for what an archive can be to blame for, else the error itself."""
    if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.ENOENT, errno.EXDEV, errno.ENAMETOOLONG):
        return InvalidConfig(f"the archive's directory {path!r} cannot be entered: {error.strerror}")
    return error
