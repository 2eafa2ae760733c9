"""A process's standard streams as the core wants them: pipes as they are, a terminal as one stream for both ways."""

from __future__ import annotations

import errno
import fcntl
import struct
import termios
from collections.abc import Awaitable, Callable

import trio

from bireme.drivers.readiness import Readiness

Closed = Callable[[], Awaitable[None]]
"""Called each time a stream is closed, after its descriptor."""


class Input:
    """The end of a pipe that the process reads from."""

    def __init__(self, stream: trio.lowlevel.FdStream, closed: Closed) -> None:
        self._stream = stream
        self._closed = closed

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Raises BrokenResourceError once nobody reads. Cancelled: an unknown part has been written."""
        await self._stream.send_all(data)

    async def aclose(self) -> None:
        """End the input. Cancelled: it ends all the same."""
        try:
            await self._stream.aclose()
        finally:
            await self._closed()

    def close(self) -> None:
        """Nobody is there to read any more."""
        self._stream.close()


class Output:
    """The end of a pipe that the process writes to."""

    def __init__(self, stream: trio.lowlevel.FdStream, closed: Closed, readiness: Readiness) -> None:
        self._stream = stream
        self._tell = closed
        self._readiness = readiness
        self.closed = False

    def when_ready(self, wake: Callable[[], object]) -> None:
        """Call ``wake``, once, as soon as there is something to read or the end; never after it has been closed."""
        if not self.closed:
            self._readiness.watch(self._stream.fileno(), wake)

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """The next bytes, ``b""`` at the end. Cancelled: nothing is lost."""
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        """Read no more; who writes on gets SIGPIPE. Cancelled: it is closed all the same."""
        self._sleep_no_more()
        try:
            await self._stream.aclose()
        finally:
            await self._tell()

    def close(self) -> None:
        """As ``aclose``, without telling."""
        self._sleep_no_more()
        self._stream.close()

    def _sleep_no_more(self) -> None:
        if not self.closed:
            self._readiness.forget(self._stream.fileno())
            self.closed = True


class Terminal(Output):
    """The master end of a process's terminal: what it prints. ``input`` is where it reads from."""

    def __init__(self, stream: trio.lowlevel.FdStream, closed: Closed, readiness: Readiness) -> None:
        super().__init__(stream, closed, readiness)
        self.input = TerminalInput(stream)

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """As of a pipe. A terminal that nobody has open any more reads as an error, which is its end."""
        try:
            return await super().receive_some(max_bytes)
        except trio.BrokenResourceError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EIO:
                return b""
            raise

    def resize(self, rows: int, columns: int) -> None:
        """Tell the process how large its window is; it gets SIGWINCH. Nothing happens once it is closed."""
        if not self.closed:
            fcntl.ioctl(self._stream.fileno(), termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))


class TerminalInput:
    """The way in to a terminal. It has no end of its own: what ends a program's input is the character ^D."""

    def __init__(self, stream: trio.lowlevel.FdStream) -> None:
        self._stream = stream

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Raises BrokenResourceError once nobody reads. Cancelled: an unknown part has been typed."""
        await self._stream.send_all(data)

    async def aclose(self) -> None:
        """Nothing ends, as under Docker."""
        await trio.lowlevel.checkpoint()
