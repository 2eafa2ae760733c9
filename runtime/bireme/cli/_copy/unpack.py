"""A tar archive turned into local files, none of which can land anywhere but below one directory.

The archive comes from a container, which may be hostile and is copied by root. Rules: every directory on the way is
opened without following a link; what stands in a file's place is removed, never written through; set-user-ID,
set-group-ID, owners, devices and extended attributes are taken over only where all of it was asked for (``-a``).
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import tarfile

from bireme.cli._copy.plan import CONTENTS
from bireme.cli._errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import Buffer

_CHUNK = 1 << 18
_XATTR = "SCHILY.xattr."
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PLAIN = 0o1777


class Pieces(io.RawIOBase):
    """Pieces of bytes as a file to read from."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        room = memoryview(buffer).cast("B")
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        count = min(len(room), len(self._rest))
        room[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def unpack(pieces: Iterable[bytes], directory: str, name: str, *, everything: bool = False) -> int:
    """Put the archive's first entry, and what is below it, into ``directory`` as ``name``; how much was left out.

    Raises CliError.
    """
    source = io.BufferedReader(Pieces(pieces), _CHUNK)
    try:
        with tarfile.open(fileobj=source, mode="r|") as archive, _Target(directory, name, everything) as target:
            for member in archive:
                target.add(archive, member)
            left_out = target.left_out
    except tarfile.TarError as error:
        raise CliError(f"the archive is damaged: {error}") from None
    except OSError as error:
        raise CliError(f"cannot write {error.filename}: {(error.strerror or str(error)).lower()}") from None
    while source.read(_CHUNK):
        pass  # what follows an archive's end is padding
    return left_out


class _Target:
    def __init__(self, directory: str, name: str, everything: bool) -> None:
        self._root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._base = () if name == CONTENTS else (name,)
        self._top: tuple[str, ...] | None = None
        self._everything = everything
        self.left_out = 0
        self._directories: list[tuple[tuple[str, ...], tarfile.TarInfo]] = []

    def __enter__(self) -> _Target:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Directories get their modes and times last, the deepest first: filling them changes both."""
        try:
            if kind is None:
                for path, member in sorted(self._directories, key=lambda item: -len(item[0])):
                    with self._parent(path) as parent:
                        self._finish(path[-1], parent, member)
        finally:
            os.close(self._root)

    def add(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        path = self._place(member.name)
        if not path:
            return
        with self._parent(path) as parent:
            if self._make_room(path, parent, member) and self._make(archive, member, path[-1], parent):
                if member.isdir():
                    self._directories.append((path, member))
                elif not member.islnk():
                    self._finish(path[-1], parent, member)

    def _place(self, name: str) -> tuple[str, ...]:
        """Where an entry goes, as the names on the way from the root."""
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        if ".." in parts:
            raise CliError(f"the archive would leave its directory: {name!r}")
        if self._top is None:
            self._top = parts
        if parts[: len(self._top)] != self._top:
            raise CliError(f"the archive holds more than was asked for: {name!r}")
        return self._base + parts[len(self._top) :]

    @contextlib.contextmanager
    def _parent(self, path: tuple[str, ...]) -> Iterator[int]:
        """The directory that an entry is in, reached without following links."""
        here = os.dup(self._root)
        try:
            for part in path[:-1]:
                below = os.open(part, _DIRECTORY, dir_fd=here)
                os.close(here)
                here = below
            yield here
        finally:
            os.close(here)

    def _make_room(self, path: tuple[str, ...], parent: int, member: tarfile.TarInfo) -> bool:
        """False if there is nothing to make: a directory that is there stays as it is."""
        name, shown = path[-1], "/".join(path)
        try:
            there = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return True
        if stat.S_ISDIR(there.st_mode):
            if not member.isdir():
                raise CliError(f'cannot overwrite directory "{shown}" with non-directory "{member.name}"')
            return False
        if member.isdir():
            raise CliError(f'cannot overwrite non-directory "{shown}" with directory "{member.name}"')
        os.unlink(name, dir_fd=parent)
        return True

    def _make(self, archive: tarfile.TarFile, member: tarfile.TarInfo, name: str, parent: int) -> bool:
        """False for what is left out."""
        if member.isdir():
            os.mkdir(name, 0o700, dir_fd=parent)
        elif member.issym():
            os.symlink(member.linkname, name, dir_fd=parent)
        elif member.islnk():
            target = self._place(member.linkname)
            with self._parent(target) as directory:
                os.link(target[-1], name, src_dir_fd=directory, dst_dir_fd=parent, follow_symlinks=False)
        elif member.isfifo():
            os.mkfifo(name, 0o600, dir_fd=parent)
        elif member.isdev():
            if not self._everything:
                self.left_out += 1
                return False
            kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK
            os.mknod(name, kind | 0o600, os.makedev(member.devmajor, member.devminor), dir_fd=parent)
        else:
            _write(archive, member, name, parent)
        return True

    def _finish(self, name: str, parent: int, member: tarfile.TarInfo) -> None:
        """Owner, mode, attributes, times: in an order that none undoes another."""
        if self._everything:
            os.chown(name, member.uid, member.gid, dir_fd=parent, follow_symlinks=False)
        if not member.issym():
            os.chmod(name, member.mode & (0o7777 if self._everything else _PLAIN), dir_fd=parent)
        if self._everything and (member.isreg() or member.isdir()):
            _set_xattrs(name, parent, member)
        moment = _nanoseconds(member)
        os.utime(name, ns=(moment, moment), dir_fd=parent, follow_symlinks=False)


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, name: str, parent: int) -> None:
    content = archive.extractfile(member)
    if content is None:
        raise CliError(f"the archive holds what is no file: {member.name!r}")
    with open(os.open(name, _NEW, 0o600, dir_fd=parent), "wb", buffering=0) as file:
        left = member.size
        while data := content.read(_CHUNK):
            left -= file.write(data)
    if left:
        raise CliError(f"the archive is damaged: {member.name!r} ends early")


def _set_xattrs(name: str, parent: int, member: tarfile.TarInfo) -> None:
    wanted = [(key.removeprefix(_XATTR), value) for key, value in member.pax_headers.items() if key.startswith(_XATTR)]
    if not wanted:
        return
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    try:
        for key, value in wanted:
            os.setxattr(fd, key, value.encode("utf-8", "surrogateescape"))
    finally:
        os.close(fd)


def _nanoseconds(member: tarfile.TarInfo) -> int:
    """The time as written: a float has no room for it."""
    whole, _, fraction = member.pax_headers.get("mtime", "").partition(".")
    if whole.isdigit() and fraction.isdigit():
        return int(whole) * 10**9 + int(f"{fraction[:9]:0<9}")
    return int(member.mtime * 10**9)
