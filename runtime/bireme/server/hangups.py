"""Noticing clients that hang up while their request is under way.

A client that has *ended its sending* (a half-closed connection) still waits for the answer; one that has *gone* does
not, and what it asked for is cancelled. Reading from the connection cannot tell the two apart, and would swallow the
next request; epoll can: a set with no event asked for still reports a hang-up of both directions. One such set serves
all connections.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import trio

_AT_ONCE = 256


class HangUps:
    """Cancels scopes whose connection has gone. ``run`` has to be running meanwhile."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._scopes: dict[int, trio.CancelScope] = {}

    def close(self) -> None:
        self._epoll.close()

    @contextmanager
    def watching(self, sock: socket.socket | trio.socket.SocketType) -> Iterator[trio.CancelScope]:
        """What is in this block is cancelled, silently, as soon as the other side has closed the connection."""
        fd = sock.fileno()
        with trio.CancelScope() as scope:
            self._epoll.register(fd, 0)
            self._scopes[fd] = scope
            try:
                yield scope
            finally:
                if self._scopes.pop(fd, None) is not None:
                    self._epoll.unregister(fd)

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            for fd, _ in self._epoll.poll(0, _AT_ONCE):
                self._epoll.unregister(fd)
                self._scopes.pop(fd).cancel()
