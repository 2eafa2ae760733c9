"""The formats of a process's streams on the wire, and the keys that leave it. Pure.

Without a terminal the two outputs share a connection in frames: one byte for the stream, three zero bytes, the length
as a big-endian 32-bit number, the bytes. With a terminal the bytes are raw.
"""

from __future__ import annotations

from bireme import _keys
from bireme.server.times import rfc3339_fixed
from bireme_actors import InvalidConfig

RAW = "application/vnd.docker.raw-stream"
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"

_NUMBERS = {"stdin": 0, "stdout": 1, "stderr": 2}


def frame(stream: str, data: bytes) -> bytes:
    """One frame; nothing for no data, since an empty frame means nothing."""
    return bytes((_NUMBERS[stream], 0, 0, 0)) + len(data).to_bytes(4, "big") + data if data else b""


def lines(data: bytes) -> list[bytes]:
    """Each line with its end: in a log each has a frame of its own, which clients hand out one by one."""
    *whole, rest = data.split(b"\n")
    return [line + b"\n" for line in whole] + ([rest] if rest else [])


class Encoder:
    """Output as one client wants it: framed unless there is a terminal, each line stamped if asked for."""

    def __init__(self, *, tty: bool, timestamps: bool = False) -> None:
        self._tty = tty
        self._timestamps = timestamps
        self._open: set[str] = set()

    def encode(self, stream: str, time: int, data: bytes) -> bytes:
        """The bytes to send for one piece of output. A line that comes in pieces is stamped once."""
        if self._timestamps:
            data = self._stamped(stream, time, data)
        return data if self._tty else frame(stream, data)

    def _stamped(self, stream: str, time: int, data: bytes) -> bytes:
        stamp = rfc3339_fixed(time).encode() + b" "
        pieces = data.split(b"\n")
        last = pieces.pop()
        lines = [stamp + piece + b"\n" for piece in pieces] + ([stamp + last] if last else [])
        if lines and stream in self._open:
            lines[0] = lines[0][len(stamp) :]
        if last:
            self._open.add(stream)
        elif lines:
            self._open.discard(stream)
        return b"".join(lines)


def content_type(*, tty: bool, version: tuple[int, int]) -> str:
    """What a stream is called; up to API 1.41 everything was called raw."""
    return MULTIPLEXED if not tty and version >= (1, 42) else RAW


def parse_keys(text: str) -> bytes:
    """The keys that leave a stream, as the bytes a terminal sends. Raises InvalidConfig."""
    try:
        return _keys.parse_keys(text)
    except ValueError as error:
        raise InvalidConfig(str(error)) from None
