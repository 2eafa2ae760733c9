"""What every handler can get at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import trio

from bireme.server.messages import Answer, Request
from bireme_actors import OnExit

if TYPE_CHECKING:
    from bireme.engine import Exec, Runtime


@dataclass(slots=True)
class Shutdown:
    """A request to end the engine, made once; ``on_exit`` says what becomes of the containers."""

    requested: trio.Event = field(default_factory=trio.Event)
    on_exit: OnExit = OnExit.DETACH

    def request(self, on_exit: OnExit) -> None:
        """The first request counts."""
        if not self.requested.is_set():
            self.on_exit = on_exit
            self.requested.set()


@dataclass(frozen=True, slots=True)
class Context:
    """``ended`` is set when the engine has ended what it is going to end; it outlives every request."""

    runtime: Runtime
    shutdown: Shutdown
    ended: trio.Event
    exec_keys: WeakKeyDictionary[Exec, bytes] = field(default_factory=WeakKeyDictionary)
    """The keys that leave a process which ``exec`` adds, from its making to its start."""


Handler = Callable[[Context, Request], Awaitable[Answer]]
