"""Writing files of a view as a tar archive (PAX): numeric owners, nanoseconds, extended attributes, hard links.

Sockets are left out, as they are by everybody; a file that shrinks while it is read is filled up with zeros.
"""

from __future__ import annotations

import os
import stat
import tarfile

from bireme.launcher import _tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bireme.launcher._tree import Entry

_KINDS = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}
_ZEROS = bytes(_tree.CHUNK)


_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_OPAQUE_ATTRIBUTE = "trusted.overlay.opaque"


class Packer:
    """An archive being written to a descriptor.

    ``layer``: what is packed is a writable layer by itself, and becomes an image's (OCI image specification): deletions
    as whiteouts, and without these places, which the engine has made. None for any other tree.
    """

    def __init__(self, output: int, layer: Sequence[str] | None = None) -> None:
        self._output = output
        self._layer = layer
        self._written = 0
        self._links: dict[tuple[int, int], str] = {}

    def add_tree(self, top: int, name: str, descend: Callable[[os.stat_result], bool]) -> None:
        """The directory ``top`` with all below it; ``name`` is what it is called, "" to leave out the directory."""
        found = os.fstat(top)
        if name:
            self._header(_described(name, found, _tree.attributes(top)))
        for entry, after in _tree.walk(top, descend):
            if after < 0 and not (self._layer is not None and self._add_to_layer(entry, self._layer)):
                self.add(entry, f"{name}/{entry.path}" if name else entry.path)

    def _add_to_layer(self, entry: Entry, left_out: Sequence[str]) -> bool:
        """Deal with what means something else in a layer; False if it is an entry as any other."""
        path = f"/{entry.path}"
        if any(path == place or path.startswith(f"{place}/") for place in left_out):
            return True
        if stat.S_ISCHR(entry.found.st_mode) and entry.found.st_rdev == 0:
            directory, _, name = entry.path.rpartition("/")
            self._whiteout(f"{directory}/{_WHITEOUT}{name}".lstrip("/"))
            return True
        if stat.S_ISDIR(entry.found.st_mode) and _is_opaque(entry):
            self.add(entry, entry.path)
            self._whiteout(f"{entry.path}/{_OPAQUE}")
            return True
        return False

    def _whiteout(self, name: str) -> None:
        self._header(tarfile.TarInfo(name))

    def add(self, entry: Entry, name: str) -> None:
        """One entry; of a directory not what it holds."""
        found = entry.found
        kind = stat.S_IFMT(found.st_mode)
        first = self._links.get((found.st_dev, found.st_ino))
        if kind == stat.S_IFSOCK:
            return
        if kind != stat.S_IFDIR and first is not None:
            info = _described(name, found, {})
            info.type, info.linkname, info.size = tarfile.LNKTYPE, first, 0
            self._header(info)
            return
        if found.st_nlink > 1:
            self._links[found.st_dev, found.st_ino] = name
        if kind == stat.S_IFREG:
            self._add_file(entry, name)
            return
        os.fchdir(entry.parent)
        info = _described(name, found, _tree.attributes(entry.name))
        if kind == stat.S_IFLNK:
            info.linkname = os.readlink(entry.name, dir_fd=entry.parent)
        self._header(info)

    def _add_file(self, entry: Entry, name: str) -> None:
        fd = _tree.open_same(entry, _tree.FILE)
        if fd < 0:
            return
        try:
            info = _described(name, entry.found, _tree.attributes(fd))
            info.size = entry.found.st_size
            self._header(info)
            self._data(fd, info.size)
        finally:
            os.close(fd)

    def _header(self, info: tarfile.TarInfo) -> None:
        self._write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))

    def _data(self, fd: int, size: int) -> None:
        left = size
        while left:
            data = os.read(fd, min(left, _tree.CHUNK)) or _ZEROS[: min(left, _tree.CHUNK)]
            self._write(data)
            left -= len(data)
        self._write(_ZEROS[: -size % tarfile.BLOCKSIZE])

    def end(self) -> None:
        """The two empty blocks, and what fills the last record."""
        self._write(_ZEROS[: 2 * tarfile.BLOCKSIZE])
        self._write(_ZEROS[: -self._written % tarfile.RECORDSIZE])

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        self._written += len(rest)
        while rest:
            rest = rest[os.write(self._output, rest) :]


def _is_opaque(entry: Entry) -> bool:
    """Whether a directory hides what the layers below have in it."""
    os.fchdir(entry.parent)
    try:
        return os.getxattr(entry.name, _OPAQUE_ATTRIBUTE, follow_symlinks=False) == b"y"
    except OSError:  # no such attribute, or it has just gone
        return False


def _described(name: str, found: os.stat_result, attributes: dict[str, bytes]) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = _KINDS[stat.S_IFMT(found.st_mode)]
    info.mode = stat.S_IMODE(found.st_mode)
    info.uid, info.gid = found.st_uid, found.st_gid
    seconds, fraction = divmod(found.st_mtime_ns, 1_000_000_000)
    info.mtime = seconds
    if stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
        info.devmajor, info.devminor = os.major(found.st_rdev), os.minor(found.st_rdev)
    headers = {f"SCHILY.xattr.{key}": value.decode("utf-8", "surrogateescape") for key, value in attributes.items()}
    if fraction:
        headers["mtime"] = f"{seconds}.{fraction:09d}"
    info.pax_headers = headers
    return info
