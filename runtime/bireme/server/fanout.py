"""One answer for many connections at once: whoever hears of it first sends it to all who wait for the same.

A thousand clients that wait for one container are a thousand tasks. Were each to send its own answer, the last client
would wait for the book-keeping of all connections before it; so the first task that wakes writes to every socket,
before any of them goes on. Two rules: nothing here waits, so a client that does not read holds up nobody, and each task
sends for itself what its socket did not take; a connection is in a group only while its task sends nothing itself.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator
from contextlib import contextmanager


class FanOut:
    """The groups of connections that wait for the same bytes."""

    def __init__(self) -> None:
        self._groups: dict[Hashable, Group] = {}

    @property
    def waiting(self) -> int:
        """How many connections are in a group."""
        return sum(len(group.sent) for group in self._groups.values())

    @contextmanager
    def joined(self, same: Hashable, fd: int) -> Iterator[Member]:
        """A socket that does not block waits, in this block, for the bytes that all with an equal ``same`` get."""
        group = self._groups.get(same)
        if group is None or group.answered:
            group = self._groups[same] = Group()
        group.sent[fd] = 0
        try:
            yield Member(group, fd)
        finally:
            del group.sent[fd]
            if not group.sent and self._groups.get(same) is group:
                del self._groups[same]


class Group:
    """Those who wait; who comes once they are answered is not one of them."""

    __slots__ = ("answered", "sent")

    def __init__(self) -> None:
        self.answered = False
        self.sent: dict[int, int] = {}
        """How many bytes each descriptor has taken."""

    def answer(self, data: bytes) -> None:
        """Write to all what they take at once; the first answer counts."""
        if self.answered:
            return
        self.answered = True
        for fd in self.sent:
            try:
                self.sent[fd] = os.write(fd, data)
            except OSError:
                continue  # it is full, or the client has gone: its own task sees to it


class Member:
    """One connection's part in a group."""

    __slots__ = ("_fd", "_group")

    def __init__(self, group: Group, fd: int) -> None:
        self._group = group
        self._fd = fd

    def answer(self, data: bytes) -> bytes:
        """Send to all, unless another has; what is left of ``data`` for this connection to send. Never waits."""
        self._group.answer(data)
        return data[self._group.sent[self._fd] :]
