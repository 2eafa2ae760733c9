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
        self._timers: dict[Callable[[], None], float] = {}

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
        """Call back once, a while from now; of the same ``callback`` the latest call counts."""
        self._timers[callback] = time.monotonic() + seconds

    def stop(self) -> None:
        """Return from ``run`` after the present callback."""
        self._running = False

    def go_on(self) -> None:
        """Take a ``stop`` back that has not had its effect yet."""
        self._running = True

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
        return max(0.0, min(self._timers.values()) - time.monotonic()) if self._timers else None

    def _fire(self) -> None:
        if not self._timers:
            return
        now = time.monotonic()
        for callback in [callback for callback, at in self._timers.items() if at <= now]:
            del self._timers[callback]
            callback()
