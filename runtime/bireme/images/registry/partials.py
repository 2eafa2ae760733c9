"""What has been fetched of blobs so far: a file each, named by the blob's digest, so that any later pull goes on there.

They lie in the store's ``staging``, which every start empties. While one is in use nobody else touches it; when a pull
ends, all that are not in use and together are larger than allowed go, the oldest first.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import trio

from bireme._files import write_all
from bireme.images._faults import storage_faults
from bireme_actors import StorageError

_PREFIX = "blob-"
_PIECE = 1 << 20
MOST_KEPT = 2 << 30
"""Bytes of unfinished blobs that stay on the disk."""
_RESERVE = 256 << 20
_RESERVE_SHARE = 20
"""A pull never takes the last 256 MiB of a disk, or of a small one the last twentieth."""


class Partial:
    """One blob on its way; open. Its methods block."""

    def __init__(self, path: str) -> None:
        self.path = path
        with storage_faults("a layer cannot be stored"):
            self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._hash = hashlib.sha256()
        self.length = 0

    def close(self) -> None:
        """Idempotent."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def rewind(self, most: int) -> None:
        """Look at what is there already; more than ``most`` bytes cannot be right."""
        with storage_faults("a layer cannot be read"):
            if os.fstat(self.fd).st_size > most:
                self.restart()
            while data := os.pread(self.fd, _PIECE, self.length):
                self._hash.update(data)
                self.length += len(data)

    def restart(self) -> None:
        """Begin anew, with nothing."""
        with storage_faults("a layer cannot be stored"):
            os.ftruncate(self.fd, 0)
        self._hash = hashlib.sha256()
        self.length = 0

    def append(self, data: bytes) -> None:
        """Raises StorageError; what was written of it does not count then."""
        with storage_faults("a layer cannot be stored"):
            os.lseek(self.fd, self.length, os.SEEK_SET)
            write_all(self.fd, data)
        self._hash.update(data)
        self.length += len(data)

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


class Partials:
    """All of one store."""

    def __init__(self, directory: str, most: int = MOST_KEPT) -> None:
        self._directory = directory
        self._most = most
        self._locks: dict[str, trio.Lock] = {}
        self._users: dict[str, int] = {}

    @asynccontextmanager
    async def claim(self, digest: str) -> AsyncIterator[None]:
        """Nobody else fetches this blob meanwhile; waits for whoever does."""
        lock = self._locks.setdefault(digest, trio.Lock())
        self._users[digest] = self._users.get(digest, 0) + 1
        try:
            async with lock:
                yield
        finally:
            self._users[digest] -= 1
            if not self._users[digest]:
                del self._users[digest], self._locks[digest]

    def open(self, digest: str) -> Partial:
        """For whoever has claimed it. Blocks. Raises StorageError."""
        return Partial(self._path(digest))

    def remove(self, digest: str) -> None:
        """Blocks. Idempotent."""
        with storage_faults("what is left of a layer cannot be removed"), suppress(FileNotFoundError):
            os.unlink(self._path(digest))

    def _path(self, digest: str) -> str:
        return os.path.join(self._directory, _PREFIX + digest.removeprefix("sha256:"))

    def trim(self, *, everything: bool = False) -> int:
        """Remove what is too much, or all that nobody is fetching; the bytes freed. Blocks."""
        freed, kept = 0, 0
        with storage_faults("what is left of layers cannot be removed"):
            for _, size, path in sorted(self._idle(), reverse=True):
                kept += size
                if everything or kept > self._most:
                    os.unlink(path)
                    freed += size
        return freed

    def _idle(self) -> Iterator[tuple[int, int, str]]:
        with os.scandir(self._directory) as entries:
            found = list(entries)
        for entry in found:
            digest = "sha256:" + entry.name.removeprefix(_PREFIX)
            if entry.name.startswith(_PREFIX) and digest not in self._users:
                with suppress(FileNotFoundError):
                    facts = entry.stat(follow_symlinks=False)
                    yield facts.st_mtime_ns, facts.st_size, entry.path


def check_space(directory: str, needed: int = 0) -> None:
    """Blocks. Raises StorageError if so many bytes would take the last that the disk has."""
    facts = os.statvfs(directory)
    reserve = min(_RESERVE, facts.f_blocks * facts.f_frsize // _RESERVE_SHARE)
    free = facts.f_bavail * facts.f_frsize - reserve
    if needed > free or free <= 0:
        raise StorageError(f"no space left on device: {max(free, 0)} bytes can be used for images, {needed} are needed")
