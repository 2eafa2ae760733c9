"""The launcher's event loop: one thread, one epoll, nothing that waits for a child."""

from __future__ import annotations

import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

READABLE, WRITABLE, PRIORITY = select.EPOLLIN, select.EPOLLOUT, select.EPOLLPRI


class Loop:
    """Calls back what a descriptor was registered with, for as long as it is ready."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._forgotten: set[int] = set()
        """Descriptors given up since the last poll: a number among its events may belong to another file by now."""
        self._running = False
        self._at = 0.0
        self._timer: Callable[[], None] | None = None

    def watch(self, fd: int, callback: Callable[[], None], events: int = READABLE) -> None:
        """Call back while ``fd`` has ``events``."""
        self._epoll.register(fd, events)
        self._callbacks[fd] = callback

    def rewatch(self, fd: int, events: int) -> None:
        """Change the events of a watched descriptor."""
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Stop watching, before the descriptor is closed."""
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)
            self._forgotten.add(fd)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call back once, a while from now; there is one such call at a time, the latest counts."""
        self._at, self._timer = time.monotonic() + seconds, callback

    def stop(self) -> None:
        """Return from ``run`` after the present callback."""
        self._running = False

    def run(self) -> None:
        """Wait and call back until ``stop``."""
        self._running = True
        while self._running:
            self._forgotten.clear()
            for fd, _events in self._epoll.poll(self._patience()):
                callback = self._callbacks.get(fd)
                if callback is not None and fd not in self._forgotten:
                    callback()
            self._fire()

    def _patience(self) -> float | None:
        return None if self._timer is None else max(0.0, self._at - time.monotonic())

    def _fire(self) -> None:
        if self._timer is not None and time.monotonic() >= self._at:
            timer, self._timer = self._timer, None
            timer()
