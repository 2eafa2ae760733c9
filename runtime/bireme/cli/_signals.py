"""Signals that reach this client and belong to the container: passed on, and the terminal's new size told.

A handler makes its call on a connection of its own, between two steps of whatever the client waits for.
"""

from __future__ import annotations

import signal

from bireme.cli import _terminal
from bireme.cli._errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType
    from typing import Any, Self

    from bireme.cli._client import Client

_PROXIED = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
)
"""Not those of job control, nor what the kernel sends for a fault or a child of our own."""


class Handlers:
    """Signal handlers for the time of a ``with`` block; the former ones come back."""

    def __init__(self) -> None:
        self._former: list[tuple[int, Any]] = []

    def set(self, signum: int, act: Callable[[int], None]) -> None:
        def handler(number: int, frame: FrameType | None) -> None:
            act(number)

        self._former.append((signum, signal.signal(signum, handler)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._former:
            signum, former = self._former.pop()
            signal.signal(signum, former)


class SignalProxy(Handlers):
    """Passes signals on to a container; those that come before it runs wait until ``started``."""

    def __init__(self, client: Client, container: str, wanted: bool) -> None:
        super().__init__()
        self._client = client
        self._container = container
        self._held: list[int] | None = []
        if wanted:
            for signum in _PROXIED:
                self.set(signum, self._pass)

    def started(self) -> None:
        held, self._held = self._held or [], None
        for signum in held:
            self._pass(signum)

    def _pass(self, signum: int) -> None:
        if self._held is not None:
            self._held.append(signum)
            return
        name = signal.Signals(signum).name.removeprefix("SIG")
        try:
            self._client.open("POST", f"/containers/{self._container}/kill", {"signal": name}).close()
        except CliError:
            return  # it ended at the same moment: what it leaves behind tells more than this failure


def follow_size(handlers: Handlers, client: Client, path: str, tty: bool) -> None:
    """Tell the engine our terminal's size now, and whenever it changes. ``path`` is the API's for it."""
    if not tty or _terminal.size() == (0, 0):
        return

    def tell(_: int) -> None:
        rows, columns = _terminal.size()
        try:
            client.open("POST", path, {"h": rows, "w": columns}).close()
        except CliError:
            return  # a process that has just ended has no size any more

    handlers.set(signal.SIGWINCH, tell)
    tell(signal.SIGWINCH)
