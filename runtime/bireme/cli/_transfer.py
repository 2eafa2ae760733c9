"""Archives on their way: read from files or standard input, written to files or standard output, with their progress.

A file that is written appears under its name when it is whole, and not at all if the engine or the disk failed. What
takes longer than a second shows how far it is, on standard error and only where that is a terminal.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time

from bireme.cli import _terminal
from bireme.cli._attach import write_all
from bireme.cli._errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

_CHUNK = 1 << 18
_FIRST = 1.0
_EVERY = 0.1
_STDIN = 0


class Meter:
    """A line that tells how many bytes have gone by: from the first second on, rewritten ten times a second."""

    def __init__(
        self, what: str, total: int | None = None, *, shown: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._what = what
        self._total = total
        self._shown = shown
        self._clock = clock
        self._next = clock() + _FIRST
        self._count = 0
        self._width = 0

    def add(self, count: int) -> None:
        self._count += count
        if self._shown and self._clock() >= self._next:
            self._next = self._clock() + _EVERY
            self._write(self._line())

    def total_text(self) -> str:
        """How much went by, as people read it."""
        from bireme.cli._render.units import human_size

        return human_size(self._count, 3)

    def end(self) -> None:
        """Take the line away."""
        if self._width:
            self._write("")

    def over(self, pieces: Iterable[bytes]) -> Generator[bytes, None, None]:
        """The pieces, counted as they are taken."""
        try:
            for piece in pieces:
                yield piece
                self.add(len(piece))
        finally:
            self.end()

    def _line(self) -> str:
        from bireme.cli._render.units import human_size

        of = f"/{human_size(self._total)} ({self._count * 100 // self._total}%)" if self._total else ""
        return f"{self._what} {human_size(self._count)}{of}"

    def _write(self, text: str) -> None:
        sys.stderr.write("\r" + text.ljust(self._width) + ("" if text else "\r"))
        sys.stderr.flush()
        self._width = len(text)


def meter(what: str, total: int | None = None, *, quiet: bool = False) -> Meter:
    """A meter on standard error, silent where that is no terminal."""
    return Meter(what, total, shown=not quiet and _terminal.is_terminal(2))


@contextlib.contextmanager
def source(path: str, *, empty: str, quiet: bool = False) -> Iterator[Iterator[bytes]]:
    """The pieces of a file, or of standard input for ``-``. ``empty`` is the complaint about a terminal.

    Raises CliError where there is nothing to read from.
    """
    if path == "-":
        if _terminal.is_terminal(_STDIN):
            raise CliError(empty)
        yield meter("Sending", _size(_STDIN), quiet=quiet).over(_read(_STDIN, "standard input"))
        return
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise CliError(f"open {path}: {_reason(error)}") from None
    try:
        yield meter("Sending", _size(fd), quiet=quiet).over(_read(fd, path))
    finally:
        os.close(fd)


def _size(fd: int) -> int | None:
    try:
        facts = os.fstat(fd)
    except OSError:
        return None
    return facts.st_size if stat.S_ISREG(facts.st_mode) else None


def _read(fd: int, name: str) -> Iterator[bytes]:
    while True:
        try:
            data = os.read(fd, _CHUNK)
        except OSError as error:
            raise CliError(f"read {name}: {_reason(error)}") from None
        if not data:
            return
        yield data


def check_output(path: str, complaint: str) -> None:
    """Raises CliError where an archive cannot go: a terminal, a missing directory, a device."""
    if not path:
        if _terminal.is_terminal(_terminal.STDOUT):
            raise CliError("cowardly refusing to save to a terminal. Use the -o flag or redirect")
        return
    directory = os.path.dirname(os.path.normpath(path))
    if directory and not os.path.isdir(directory):
        raise CliError(f'{complaint}: invalid output path: directory "{directory}" does not exist')
    if os.path.isdir(path):
        raise CliError(f'{complaint}: invalid output path: "{path}" is a directory')
    if os.path.exists(path) and not os.path.isfile(path):
        raise CliError(f'{complaint}: invalid output path: "{path}" must be a regular file')


def deliver(pieces: Iterable[bytes], path: str) -> None:
    """Write an archive to a file, or to standard output for no path. Raises CliError."""
    counted = meter("Receiving").over(pieces)
    if not path:
        for piece in counted:
            write_all(_terminal.STDOUT, piece)
        return
    target = os.path.realpath(path)
    beside = f"{target}.{os.getpid()}.part"
    try:
        _write_beside(counted, beside)
        os.replace(beside, target)
    except OSError as error:
        raise CliError(f"failed to write {path}: {_reason(error)}") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)


def _write_beside(pieces: Iterable[bytes], path: str) -> None:
    with open(path, "xb") as file:
        file.writelines(pieces)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
