"""Reading a tar archive into a directory of a view. The archive is a stranger's.

The process has left the host: its root is the container's, and so is the root of everything a link can point to.
Beyond that:

- ``..`` in a name, of an entry or of a hard link's target, is refused; an absolute name counts from the directory;
- the directory of each entry is opened by the kernel without magic links (``openat2``), the last name is never
  followed: what is there gives way to the entry, as in Docker, but for a directory that stays one;
- device nodes are refused: an archive gives nobody a right it does not have. Set-user-ID bits and file capabilities
  are kept, since they count inside the container only; of the extended attributes those that mean something there;
- sizes in headers are not believed: memory is bounded, data is copied in pieces.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tarfile

from bireme import _syscalls as sys_
from bireme.launcher import _tree
from bireme.launcher._protocol import INVALID, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

_PREFIX = "SCHILY.xattr."
_KEPT = ("user.", "security.capability", "system.posix_acl_")
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Unpacker:
    """An archive being unpacked into the directory ``top``."""

    def __init__(self, top: int, *, keep_kinds: bool, owner: tuple[int, int] | None) -> None:
        """``keep_kinds``: a directory is never replaced by something else, nor the other way round; ``owner``: of
        everything, instead of what the archive says.
        """
        self._top = top
        self._keep_kinds = keep_kinds
        self._owner = owner
        self._directories: list[tuple[list[str], int]] = []
        """Whose times are set last, with the modification time."""

    def unpack(self, source: IO[bytes]) -> None:
        """Read to the end. Raises Failure for an archive that is damaged or wants too much, OSError."""
        try:
            with tarfile.open(fileobj=source, mode="r|", encoding="utf-8", errors="surrogateescape") as archive:
                for info in archive:
                    archive.members.clear()  # type: ignore[attr-defined]  # typeshed lacks it; every entry is kept there
                    self._entry(archive, info)
        except MemoryError:
            raise Failure(INVALID, "the archive cannot be read: its headers are too large") from None
        except (tarfile.TarError, EOFError, ValueError) as error:
            raise Failure(INVALID, f"the archive cannot be read: {error}") from None
        for names, modified in reversed(self._directories):
            self._set_time(names, modified)
        while source.read(_tree.CHUNK):
            pass  # what follows the end of an archive is padding; its writer is not to be cut off

    def _entry(self, archive: tarfile.TarFile, info: tarfile.TarInfo) -> None:
        names = split(info.name)
        if not names:
            return  # the directory itself
        parent = self._open_parent(names)
        try:
            self._make_room(parent, names[-1], info)
            if info.isdir():
                self._make_directory(parent, names, info)
            elif info.isreg():
                self._make_file(archive, parent, names[-1], info)
            elif info.issym():
                os.symlink(info.linkname, names[-1], dir_fd=parent)
                self._own(parent, names[-1], info)
            elif info.islnk():
                self._make_link(parent, names[-1], info)
            elif info.isfifo():
                os.mkfifo(names[-1], 0o600, dir_fd=parent)
                self._own(parent, names[-1], info)
            else:
                raise Failure(INVALID, f"the archive holds something else than files, links and pipes: {info.name}")
        finally:
            os.close(parent)

    def _open_parent(self, names: list[str]) -> int:
        """The directory of an entry, made with its parents if it is missing."""
        where = "/".join(names)
        try:
            with contextlib.suppress(FileNotFoundError):
                return self._open(names[:-1])
            for depth in range(len(names) - 1):
                self._make_parent(names[:depth], names[depth])
            return self._open(names[:-1])
        except NotADirectoryError:
            raise Failure(INVALID, f"the archive's {where} lies below something else than a directory") from None
        except FileNotFoundError:
            raise Failure(INVALID, f"the archive's {where} lies below a link to nowhere") from None

    def _make_parent(self, above: list[str], name: str) -> None:
        fd = self._open(above)
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=fd)
        finally:
            os.close(fd)

    def _open(self, names: list[str]) -> int:
        path = "/".join(names) or "."
        return sys_.openat2(self._top, path, os.O_RDONLY | os.O_DIRECTORY, resolve=sys_.RESOLVE_NO_MAGICLINKS)

    def _make_room(self, parent: int, name: str, info: tarfile.TarInfo) -> None:
        try:
            found = os.lstat(name, dir_fd=parent)
        except FileNotFoundError:
            return
        is_directory = stat.S_ISDIR(found.st_mode)
        if is_directory and info.isdir():
            return
        if self._keep_kinds and is_directory != info.isdir():
            old, new = ("directory", "non-directory") if is_directory else ("non-directory", "directory")
            raise Failure(INVALID, f"cannot overwrite {old} {info.name!r} with {new}")
        _tree.remove(parent, name)

    def _make_directory(self, parent: int, names: list[str], info: tarfile.TarInfo) -> None:
        with contextlib.suppress(FileExistsError):
            os.mkdir(names[-1], 0o700, dir_fd=parent)
        fd = os.open(names[-1], _tree.DIRECTORY, dir_fd=parent)
        try:
            self._describe(fd, info)
        finally:
            os.close(fd)
        self._directories.append((names, modified_ns(info)))

    def _make_file(self, archive: tarfile.TarFile, parent: int, name: str, info: tarfile.TarInfo) -> None:
        data = archive.extractfile(info)
        fd = os.open(name, _NEW, 0o600, dir_fd=parent)
        try:
            with open(fd, "wb", buffering=0, closefd=False) as file:
                while data is not None and (chunk := data.read(_tree.CHUNK)):
                    file.write(chunk)
            self._describe(fd, info)
            modified = modified_ns(info)
            os.utime(fd, ns=(modified, modified))
        finally:
            os.close(fd)

    def _make_link(self, parent: int, name: str, info: tarfile.TarInfo) -> None:
        target = split(info.linkname)
        if not target:
            raise Failure(INVALID, f"the archive's hard link {info.name} points to a directory")
        try:
            above = self._open(target[:-1])
            try:
                os.link(target[-1], name, src_dir_fd=above, dst_dir_fd=parent, follow_symlinks=False)
            finally:
                os.close(above)
        except FileNotFoundError:
            raise Failure(INVALID, f"the archive's hard link {info.name} points to nothing: {info.linkname}") from None

    def _describe(self, fd: int, info: tarfile.TarInfo) -> None:
        os.fchown(fd, *(self._owner or (info.uid, info.gid)))
        _tree.set_attributes(fd, _attributes(info))
        os.fchmod(fd, info.mode & 0o7777)

    def _own(self, parent: int, name: str, info: tarfile.TarInfo) -> None:
        """Owner, mode and time of what cannot be opened."""
        uid, gid = self._owner or (info.uid, info.gid)
        os.chown(name, uid, gid, dir_fd=parent, follow_symlinks=False)
        if not info.issym():
            os.chmod(name, info.mode & 0o7777, dir_fd=parent)
        modified = modified_ns(info)
        os.utime(name, ns=(modified, modified), dir_fd=parent, follow_symlinks=False)

    def _set_time(self, names: list[str], modified: int) -> None:
        """What an entry after it has replaced, is left alone."""
        try:
            parent = self._open(names[:-1])
        except OSError:
            return
        try:
            os.utime(names[-1], ns=(modified, modified), dir_fd=parent, follow_symlinks=False)
        except OSError:
            return
        finally:
            os.close(parent)


def split(name: str) -> list[str]:
    """The names of an entry's path. Raises Failure for ``..`` and NUL."""
    names = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in names or "\0" in name:
        raise Failure(INVALID, f"the archive's entry {name!r} leads out of the directory it is unpacked to")
    return names


def modified_ns(info: tarfile.TarInfo) -> int:
    """The time of modification, exact where the archive has it exact."""
    seconds, _, fraction = info.pax_headers.get("mtime", "").partition(".")
    if seconds.isascii() and seconds.isdigit() and (fraction.isdigit() or not fraction):
        return int(seconds) * 1_000_000_000 + int(fraction[:9].ljust(9, "0"))
    return int(info.mtime * 1_000_000_000)


def _attributes(info: tarfile.TarInfo) -> dict[str, bytes]:
    found = {}
    for key, value in info.pax_headers.items():
        name = key.removeprefix(_PREFIX)
        if name is not key and name.startswith(_KEPT):
            found[name] = value.encode("utf-8", "surrogateescape")
    return found
