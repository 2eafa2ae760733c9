"""The launcher's end of the connection to an engine: it never waits for the engine to read.

What is said while no engine is there is lost; an engine that comes asks for what it needs to know.
"""

from __future__ import annotations

import os
import socket

from bireme.launcher import _protocol
from bireme.launcher._loop import READABLE, WRITABLE, Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bireme.launcher.requests import Message


class Link:
    """One connected engine. ``on_message`` gets each message with its descriptors, ``on_end`` is called once."""

    def __init__(
        self,
        sock: socket.socket,
        loop: Loop,
        on_message: Callable[[Message, list[int]], None],
        on_end: Callable[[], None],
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = loop
        self._on_message = on_message
        self._on_end = on_end
        self._waiting: list[tuple[Message, list[int]]] = []
        self._open = True
        loop.watch(sock.fileno(), self._ready)

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send now, or as soon as the engine reads; the caller keeps its descriptors. Lost if the engine is gone."""
        if self._open and not (not self._waiting and self._try(message, descriptors)):
            self._waiting.append((message, [os.dup(fd) for fd in descriptors]))
            self._loop.rewatch(self._sock.fileno(), READABLE | WRITABLE)

    def _try(self, message: Message, descriptors: Sequence[int]) -> bool:
        try:
            _protocol.send(self._sock, message, descriptors)
        except BlockingIOError:
            return False
        except _protocol.Disconnected:
            return True  # the end of file that follows is what ends this link
        return True

    def _ready(self) -> None:
        self._flush()
        for _ in range(64):
            try:
                message, descriptors = _protocol.receive(self._sock)
            except BlockingIOError:
                return
            except (_protocol.Disconnected, OSError, ValueError):  # gone, or not speaking our language
                self.close()
                self._on_end()
                return
            self._on_message(message, descriptors)
            if not self._open:
                return

    def _flush(self) -> None:
        while self._waiting:
            message, descriptors = self._waiting[0]
            if not self._try(message, descriptors):
                return
            del self._waiting[0]
            for fd in descriptors:
                os.close(fd)
            if not self._waiting:
                self._loop.rewatch(self._sock.fileno(), READABLE)

    def close(self) -> None:
        """Hang up."""
        if not self._open:
            return
        self._open = False
        self._loop.forget(self._sock.fileno())
        self._sock.close()
        for _, descriptors in self._waiting:
            for fd in descriptors:
                os.close(fd)
        self._waiting.clear()


class Voice:
    """What the launcher says, to whichever engine is connected."""

    __slots__ = ("link",)

    def __init__(self) -> None:
        self.link: Link | None = None

    def tell(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Say something that nobody asked for."""
        if self.link is not None:
            self.link.send(message, descriptors)

    def answer(self, request_id: int, result: object, descriptors: Sequence[int] = ()) -> None:
        """Answer a request; 0 is one that nobody waits for any more."""
        if request_id:
            self.tell({"id": request_id, "ok": result}, descriptors)

    def refuse(self, request_id: int, kind: str, text: str) -> None:
        """Answer a request with an error."""
        if request_id:
            self.tell({"id": request_id, "error": {"kind": kind, "message": text}})
