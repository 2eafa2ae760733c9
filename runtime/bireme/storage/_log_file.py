"""The file of a log: appended to line by line, read at any offset, open no longer than it is needed."""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Callable, Iterator
from functools import cached_property, partial

from bireme import _files
from bireme.storage._log_lines import Read

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


class LogFile:
    """Only whole lines get in. Its descriptor goes with the object, if it is not closed before."""

    start = 0
    """The offset of the oldest byte that there is."""

    def __init__(self, path: str) -> None:
        """Goes on after what the file holds already; it is made when there is something to write."""
        self._path = path
        self._fd = -1
        self._release: Callable[[], object] = _nothing
        self._mended = False

    @cached_property
    def size(self) -> int:
        """In bytes. The disk is asked when that is first needed: of a container that says nothing not at its start."""
        try:
            return os.stat(self._path).st_size
        except OSError:
            return 0

    def append(self, line: bytes) -> None:
        """Write a line whole, or nothing of it. Raises OSError."""
        fd = self.open(os.O_CREAT)
        if not self._mended:
            self._mend(fd)
        written = os.write(fd, line)
        if written < len(line):
            self._finish(fd, line, written)
        self.size += len(line)

    def open(self, create: int = 0) -> int:
        """The descriptor, for reading and writing. Raises OSError."""
        if self._fd < 0:
            self._fd = os.open(self._path, create | _FLAGS, 0o600)
            self._release = weakref.finalize(self, os.close, self._fd)
        return self._fd

    @contextlib.contextmanager
    def reading(self) -> Iterator[Read]:
        """A way to read between offsets; the descriptor stays open. Raises OSError."""
        yield partial(os.pread, self.open())

    def keep(self) -> None:
        """Stay readable although the file's name goes."""
        if self.size:
            with contextlib.suppress(OSError):
                self.open()

    def close(self) -> None:
        """Free the descriptor; the file can be used again."""
        self._release()
        self._fd = -1

    def _mend(self, fd: int) -> None:
        """End the line that an engine was writing when it was killed."""
        if self.size and os.pread(fd, 1, self.size - 1) != b"\n":
            self.size += os.write(fd, b"\n")
        self._mended = True

    def _finish(self, fd: int, line: bytes, written: int) -> None:
        """The disk has taken a part: all of the line now, or nothing of it."""
        try:
            _files.write_all(fd, memoryview(line)[written:])
        except OSError:
            os.ftruncate(fd, self.size)
            raise


def _nothing() -> None:
    """There is nothing to release."""
