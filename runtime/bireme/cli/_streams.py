"""The two formats of a process's streams on the wire. Pure.

Without a terminal both outputs share a connection in frames: one byte for the stream, three zero bytes, the length
as a big-endian 32-bit number, the bytes. With a terminal the bytes are raw.
"""

from __future__ import annotations

from bireme.cli._errors import CliError, Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STDOUT = 1
STDERR = 2
_ENGINE = 3
_HEAD = 8


class Frames:
    """Takes bytes as they come, gives the frames' contents as far as they are there."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._stream = 0
        self._left = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """``(STDOUT or STDERR, bytes)`` pairs. Raises CliError with what the engine reports in a frame of its own."""
        self._buffer += data
        while self._buffer:
            if not self._left and not self._next_head():
                return
            piece = bytes(self._buffer[: self._left])
            del self._buffer[: self._left]
            self._left -= len(piece)
            if self._stream == _ENGINE:
                raise CliError(f"Error response from daemon: {piece.decode('utf-8', 'replace').strip()}")
            if piece and self._stream in (0, STDOUT, STDERR):
                yield self._stream or STDOUT, piece

    def end(self) -> None:
        """Raises Unreachable if the stream ended in the middle of a frame."""
        if self._left or self._buffer:
            raise Unreachable("the engine went away in the middle of the output")

    def _next_head(self) -> bool:
        while len(self._buffer) >= _HEAD:
            self._stream = self._buffer[0]
            if self._stream > _ENGINE or any(self._buffer[1:4]):
                raise Unreachable(f"the engine's output stream is garbled: {bytes(self._buffer[:_HEAD])!r}")
            self._left = int.from_bytes(self._buffer[4:_HEAD], "big")
            del self._buffer[:_HEAD]
            if self._left:
                return bool(self._buffer)
        return False


def demultiplex(pieces: Iterable[bytes], *, raw: bool) -> Iterator[tuple[int, bytes]]:
    """A whole response as ``(stream, bytes)``; everything is STDOUT where ``raw``."""
    if raw:
        for piece in pieces:
            yield STDOUT, piece
        return
    frames = Frames()
    for piece in pieces:
        yield from frames.feed(piece)
    frames.end()
