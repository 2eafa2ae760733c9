"""Unpack one layer's archive, from anybody, into a directory that overlayfs can use as it is.

- Nothing outside the directory is read, written or removed, whatever the archive holds (``_tree`` says how).
- Whiteouts become overlayfs's own: ``.wh.x`` a character device 0:0 at ``x``, ``.wh..wh..opq`` the attribute
  ``trusted.overlay.opaque`` on its directory. A whiteout speaks of the layers below only (OCI image specification):
  next to a directory of the same name in the same layer it makes that directory opaque.
- Owner, mode with setuid, times to the nanosecond, extended attributes, hard links, holes and device nodes are kept.
  Attributes that steer overlayfs itself are not an archive's to set, and are left out.
- Without root there are no owners and no device nodes: they are left out.
- What an archive is worth is known at its end only: the caller throws the directory away on any error.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from dataclasses import dataclass, field

from bireme._files import write_all
from bireme.images import _tree
from bireme.images._faults import member_fault, storage_faults
from bireme.images._recipe import RecipeWriter, Replaced
from bireme.images._streams import Hashed
from bireme.images._tar import Archive, Stream
from bireme.images._tar_headers import Entry
from bireme_actors import InvalidConfig

_WHITEOUT = ".wh."
_META = ".wh..wh."
_OPAQUE = ".wh..wh..opq"
_OPAQUE_ATTRIBUTE = "trusted.overlay.opaque"
_OVERLAY_ATTRIBUTES = ("trusted.overlay.", "user.overlay.")
_HIGHEST_ID = (1 << 32) - 2
_EARLIEST, _LATEST = -(1 << 33) * 1_000_000_000, (1 << 35) * 1_000_000_000
_NODES = {"char": stat.S_IFCHR, "block": stat.S_IFBLK, "fifo": stat.S_IFIFO}
_UNSUPPORTED = (errno.ENOTSUP, errno.EPERM)


@dataclass(slots=True)
class Unpacked:
    """What an archive turned out to be."""

    diff_id: str
    """Digest of the archive without its compression."""
    archive_size: int
    """Bytes of the archive without its compression."""
    size: int
    """Bytes of its files."""
    entries: int
    replaced: list[Replaced] = field(default_factory=list)


def unpack(stream: Stream, into: str) -> Unpacked:
    """Unpack an uncompressed archive: below the empty directory ``into`` come ``fs``, ``recipe`` and ``aside``.

    Blocks; for a worker thread. Raises InvalidConfig for what is wrong with the archive, StorageError for what the
    disk refuses; the directory is then in no particular state.
    """
    with storage_faults("the image cannot be stored"), contextlib.ExitStack() as stack:
        for name, mode in (("fs", 0o755), ("aside", 0o700)):
            os.mkdir(os.path.join(into, name), mode)
        recipe = RecipeWriter(os.path.join(into, "recipe"))
        stack.callback(recipe.close)
        extractor = _Extractor(into, recipe)
        stack.callback(extractor.close)
        hashed = Hashed(stream)
        entries = extractor.run(Archive(hashed, recipe.keep))
        recipe.finish()
        return Unpacked(hashed.digest, hashed.length, extractor.size, entries, recipe.replaced)


class _Extractor:
    def __init__(self, into: str, recipe: RecipeWriter) -> None:
        self._root = os.open(os.path.join(into, "fs"), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._aside = os.open(os.path.join(into, "aside"), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._recipe = recipe
        self._tree = _tree.Tree(self._root, self._make_way)
        self._directories: dict[str, tuple[int, int]] = {}
        self._privileged = os.geteuid() == 0
        self.size = 0

    def close(self) -> None:
        self._tree.close()
        os.close(self._root)
        os.close(self._aside)

    def run(self, archive: Archive) -> int:
        """Unpack every member; how many there were."""
        count = 0
        for count, entry in enumerate(archive, 1):  # noqa: B007 (the last count is the answer)
            try:
                self._member(entry, archive)
            except OSError as error:
                raise member_fault(entry.name, error) from error
        self._finish_directories()
        return count

    def _make_way(self, path: str) -> tuple[int, str]:
        return self._aside, str(self._recipe.set_aside(path))

    def _member(self, entry: Entry, archive: Archive) -> None:
        path = _tree.clean(entry.name)
        name = path.rpartition("/")[2]
        if any(part.startswith(_META) for part in path.split("/")):
            if name == _OPAQUE:
                self._opaque(path.rpartition("/")[0])
        elif name.startswith(_WHITEOUT):
            self._whiteout(path, name)
        elif not path and entry.kind != "directory":
            raise InvalidConfig(f"the archive's member {entry.name!r} is not a directory and has no name")
        elif entry.kind == "directory":
            self._directory(path, entry)
        elif entry.kind == "file":
            self._file(path, entry, archive)
        elif entry.kind == "link":
            self._link(path, entry)
        else:
            self._node(path, entry)

    def _file(self, path: str, entry: Entry, archive: Archive) -> None:
        fd, true = self._tree.create(path)
        try:
            segments = entry.segments if entry.segments is not None else [(0, entry.size)] if entry.size else []
            if entry.size:
                self._recipe.file(true, segments)
            for offset, length in segments:
                os.lseek(fd, offset, os.SEEK_SET)
                for chunk in archive.content(length):
                    write_all(fd, chunk)
            if entry.segments is not None:
                os.ftruncate(fd, entry.length)
            self._own(fd, entry)
            os.fchmod(fd, entry.mode)
            _set_attributes(fd, entry)
            os.utime(fd, ns=_times(entry))
        finally:
            os.close(fd)
        self.size += entry.size

    def _directory(self, path: str, entry: Entry) -> None:
        found = self._tree.stat(path) if path else os.fstat(self._root)
        hides = found is not None and _is_whiteout(found)
        if found is None or not stat.S_ISDIR(found.st_mode):
            self._tree.make_room(path)
            directory, _, name = self._tree.parent(path)
            os.mkdir(name, 0o755, dir_fd=directory)
        fd = self._tree.directory(path)
        try:
            self._own(fd, entry)
            _set_attributes(fd, entry)
            if hides:
                os.setxattr(fd, _OPAQUE_ATTRIBUTE, b"y")
        finally:
            os.close(fd)
        self._directories[path] = entry.mode, _times(entry)[0]

    def _link(self, path: str, entry: Entry) -> None:
        target = _tree.clean(f"/{entry.target}")
        if not target or target == path:
            raise InvalidConfig(f"the archive's member {entry.name!r} is a hard link to itself or to the root")
        directory, _, name = self._tree.parent(target, make=False)
        source = os.dup(directory)
        try:
            os.stat(name, dir_fd=source, follow_symlinks=False)
            self._tree.make_room(path)
            into, _, new = self._tree.parent(path)
            os.link(name, new, src_dir_fd=source, dst_dir_fd=into, follow_symlinks=False)
        finally:
            os.close(source)

    def _node(self, path: str, entry: Entry) -> None:
        """A symbolic link, a fifo or a device: what has no content and is changed by name."""
        device = entry.kind in ("char", "block")
        if device and not self._privileged:
            return
        self._tree.make_room(path)
        directory, _, name = self._tree.parent(path)
        if entry.kind == "symlink":
            os.symlink(entry.target, name, dir_fd=directory)
        else:
            number = os.makedev(*entry.device) if device else 0
            os.mknod(name, _NODES[entry.kind] | 0o600, number, dir_fd=directory)
        if self._privileged:
            _check_owner(entry)
            os.chown(name, entry.uid, entry.gid, dir_fd=directory, follow_symlinks=False)
        if entry.kind != "symlink":
            os.chmod(name, entry.mode, dir_fd=directory)
        _set_attributes(f"/proc/self/fd/{directory}/{name}", entry)
        os.utime(name, ns=_times(entry), dir_fd=directory, follow_symlinks=False)

    def _whiteout(self, path: str, name: str) -> None:
        hidden = name.removeprefix(_WHITEOUT)
        if hidden in ("", ".", ".."):
            raise InvalidConfig(f"the archive's whiteout {path!r} names nothing that can be hidden")
        hidden_path = _tree.join(path.rpartition("/")[0], hidden)
        found = self._tree.stat(hidden_path)
        if found is None:
            directory, _, _ = self._tree.parent(hidden_path)
            os.mknod(hidden, stat.S_IFCHR, 0, dir_fd=directory)
        elif stat.S_ISDIR(found.st_mode):
            self._opaque(hidden_path)

    def _opaque(self, path: str) -> None:
        directory, _, _ = self._tree.parent(_tree.join(path, "."))
        os.setxattr(directory, _OPAQUE_ATTRIBUTE, b"y")

    def _own(self, fd: int, entry: Entry) -> None:
        if self._privileged:
            _check_owner(entry)
            os.fchown(fd, entry.uid, entry.gid)

    def _finish_directories(self) -> None:
        """Modes and times of directories, the deepest first: what is made in a directory changes its time."""
        for path in sorted(self._directories, key=lambda path: path.count("/"), reverse=True):
            mode, mtime = self._directories[path]
            with contextlib.suppress(NotADirectoryError, FileNotFoundError):
                fd = self._tree.directory(path)
                try:
                    os.fchmod(fd, mode)
                    os.utime(fd, ns=(mtime, mtime))
                finally:
                    os.close(fd)


def _set_attributes(target: int | str, entry: Entry) -> None:
    """The extended attributes, as far as this file system and this process may; Docker does without the rest too."""
    for name, value in entry.xattrs.items():
        if name.startswith(_OVERLAY_ATTRIBUTES):
            continue
        try:
            if isinstance(target, int):
                os.setxattr(target, name, value)
            else:
                os.setxattr(target, name, value, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise


def _check_owner(entry: Entry) -> None:
    if max(entry.uid, entry.gid) > _HIGHEST_ID:
        raise InvalidConfig(f"the archive's member {entry.name!r} belongs to an impossible user or group")


def _is_whiteout(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def _times(entry: Entry) -> tuple[int, int]:
    moment = min(max(entry.mtime, _EARLIEST), _LATEST)
    return moment, moment
