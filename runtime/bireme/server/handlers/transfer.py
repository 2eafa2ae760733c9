"""Images in and out as archives: import, load, save.

Import and load answer with a stream of progress: its head goes out before the work begins, so an error is the last
object of the stream, as Docker's clients expect it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import trio

from bireme.engine import open_background
from bireme.server.context import Context, Handler
from bireme.server.errors import Refusal, message_of, status_of
from bireme.server.messages import TAR, Answer, Request, Streamed, json_bytes
from bireme.server.routing import Route
from bireme.server.steps import progress_document
from bireme_actors import BiremeError, InvalidConfig, Unsupported

if TYPE_CHECKING:
    from bireme.engine import ProgressEvent

_log = logging.getLogger("bireme.server")

_AHEAD = 64
"""Events of progress that a slow client may be behind before some are left out."""

Work = Callable[[Callable[["ProgressEvent"], None]], Awaitable[list[dict[str, Any]]]]


async def create(context: Context, request: Request) -> Answer:
    """``POST /images/create`` without ``fromImage``: an import, with ``fromSrc``."""
    query = request.query
    source = query.text("fromSrc")
    if source != "-":
        raise Unsupported(f"importing from {source!r} is not available: send the archive itself, with fromSrc=-")
    repository, tag = query.text("repo"), query.text("tag")
    reference = f"{repository}:{tag}" if repository and tag else repository

    async def work(progress: Callable[[ProgressEvent], None]) -> list[dict[str, Any]]:
        image = await context.runtime.images.import_(
            request.body,
            reference=reference,
            changes=query.many("changes"),
            message=query.text("message"),
            progress=progress,
        )
        return [{"status": image.id}]

    return Streamed(_with_progress(work, quiet=False))


async def load(context: Context, request: Request) -> Answer:
    """``POST /images/load``."""
    quiet = request.query.flag("quiet")

    async def work(progress: Callable[[ProgressEvent], None]) -> list[dict[str, Any]]:
        found = await context.runtime.images.load(request.body, progress=progress)
        return [{"stream": f"{_loaded(name, image.id)}\n"} for name, image in found]

    return Streamed(_with_progress(work, quiet=quiet))


def _loaded(name: str, identifier: str) -> str:
    return f"Loaded image ID: {identifier}" if name == identifier else f"Loaded image: {name}"


@asynccontextmanager
async def _with_progress(work: Work, *, quiet: bool) -> AsyncIterator[AsyncIterator[bytes]]:
    """Steps while the work goes on, then its result, or its error. Leaving gives the work up."""
    send, receive = trio.open_memory_channel[dict[str, Any]](_AHEAD)
    results: list[dict[str, Any]] = []

    def progress(event: ProgressEvent) -> None:
        if not quiet:
            with suppress(trio.WouldBlock, trio.BrokenResourceError):
                send.send_nowait(progress_document(event))

    async def run() -> None:
        with send:
            results.extend(await _results(work, progress))

    async def pieces() -> AsyncGenerator[bytes]:
        async for event in receive:
            yield json_bytes(event)
        for result in results:
            yield json_bytes(result)

    async with open_background() as background:
        background.start_soon(run)
        async with aclosing(pieces()) as encoded:
            yield encoded


async def _results(work: Work, progress: Callable[[ProgressEvent], None]) -> list[dict[str, Any]]:
    try:
        return await work(progress)
    except (BiremeError, Refusal) as error:
        return [error_document(error)]
    except Exception:  # noqa: BLE001 - the head is out, so it is told in the stream
        _log.exception("a transfer failed by a bug in bireme")
        return [error_document(BiremeError("internal error: see the engine's log"))]


def error_document(error: BiremeError | Refusal) -> dict[str, Any]:
    """An error in the middle of a stream."""
    text = message_of(error)
    return {"errorDetail": {"code": status_of(error), "message": text}, "error": text}


async def save_many(context: Context, request: Request) -> Answer:
    """``GET /images/get``."""
    return _save(context, request.query.many("names"))


async def save(context: Context, request: Request) -> Answer:
    """``GET /images/{name}/get``."""
    return _save(context, [request["name"]])


def _save(context: Context, names: Sequence[str]) -> Answer:
    if not names:
        raise InvalidConfig("no image named: give at least one in the field names")
    return Streamed(aclosing(context.runtime.images.save(names)), (("Content-Type", TAR),))


ROUTES: tuple[Route[Handler], ...] = (
    Route("POST", "/images/load", load),
    Route("GET", "/images/get", save_many),
    Route("GET", "/images/{name:path}/get", save),
)

