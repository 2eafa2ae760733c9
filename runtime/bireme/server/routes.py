"""The whole table of routes, and the one function that answers a request with it."""

from __future__ import annotations

from bireme.server.context import Context, Handler
from bireme.server.handlers import (
    containers,
    events,
    executions,
    files,
    images,
    lifecycle,
    networks,
    output,
    refused,
    registries,
    statistics,
    system,
    transfer,
    volumes,
)
from bireme.server.http import Handle
from bireme.server.messages import Answer, Request
from bireme.server.routing import Route, Router

ROUTES: tuple[Route[Handler], ...] = (
    *system.ROUTES,
    *events.ROUTES,
    *containers.ROUTES,
    *lifecycle.ROUTES,
    *output.ROUTES,
    *executions.ROUTES,
    *files.ROUTES,
    *statistics.ROUTES,
    *images.ROUTES,
    *registries.ROUTES,
    *transfer.ROUTES,
    *volumes.ROUTES,
    *networks.ROUTES,
    *refused.ROUTES,
)


def application(context: Context) -> Handle:
    """What answers every request of one engine."""
    router = Router(ROUTES)

    async def handle(request: Request) -> Answer:
        match = router.match(request.method, request.path)
        return await match.handler(context, request.routed(match.path, match.version, match.parameters))

    return handle
