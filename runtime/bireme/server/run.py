"""An engine as a process of its own: opened, served, ended by a signal, by idleness or on request."""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import trio

from bireme.config import DEFAULT_DRIVER, Settings
from bireme.engine import open_background, open_engine
from bireme.server.front import Front, open_front
from bireme_actors import BiremeError, OnExit

DESCRIPTORS = 1 << 16
"""Open files an engine wants: a log and pipes a container, a socket a client."""

_TALKATIVE = ("httpx", "httpcore")
"""What they log of every request may be a secret: signed addresses, credentials."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How to run an engine; paths are absolute."""

    root: str
    run_dir: str
    driver: str = DEFAULT_DRIVER
    socket_path: str = ""
    """Of the API; ``RUN/bireme.sock`` if empty."""
    group: str = ""
    """Whose members may connect, besides root."""
    idle_seconds: float | None = None
    """End by itself after that long with nothing running and nothing asked for; None: never."""
    ready_fd: int | None = None
    """Where to write one byte once the socket listens; closed then."""
    debug: bool = False
    insecure_registries: tuple[str, ...] = ()
    """Hosts and networks whose registries may be asked without https, besides those on loopback."""


def run_engine(settings: EngineSettings) -> int:
    """Run an engine until it is told to end; the process's exit status. The reason of a failure goes to stderr.

    SIGTERM and SIGINT end the engine and leave its containers running, for the next engine to take over; ``POST
    /bireme/shutdown`` stops them first. A second signal does not wait for what the first has begun.
    """
    # A command line dies when its reader goes; an engine must not when a client does.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    logging.basicConfig(
        level=logging.DEBUG if settings.debug else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        trio.run(_run, settings)
    except BiremeError as error:
        print(f"bireme: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


async def _run(settings: EngineSettings) -> None:
    with trio.CancelScope() as scope, trio.open_signal_receiver(*_SIGNALS) as signals:
        async with open_front() as front, open_background() as background:
            background.start_soon(_end_on_signal, front, scope, signals)
            await _serve(settings, front)


async def _serve(settings: EngineSettings, front: Front) -> None:
    parts = Settings(
        root=settings.root,
        run_dir=settings.run_dir,
        driver=settings.driver,
        insecure_registries=settings.insecure_registries,
    )
    async with open_engine(parts, OnExit.DETACH) as runtime:
        _raise_descriptor_limit()
        await front.serve(
            runtime,
            socket_path=settings.socket_path or parts.socket_path,
            group=settings.group,
            ready=lambda: _tell_ready(settings.ready_fd),
            idle_seconds=settings.idle_seconds,
        )
    await front.finish()


async def _end_on_signal(front: Front, scope: trio.CancelScope, signals: AsyncIterator[int]) -> None:
    async for signum in signals:
        if front.shutdown.requested.is_set():
            scope.cancel()
            return
        logging.getLogger("bireme.server").info("%s: ending, containers go on", signal.Signals(signum).name)
        front.shutdown.request(OnExit.DETACH)


def _tell_ready(fd: int | None) -> None:
    if fd is not None:
        os.write(fd, b"1")
        os.close(fd)


def _raise_descriptor_limit() -> None:
    """After the launcher has been started: containers get what this process was given, not what it takes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
