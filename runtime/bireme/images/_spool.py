"""An archive of an image, copied into a scratch file without a name, and its members by name.

What says which members matter may come last, so nothing can be decided before everything is here. The file has no
name, so no crash leaves it behind.
"""

from __future__ import annotations

import errno
import os
import posixpath
import secrets

from bireme._files import write_all
from bireme.images._faults import storage_faults
from bireme.images._streams import FromFile
from bireme.images._tar import Archive, Stream
from bireme.images._tar_headers import Entry
from bireme_actors import InvalidConfig

_MOST_MEMBERS = 1 << 16
_MOST_LINKS = 8


class Spool:
    """Filled by ``fill`` in a worker thread; ``close`` frees the space."""

    def __init__(self, directory: str) -> None:
        with storage_faults("the archive cannot be stored"):
            self._fd = nameless(directory)
        self._members: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}

    def close(self) -> None:
        os.close(self._fd)

    def fill(self, stream: Stream) -> None:
        """Read an uncompressed archive to its end. Raises InvalidConfig, StorageError."""
        archive = Archive(stream, _forget)
        at = 0
        with storage_faults("the archive cannot be stored"):
            for count, entry in enumerate(archive):
                if count >= _MOST_MEMBERS:
                    raise InvalidConfig(f"the archive has more than {_MOST_MEMBERS} members: it is not an image's")
                name = _clean(entry.name)
                if entry.kind == "file":
                    at += self._store(name, entry, archive, at)
                elif entry.kind in ("symlink", "link"):
                    base = posixpath.dirname(name) if entry.kind == "symlink" else ""
                    self._links[name] = _clean(posixpath.join(base, entry.target))

    def _store(self, name: str, entry: Entry, archive: Archive, at: int) -> int:
        if entry.segments is not None:
            raise InvalidConfig(f"the archive's member {entry.name!r} is stored with holes: archive it without")
        for chunk in archive.content(entry.size):
            write_all(self._fd, chunk)
        self._members[name] = at, entry.size
        return entry.size

    def __contains__(self, name: str) -> bool:
        return self._find(name) is not None

    def size(self, name: str) -> int:
        """Bytes of a member. Raises InvalidConfig if there is none."""
        return self._need(name)[1]

    def stream(self, name: str) -> Stream:
        """A member, for a worker thread. Raises InvalidConfig if there is none."""
        return FromFile(self._fd, *self._need(name))

    def read(self, name: str, most: int) -> bytes:
        """A small member, whole. Raises InvalidConfig if there is none or it has more than ``most`` bytes."""
        at, size = self._need(name)
        if size > most:
            raise InvalidConfig(f"the archive's {name!r} is longer than {most} bytes")
        return os.pread(self._fd, size, at)

    def _need(self, name: str) -> tuple[int, int]:
        found = self._find(name)
        if found is None:
            raise InvalidConfig(f"the archive has no {name!r}: it is not whole, or not an image's")
        return found

    def _find(self, name: str) -> tuple[int, int] | None:
        """A member by name; archives of old Dockers link layers that several images share."""
        name = _clean(name)
        for _ in range(_MOST_LINKS):
            if name in self._members:
                return self._members[name]
            if name not in self._links:
                return None
            name = self._links[name]
        return None


def _clean(name: str) -> str:
    return posixpath.normpath(posixpath.join("/", name)).lstrip("/")


def _forget(data: bytes) -> None:
    """Headers of an archive that is not kept."""


def nameless(directory: str) -> int:
    """A scratch file without a name, open for reading and writing. Raises OSError."""
    try:
        return os.open(directory, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT):
            raise
    path = os.path.join(directory, secrets.token_hex(8))
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.unlink(path)
    return fd
