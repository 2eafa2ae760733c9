"""Registries: pull, push, login, and what is there under a name.

What fails before there is anything to tell becomes an error answer, as in Docker (a manifest that is not there is a
404); afterwards it is the last object of the stream. A client that hangs up ends its pull or push.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

from bireme.engine import Credentials, Unauthorized, open_background, read_auth_header, read_credentials
from bireme.server.context import Context, Handler
from bireme.server.errors import Refusal
from bireme.server.handlers import transfer
from bireme.server.messages import Answer, Request, Streamed, as_json, json_bytes
from bireme.server.routing import Route
from bireme.server.steps import Outbox
from bireme_actors import BiremeError, InvalidConfig

if TYPE_CHECKING:
    from bireme.engine import ProgressEvent

_log = logging.getLogger("bireme.server")
_AUTH = "x-registry-auth"

Work = Callable[[Callable[["ProgressEvent"], None]], Awaitable[object]]


async def create(context: Context, request: Request) -> Answer:
    """``POST /images/create``: a pull with ``fromImage``, else an import."""
    if not request.query.text("fromImage"):
        return await transfer.create(context, request)
    remote, credentials = context.runtime.images.remote, _lenient(request)
    platform = request.query.text("platform")
    name, every = _pulled(request.query.text("fromImage"), request.query.text("tag"))

    async def work(progress: Callable[[ProgressEvent], None]) -> object:
        bring = remote.pull_all if every else remote.pull
        brought = await bring(name, platform=platform, credentials=credentials, progress=progress)
        context.runtime.images.tell("pull", name, name)
        return brought

    return Streamed(_told(work))


def _pulled(image: str, tag: str) -> tuple[str, bool]:
    """The name to pull, and whether all its tags are meant, as they are where neither of the two has one."""
    if tag:
        separator = "@" if ":" in tag else ":"
        head, colon, last = image.partition("@")[0].rpartition(":")
        bare = head if colon and "/" not in last else image.partition("@")[0]
        return f"{bare}{separator}{tag}", False
    return image, "@" not in image and ":" not in image.rpartition("/")[2]


async def push(context: Context, request: Request) -> Answer:
    """``POST /images/{name}/push``: one tag, or without ``tag`` all of a repository."""
    remote, credentials = context.runtime.images.remote, _strict(request)
    name, tag = request["name"], request.query.text("tag")
    every = not tag and ":" not in name.rpartition("/")[2]

    async def work(progress: Callable[[ProgressEvent], None]) -> object:
        reference = f"{name}:{tag}" if tag else name
        pushed = await remote.push(reference, all_tags=every, credentials=credentials, progress=progress)
        context.runtime.images.tell("push", reference, reference)
        return pushed

    return Streamed(_told(work))


async def log_in(context: Context, request: Request) -> Answer:
    """``POST /auth``."""
    fields = await request.json(dict[str, Any])
    server = fields.get("serveraddress", "")
    if not isinstance(server, str):
        raise InvalidConfig("invalid JSON: serveraddress is no text")
    try:
        token = await context.runtime.images.remote.log_in(server, read_credentials(fields))
    except Unauthorized as error:
        raise Refusal(401, str(error)) from error
    return as_json({"IdentityToken": token, "Status": "Login Succeeded"})


async def distribution(context: Context, request: Request) -> Answer:
    """``GET /distribution/{name}/json``."""
    found = await context.runtime.images.remote.inquire(request["name"], credentials=_lenient(request))
    return as_json({"Descriptor": found.descriptor, "Platforms": list(found.platforms)})


def _lenient(request: Request) -> Credentials:
    """As Docker does, a header that makes no sense is none: what it was to open may be open to all."""
    try:
        return read_auth_header(request.headers.get(_AUTH, ""))
    except InvalidConfig:
        return Credentials()


def _strict(request: Request) -> Credentials:
    return read_auth_header(request.headers.get(_AUTH, ""))


@asynccontextmanager
async def _told(work: Work) -> AsyncIterator[AsyncIterator[bytes]]:
    """The steps of some work as they happen. Entered once there is a first one. Leaving gives the work up."""
    outbox, failures = Outbox(), list[BaseException]()

    async def run() -> None:
        try:
            await work(outbox.put)
        except Exception as error:  # noqa: BLE001 - told to the client, or to the log
            failures.append(error)
        finally:
            outbox.close()

    async def pieces() -> AsyncGenerator[bytes]:
        async with aclosing(outbox.steps()) as steps:
            async for step in steps:
                yield json_bytes(step)
        for failure in failures:
            yield json_bytes(transfer.error_document(_expected(failure)))

    async with open_background() as background:
        background.start_soon(run)
        if not await outbox.wait() and failures:
            raise failures[0]
        async with aclosing(pieces()) as encoded:
            yield encoded


def _expected(failure: BaseException) -> BiremeError | Refusal:
    if isinstance(failure, BiremeError | Refusal):
        return failure
    _log.error("a transfer failed by a bug in bireme", exc_info=failure)
    return BiremeError("internal error: see the engine's log")


ROUTES: tuple[Route[Handler], ...] = (
    Route("POST", "/images/create", create),
    Route("POST", "/images/{name:path}/push", push),
    Route("POST", "/auth", log_in),
    Route("GET", "/distribution/{name:path}/json", distribution),
)
