"""The engine itself: is it there, what is it, what happens in it, what does it occupy, and its end."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from typing import Any

from bireme.server.context import Context, Handler
from bireme.server.handlers.images import summary as image_summary
from bireme.server.handlers.listing import summary as container_summary
from bireme.server.handlers.volumes import document as volume_document
from bireme.server.messages import Answer, Request, Response, as_json, streamed
from bireme.server.routing import Route
from bireme_actors import OnExit

_PING = (
    ("Content-Type", "text/plain; charset=utf-8"),
    ("Cache-Control", "no-cache, no-store, must-revalidate"),
    ("Pragma", "no-cache"),
    ("Builder-Version", "1"),
    ("Swarm", "inactive"),
)


async def ping(context: Context, request: Request) -> Answer:
    """``GET`` and ``HEAD /_ping``."""
    return Response(200, b"OK", _PING)


async def version(context: Context, request: Request) -> Answer:
    """``GET /version``."""
    return as_json(context.runtime.version())


async def info(context: Context, request: Request) -> Answer:
    """``GET /info``."""
    return as_json(context.runtime.info())


async def disk_usage(context: Context, request: Request) -> Answer:
    """``GET /system/df``."""
    usage: dict[str, Any] = await context.runtime.disk_usage()
    wanted = set(request.query.many("type")) or {"container", "image", "volume", "build-cache"}
    now, found = time.time_ns(), {"LayersSize": usage["layers"]}
    containers = context.runtime.list()
    if "image" in wanted:
        used = [container.view.config.image_id for container in containers]
        images = context.runtime.images.list()
        found["Images"] = [
            {**image_summary(image, request.version), "Containers": used.count(image.id), "SharedSize": 0}
            for image in images
        ]
    if "container" in wanted:
        found["Containers"] = [
            {**container_summary(container, context.runtime, now), "SizeRw": usage["containers"].get(container.id, 0)}
            for container in containers
        ]
    if "volume" in wanted:
        found["Volumes"] = [
            volume_document(view, usage["volumes"].get(view.id, 0)) for view in context.runtime.volumes()
        ]
    return as_json({**found, "BuildCache": [], "BuilderSize": 0})


async def shutdown(context: Context, request: Request) -> Answer:
    """``POST /bireme/shutdown``: the answer ends when the engine has ended; ``detach=1`` leaves containers running."""
    context.shutdown.request(OnExit.DETACH if request.query.flag("detach") else OnExit.STOP)
    return streamed(_until_ended(context), "text/plain")


async def _until_ended(context: Context) -> AsyncGenerator[bytes]:
    await context.ended.wait()
    yield b"the engine ends\n"


ROUTES: tuple[Route[Handler], ...] = (
    Route("GET", "/_ping", ping),
    Route("HEAD", "/_ping", ping),
    Route("GET", "/version", version),
    Route("GET", "/info", info),
    Route("GET", "/system/df", disk_usage),
    Route("POST", "/bireme/shutdown", shutdown),
)
