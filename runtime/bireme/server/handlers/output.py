"""A container's streams: attaching to them, and its log."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

from bireme._keys import KeyWatch
from bireme.engine import LogEntry
from bireme.server.context import Context, Handler
from bireme.server.errors import out_of_scope
from bireme.server.joining import join
from bireme.server.messages import Answer, Hijacked, Raw, Request, Streamed
from bireme.server.query import Query
from bireme.server.routing import Route
from bireme.server.streams import Encoder, content_type, lines, parse_keys
from bireme.server.times import parse_moment
from bireme_actors import BiremeError, Conflict, InvalidConfig, Status

if TYPE_CHECKING:
    from bireme.engine import Attachment, Container


async def attach(context: Context, request: Request) -> Answer:
    """``POST /containers/{id}/attach``: registered when the head goes out, so nothing of a start after it is missed."""
    container, query = context.runtime.get(request["id"]), request.query
    keys = parse_keys(query.text("detachKeys"))
    if container.status in (Status.PAUSED, Status.RESTARTING):
        way_out = "unpause it" if container.status is Status.PAUSED else "wait until it runs"
        raise Conflict(f"Container {container.id} is {container.status}, {way_out} before attaching")
    tty = container.view.config.tty
    stdin = query.flag("stdin")
    attachment = container.attach(
        stdin=stdin,
        stdout=query.flag("stdout"),
        stderr=query.flag("stderr"),
        logs=query.flag("logs"),
        stream=query.flag("stream"),
    )

    async def run(raw: Raw) -> None:
        async with attachment:
            watch = KeyWatch(keys) if stdin and tty else None
            async with aclosing(_to_the_end(attachment)) as entries:
                await join(raw, entries, Encoder(tty=tty), attachment if stdin else None, watch)

    return Hijacked(run, content_type(tty=tty, version=request.version))


async def _to_the_end(attachment: Attachment) -> AsyncGenerator[LogEntry]:
    """What comes out; a client that was given up is told so in its place, there being no other way left."""
    try:
        async for entry in attachment:
            yield entry
    except BiremeError as error:
        yield LogEntry("stderr", time.time_ns(), f"bireme: {error}\n".encode())


async def attach_websocket(context: Context, request: Request) -> Answer:
    """``GET /containers/{id}/attach/ws``."""
    raise out_of_scope("Attaching by websocket is")


async def logs(context: Context, request: Request) -> Answer:
    """``GET /containers/{id}/logs``."""
    container, query = context.runtime.get(request["id"]), request.query
    if not (query.flag("stdout") or query.flag("stderr")):
        raise InvalidConfig("Bad parameters: you must choose at least one stream")
    opened = _open_log(container, query)
    tty = container.view.config.tty
    return Streamed(opened, (("Content-Type", content_type(tty=tty, version=request.version)),))


def _tail(query: Query) -> int | None:
    text = query.text("tail", "all").strip()
    # As Docker: what is no number means everything.
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


@asynccontextmanager
async def _open_log(container: Container, query: Query) -> AsyncIterator[AsyncIterator[bytes]]:
    now = time.time_ns()
    entries = container.logs(
        follow=query.flag("follow"),
        stdout=query.flag("stdout"),
        stderr=query.flag("stderr"),
        since=parse_moment(query.text("since"), now),
        until=parse_moment(query.text("until"), now),
        tail=_tail(query),
    )
    encoder = Encoder(tty=container.view.config.tty, timestamps=query.flag("timestamps"))

    async def pieces() -> AsyncGenerator[bytes]:
        async with aclosing(entries) as reading:
            async for entry in reading:
                yield b"".join(encoder.encode(entry.stream, entry.time, line) for line in lines(entry.data))

    async with aclosing(pieces()) as encoded:
        yield encoded


ROUTES: tuple[Route[Handler], ...] = (
    Route("POST", "/containers/{id}/attach", attach),
    Route("GET", "/containers/{id}/attach/ws", attach_websocket),
    Route("GET", "/containers/{id}/logs", logs),
)
