"""What runs in a container, and what it uses."""

from __future__ import annotations

import shlex
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

import trio

from bireme.server.context import Context, Handler
from bireme.server.messages import Answer, Request, as_json, json_bytes, streamed
from bireme.server.routing import Route
from bireme_actors import DriverError, InvalidConfig, MissingRequirement

if TYPE_CHECKING:
    from bireme.engine import Container

INTERVAL = 1.0
"""Seconds between two readings."""


async def top(context: Context, request: Request) -> Answer:
    """``GET /containers/{id}/top``."""
    container = context.runtime.get(request["id"])
    try:
        arguments = shlex.split(request.query.text("ps_args", "-ef"))
    except ValueError as error:
        raise InvalidConfig(f"invalid ps_args: {error}") from None
    try:
        titles, processes = await container.top(arguments)
    except MissingRequirement:
        raise
    except DriverError as error:
        raise InvalidConfig(f"{error}; ps_args must be options of ps") from error
    return as_json({"Titles": titles, "Processes": processes})


async def stats(context: Context, request: Request) -> Answer:
    """``GET /containers/{id}/stats``: a reading a second, or one, with the one before it unless ``one-shot``."""
    container, query = context.runtime.get(request["id"]), request.query
    if query.flag("stream", True):
        return streamed(_readings(container))
    before = None if query.flag("one-shot") else await container.stats()
    if before is not None and container.view.state.running:
        with trio.move_on_after(INTERVAL):
            await container.wait()
    return as_json(_after(before, await container.stats()))


def _after(before: dict[str, Any] | None, reading: dict[str, Any]) -> dict[str, Any]:
    if before is None:
        return reading
    return {**reading, "preread": before["read"], "precpu_stats": before["cpu_stats"]}


async def _readings(container: Container) -> AsyncGenerator[bytes]:
    before, removed = None, container.watch("removed")
    while not removed.done():
        reading = await container.stats()
        yield json_bytes(_after(before, reading))
        before = reading
        with trio.move_on_after(INTERVAL):
            await removed.wait()


ROUTES: tuple[Route[Handler], ...] = (
    Route("GET", "/containers/{id}/top", top),
    Route("GET", "/containers/{id}/stats", stats),
)
