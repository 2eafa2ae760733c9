"""A process's streams joined to ours, over a connection that the engine has handed over.

One loop polls both ends and never blocks on sending, so a process that answers faster than it reads cannot lock us
up. When our input ends only the sending half is closed: output goes on. Signals run their handlers between polls.
"""

from __future__ import annotations

import os
import select
import socket

from bireme._keys import KeyWatch
from bireme.cli._streams import STDERR, STDOUT, Frames

_CHUNK = 1 << 16
_ENDED = select.POLLHUP | select.POLLERR | select.POLLNVAL


class Attachment:
    """``stdin`` is the descriptor to read from, or None. ``watch`` looks for the detach keys, or None."""

    def __init__(
        self, sock: socket.socket, early: bytes, *, raw: bool, stdin: int | None = None, watch: KeyWatch | None = None
    ) -> None:
        self._sock = sock
        self._early = early
        self._frames = None if raw else Frames()
        self._stdin = stdin
        self._watch = watch
        self._unsent = b""
        self._poll = select.poll()
        self.detached = False

    def run(self) -> bool:
        """Until the process's output ends: True; or until the user detaches: False. Raises Unreachable."""
        self._sock.setblocking(False)
        self._poll.register(self._sock, select.POLLIN)
        if self._stdin is not None:
            self._poll.register(self._stdin, select.POLLIN)
        else:
            self._close_sending()
        try:
            if self._early:
                self._show(self._early)
            while not self.detached and self._turn():
                pass
        finally:
            self._sock.close()
        if not self.detached and self._frames is not None:
            self._frames.end()
        return not self.detached

    def close(self) -> None:
        """Hang up; once ``run`` has ended it has been done."""
        self._sock.close()

    def _turn(self) -> bool:
        """One round of polling; False once the output has ended."""
        going = True
        for fd, events in self._poll.poll():
            if fd == self._stdin:
                self._read_input()
            elif fd == self._sock.fileno():
                if events & select.POLLOUT:
                    self._send()
                if events & (select.POLLIN | _ENDED):
                    going = self._receive()
        return going

    def _receive(self) -> bool:
        try:
            data = self._sock.recv(_CHUNK)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        if data:
            self._show(data)
        return bool(data)

    def _show(self, data: bytes) -> None:
        if self._frames is None:
            write_all(STDOUT, data)
            return
        for stream, piece in self._frames.feed(data):
            write_all(stream, piece)

    def _read_input(self) -> None:
        assert self._stdin is not None
        try:
            data = os.read(self._stdin, _CHUNK)
        except OSError:
            data = b""  # a terminal that went away, a descriptor that was never open: the end of input
        if not data:
            self._drop_input()
            self._close_when_sent()
            return
        if self._watch is not None:
            data, self.detached = self._watch.feed(data)
        self._unsent += data
        self._send()

    def _send(self) -> None:
        """Send what the engine takes; while some is left, read no more input."""
        try:
            while self._unsent:
                sent = self._sock.send(self._unsent, socket.MSG_NOSIGNAL)
                self._unsent = self._unsent[sent:]
        except BlockingIOError:
            self._poll.modify(self._sock, select.POLLIN | select.POLLOUT)
            self._pause_input(True)
            return
        except (BrokenPipeError, ConnectionResetError):
            self._unsent = b""
            self._drop_input()  # the process takes no input any more; its output may still come
        self._poll.modify(self._sock, select.POLLIN)
        self._pause_input(False)
        self._close_when_sent()

    def _pause_input(self, pause: bool) -> None:
        if self._stdin is not None:
            self._poll.register(self._stdin, 0 if pause else select.POLLIN)

    def _drop_input(self) -> None:
        if self._stdin is not None:
            self._poll.unregister(self._stdin)
            self._stdin = None

    def _close_when_sent(self) -> None:
        if self._stdin is None and not self._unsent:
            self._close_sending()

    def _close_sending(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            return  # closed by the other side already: the end that was to be told is known


def write_all(stream: int, data: bytes) -> None:
    """Write to our standard output or error, all of it; nothing if that was closed before we began."""
    fd = 2 if stream == STDERR else 1
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:
            select.select([], [fd], [])


def attach_input(wanted: bool, *, tty: bool, keys: bytes) -> tuple[int | None, KeyWatch | None]:
    """Where input comes from, and who watches it for the detach keys."""
    if not wanted:
        return None, None
    return 0, KeyWatch(keys) if tty else None
