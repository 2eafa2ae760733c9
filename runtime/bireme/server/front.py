"""The server as a whole: its connections, its socket, and its end.

A front is opened around an engine, not inside it: a client that asks for the engine's end is answered when the engine
has ended, so the connections outlive it. The socket is served inside, only while the engine is there.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

import bireme
from bireme.engine import open_background
from bireme.server.connections import Connections, most_connections
from bireme.server.context import Context, Shutdown
from bireme.server.errors import Refusal
from bireme.server.hangups import HangUps
from bireme.server.http import Handle
from bireme.server.listener import open_listener
from bireme.server.messages import Answer, Headers, Request
from bireme.server.routes import application
from bireme.server.routing import MAX_VERSION, version_text
from bireme_actors import OnExit, Status

if TYPE_CHECKING:
    from bireme.engine import Runtime

COMMON: Headers = (
    ("Api-Version", version_text(MAX_VERSION)),
    ("Docker-Experimental", "false"),
    ("Ostype", "linux"),
    ("Server", f"Bireme/{bireme.__version__} (linux)"),
)
"""Headers of every answer."""

FLUSH_SECONDS = 1.0
"""How long the last answers may take to go out."""

_BUSY = frozenset({Status.STARTING, Status.RESTARTING})
_STILL_ANSWERED = ("/wait", "/stop", "/kill", "/shutdown")

_log = logging.getLogger("bireme.server")


class Front:
    """Made by ``open_front``, alive inside its block only."""

    def __init__(self, tasks: trio.Nursery, hangups: HangUps) -> None:
        self.shutdown = Shutdown()
        self._ended = trio.Event()
        self._tasks = tasks
        self._connections = Connections(self._handle, hangups, COMMON, most=most_connections())
        self._answer: Handle = _nobody

    def __repr__(self) -> str:
        return f"<Front: {self.statistics()}>"

    def statistics(self) -> dict[str, int]:
        """Numbers of ``connections``, ``idle`` ones among them, and ``requests`` under way."""
        return self._connections.statistics()

    async def _handle(self, request: Request) -> Answer:
        harmless = request.method in ("GET", "HEAD") or request.path.endswith(_STILL_ANSWERED)
        if self.shutdown.requested.is_set() and not harmless:
            raise Refusal(503, "the engine is ending")
        return await self._answer(request)

    async def serve(
        self,
        runtime: Runtime,
        *,
        socket_path: str,
        group: str = "",
        ready: Callable[[], None] = lambda: None,
        idle_seconds: float | None = None,
    ) -> OnExit:
        """Serve an engine until its end is asked for, or nothing has been running or asked for that long.

        Returns once what was to be stopped has been stopped. Raises Conflict, StorageError, InvalidConfig if the socket
        cannot be had. Cancelled: stops serving; what runs in the engine is left to its owner.
        """
        self._answer = application(Context(runtime, self.shutdown, self._ended))
        self._connections.allow(most_connections())  # who opened the engine may have raised the limit meanwhile
        with open_listener(socket_path, group=group) as listener:
            async with open_background() as background:
                background.start_soon(self._accept, listener)
                if idle_seconds is not None:
                    background.start_soon(self._end_when_idle, runtime, idle_seconds)
                ready()
                await self.shutdown.requested.wait()
                if self.shutdown.on_exit is not OnExit.DETACH:
                    await runtime.end_all(self.shutdown.on_exit)
        return self.shutdown.on_exit

    async def _accept(self, listener: trio.SocketListener) -> None:
        await trio.serve_listeners(self._connections.serve, [listener], handler_nursery=self._tasks)

    async def _end_when_idle(self, runtime: Runtime, seconds: float) -> None:
        busy = trio.current_time()
        while True:
            await trio.sleep_until(max(busy, self._connections.last_request) + seconds)
            now = trio.current_time()
            if self._connections.requests or _runs_something(runtime):
                busy = now
            elif now >= self._connections.last_request + seconds:
                _log.info("nothing runs and nobody has asked for anything for %g seconds: ending", seconds)
                self.shutdown.request(OnExit.DETACH)
                return

    async def finish(self) -> None:
        """The engine has ended: tell those who wait for that, and let the last answers go out, for a bounded time."""
        self._ended.set()
        with trio.move_on_after(FLUSH_SECONDS):
            await self._connections.wait_quiet()


async def _nobody(request: Request) -> Answer:
    raise Refusal(503, "the engine is not there yet")


def _runs_something(runtime: Runtime) -> bool:
    return any(container.view.state.running or container.status in _BUSY for container in runtime.list())


@asynccontextmanager
async def open_front() -> AsyncIterator[Front]:
    """A front for the length of the block; every connection that is left is closed at its end."""
    hangups = HangUps()
    try:
        async with open_background() as tasks:
            tasks.start_soon(hangups.run)
            yield Front(tasks, hangups)
    finally:
        hangups.close()


async def serve(
    runtime: Runtime,
    *,
    socket_path: str,
    group: str = "",
    ready: Callable[[], None] = lambda: None,
    idle_seconds: float | None = None,
) -> OnExit:
    """Serve the Docker Engine API of an engine that the caller has opened; for the rest as ``Front.serve``.

    Returns what is to become of the containers that still run.
    """
    async with open_front() as front:
        on_exit = await front.serve(
            runtime, socket_path=socket_path, group=group, ready=ready, idle_seconds=idle_seconds
        )
        await front.finish()
    return on_exit
