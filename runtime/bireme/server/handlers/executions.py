"""Processes added to a running container: made, started with or without their streams, looked at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

import trio

from bireme._keys import DEFAULT_KEYS, KeyWatch
from bireme.server.context import Context, Handler
from bireme.server.errors import message_of
from bireme.server.handlers.lifecycle import terminal_size
from bireme.server.joining import join
from bireme.server.messages import Answer, Hijacked, Raw, Request, Response, as_json
from bireme.server.models import ExecBody, ExecStartBody, words_of
from bireme.server.routing import Route
from bireme.server.streams import Encoder, content_type, frame, parse_keys
from bireme_actors import BiremeError, Conflict, InvalidConfig

if TYPE_CHECKING:
    from bireme.engine import Exec

LEAVE_SECONDS = 1.0
"""How long telling a process that its client has gone may take."""


async def create(context: Context, request: Request) -> Answer:
    """``POST /containers/{id}/exec``."""
    container = context.runtime.get(request["id"])
    body = await request.json(ExecBody)
    words = words_of(body.cmd)
    if not words:
        raise InvalidConfig("No exec command specified")
    keys = parse_keys(body.detach_keys)
    spec = container.exec_spec(
        words,
        env=body.env,
        user=body.user,
        workdir=body.working_dir,
        tty=body.tty,
        stdin_open=body.attach_stdin,
        privileged=body.privileged,
    )
    execution = container.create_exec(spec)
    context.exec_keys[execution] = keys
    if len(body.console_size) == 2:
        await execution.resize(*body.console_size)
    return as_json({"Id": execution.id}, 201)


async def start(context: Context, request: Request) -> Answer:
    """``POST /exec/{id}/start``.

    A client that attaches gets the streams in any case: why a command could not be executed is written to them, since
    Docker's clients show no error of a connection that was to be upgraded.
    """
    execution = context.runtime.get_exec(request["id"])
    body = await request.json(ExecStartBody)
    if execution.started:
        raise Conflict(f"exec {execution.id} has already run; create another one")
    if len(body.console_size) == 2:
        await execution.resize(*body.console_size)
    if body.detach:
        execution.discard_output()
        await execution.start()
        return Response(200)

    async def run(raw: Raw) -> None:
        await _run_attached(execution, raw, context.exec_keys.get(execution, DEFAULT_KEYS), framed=not body.tty)

    return Hijacked(run, content_type(tty=body.tty, version=request.version))


async def _run_attached(execution: Exec, raw: Raw, keys: bytes, *, framed: bool) -> None:
    """``framed``: whether the client takes frames, which it says at the start, terminal or not."""
    try:
        await execution.start()
    except BiremeError as error:
        text = message_of(error).encode() + b"\r\n"
        await raw.send_all(frame("stderr", text) if framed else text)
        return
    watch = KeyWatch(keys) if execution.spec.tty else None
    async with aclosing(execution.output()) as entries, _ending_input(execution):
        open_stdin = execution if execution.spec.open_stdin else None
        ended = await join(raw, entries, Encoder(tty=not framed), open_stdin, watch)
    if ended:
        await execution.wait()  # who asks for the exit code after the end of the output finds it


@asynccontextmanager
async def _ending_input(execution: Exec) -> AsyncIterator[None]:
    """A client that goes away will send no more: the process is told, and goes on."""
    try:
        yield
    except BaseException:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + LEAVE_SECONDS):
            await execution.send_eof()
        raise


async def resize(context: Context, request: Request) -> Answer:
    """``POST /exec/{id}/resize``."""
    await context.runtime.get_exec(request["id"]).resize(*terminal_size(request))
    return Response(200)


async def inspect(context: Context, request: Request) -> Answer:
    """``GET /exec/{id}/json``."""
    return as_json(context.runtime.get_exec(request["id"]).inspect())


ROUTES: tuple[Route[Handler], ...] = (
    Route("POST", "/containers/{id}/exec", create),
    Route("POST", "/exec/{id}/start", start),
    Route("POST", "/exec/{id}/resize", resize),
    Route("GET", "/exec/{id}/json", inspect),
)
