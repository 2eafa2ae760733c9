"""What moves a container through its life, and waiting for its end."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import trio

from bireme.server.context import Context, Handler
from bireme.server.messages import NO_CONTENT, Answer, Awaited, Request, json_bytes
from bireme.server.routing import Route
from bireme_actors import BiremeError, Conflict, InvalidConfig, Status, WaitCondition, Watch

KILL_SECONDS = 10.0
"""What a killed container may take to end before the client hears that the signal was sent; a frozen one never ends."""


async def start(context: Context, request: Request) -> Answer:
    """``POST /containers/{id}/start``: 204, 304 if it runs. Any body is ignored, as old clients send one."""
    container = context.runtime.get(request["id"])
    if container.status is Status.PAUSED:
        raise Conflict("cannot start a paused container, try unpause instead")
    await container.start()
    return NO_CONTENT


async def stop(context: Context, request: Request) -> Answer:
    """``POST /containers/{id}/stop``: answered at the exit."""
    container = context.runtime.get(request["id"])
    await container.stop(*_stop_options(request))
    return NO_CONTENT


async def restart(context: Context, request: Request) -> Answer:
    """``POST /containers/{id}/restart``: answered once it runs again."""
    container = context.runtime.get(request["id"])
    await container.restart(*_stop_options(request))
    return NO_CONTENT


def _stop_options(request: Request) -> tuple[float | None, str | None]:
    seconds = request.query.number("t")
    return (None if seconds is None else float(seconds)), request.query.text("signal") or None


async def kill(context: Context, request: Request) -> Answer:
    """``POST /containers/{id}/kill``: answered, for SIGKILL, at the exit, since clients go on to remove it."""
    container = context.runtime.get(request["id"])
    ended = container.watch(WaitCondition.NEXT_EXIT)
    signal = request.query.text("signal") or "KILL"
    await container.kill(signal)
    if signal.upper().removeprefix("SIG") in ("KILL", "9"):
        with trio.move_on_after(KILL_SECONDS), suppress(BiremeError):
            await ended.wait()
    return NO_CONTENT


async def pause(context: Context, request: Request) -> Answer:
    """``POST /containers/{id}/pause``."""
    await context.runtime.get(request["id"]).pause()
    return NO_CONTENT


async def unpause(context: Context, request: Request) -> Answer:
    """``POST /containers/{id}/unpause``."""
    await context.runtime.get(request["id"]).unpause()
    return NO_CONTENT


async def resize(context: Context, request: Request) -> Answer:
    """``POST /containers/{id}/resize``."""
    container = context.runtime.get(request["id"])
    await container.resize(*terminal_size(request))
    return NO_CONTENT


def terminal_size(request: Request) -> tuple[int, int]:
    """Rows and columns from ``h`` and ``w``. Raises InvalidConfig."""
    height, width = request.query.number("h"), request.query.number("w")
    for value in (height, width):
        if value is None or not 0 <= value < 1 << 16:
            raise InvalidConfig("invalid terminal size: give the rows as h and the columns as w, each below 65536")
    return height or 0, width or 0


async def wait(context: Context, request: Request) -> Answer:
    """``POST /containers/{id}/wait``: on the books when the head goes out, the body follows at the exit."""
    container = context.runtime.get(request["id"])
    text = request.query.text("condition") or WaitCondition.NOT_RUNNING
    try:
        condition = WaitCondition(text)
    except ValueError:
        raise InvalidConfig(f"invalid condition: {text!r}: one of {', '.join(WaitCondition)}") from None
    await trio.lowlevel.checkpoint()
    watch = container.watch(condition)
    return Awaited(partial(_exit, watch), source=watch)


async def _exit(watch: Watch) -> bytes:
    try:
        status = await watch.wait()
    except BiremeError as error:
        return json_bytes({"Error": {"Message": str(error)}, "StatusCode": -1})
    return json_bytes({"Error": None, "StatusCode": int(status)})


ROUTES: tuple[Route[Handler], ...] = (
    Route("POST", "/containers/{id}/start", start),
    Route("POST", "/containers/{id}/stop", stop),
    Route("POST", "/containers/{id}/restart", restart),
    Route("POST", "/containers/{id}/kill", kill),
    Route("POST", "/containers/{id}/pause", pause),
    Route("POST", "/containers/{id}/unpause", unpause),
    Route("POST", "/containers/{id}/resize", resize),
    Route("POST", "/containers/{id}/wait", wait),
)
