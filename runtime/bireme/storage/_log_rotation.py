"""The file of a log that may not grow for ever: several files in a row, the oldest of which goes when a new one begins.

Theory of operation. Offsets go on as if nothing had ever been taken away, so a reader's place stays what it was
whatever is done to the files; of what is gone there is just nothing any more, and ``start`` says where the rest begins.
The file written to is ``log.jsonl``; those before it are ``log.jsonl.1``, ``log.jsonl.2``, ..., the oldest with the
highest number. Only the engine's own task renames them, so what a reader opens at one moment fits together; what it
holds open it can still read after it has been removed.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Iterator
from dataclasses import dataclass

from bireme.storage._log_file import LogFile
from bireme.storage._log_lines import Read

_READ_ONLY = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Rotation:
    """How large a log may become: so many bytes a file, so many files."""

    most_bytes: int
    most_files: int = 1


@dataclass(frozen=True, slots=True)
class _Piece:
    """An open file, and where in the log it lies."""

    fd: int
    start: int
    size: int


class RotatedFile:
    """As ``LogFile``, in several files."""

    def __init__(self, path: str, rotation: Rotation) -> None:
        """Goes on after what the files hold already."""
        self._path = path
        self._rotation = rotation
        self._sizes = _sizes_of(path, rotation.most_files)
        """Of the files before the present one, the oldest first."""
        self.start = 0
        """The offset of the oldest byte that there is."""
        self._current = LogFile(path)
        self._kept: list[_Piece] | None = None

    @property
    def size(self) -> int:
        """Where the next line begins."""
        return self._base + self._current.size

    @property
    def _base(self) -> int:
        return self.start + sum(self._sizes)

    def append(self, line: bytes) -> None:
        """Write a line whole, or nothing of it; in a new file if the present one would be too large. Raises OSError."""
        if self._current.size and self._current.size + len(line) > self._rotation.most_bytes:
            self._rotate()
        self._current.append(line)

    def _rotate(self) -> None:
        size = self._current.size
        while len(self._sizes) > max(0, self._rotation.most_files - 2):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._name(0))
            self.start += self._sizes.pop(0)
        for index in range(len(self._sizes)):
            os.rename(self._name(index), self._name(index - 1))
        if self._rotation.most_files > 1:
            os.rename(self._path, f"{self._path}.1")
            self._sizes.append(size)
        else:
            os.unlink(self._path)
            self.start += size
        self._current.close()
        self._current = LogFile(self._path)

    def _name(self, index: int) -> str:
        """Of the file before the present one that is the ``index``-th, counted from the oldest."""
        return f"{self._path}.{len(self._sizes) - index}"

    @contextlib.contextmanager
    def reading(self) -> Iterator[Read]:
        """A way to read between offsets, of what there is at this moment. Raises OSError."""
        if self._kept is not None:
            yield _reader(self._kept)
            return
        pieces = self._pieces()
        try:
            yield _reader(pieces)
        finally:
            for piece in pieces:
                os.close(piece.fd)

    def _pieces(self) -> list[_Piece]:
        pieces: list[_Piece] = []
        start = self.start
        names = [self._name(index) for index in range(len(self._sizes))]
        for name, size in zip([*names, self._path], [*self._sizes, self._current.size], strict=True):
            with contextlib.suppress(FileNotFoundError):
                pieces.append(_Piece(os.open(name, _READ_ONLY), start, size))
            start += size
        return pieces

    def keep(self) -> None:
        """Stay readable although the files' names go; the descriptors go with the object."""
        if self._kept is None:
            with contextlib.suppress(OSError):
                self._kept = self._pieces()
                for piece in self._kept:
                    weakref.finalize(self, os.close, piece.fd)

    def close(self) -> None:
        """Free the descriptor; the file can be used again."""
        self._current.close()


def _reader(pieces: list[_Piece]) -> Read:
    def read(size: int, offset: int) -> bytes:
        for piece in pieces:
            if piece.start <= offset < piece.start + piece.size:
                return os.pread(piece.fd, min(size, piece.start + piece.size - offset), offset - piece.start)
        return b""

    return read


def _sizes_of(path: str, most: int) -> list[int]:
    """Of the files that an earlier engine has left before the present one."""
    sizes: list[int] = []
    for number in range(1, most):
        try:
            sizes.insert(0, os.stat(f"{path}.{number}").st_size)
        except OSError:
            break
    return sizes
