"""The parts of Docker's API that are out of scope: every one answers 501 with a sentence."""

from __future__ import annotations

from bireme.server.context import Context, Handler
from bireme.server.errors import Refusal, out_of_scope
from bireme.server.messages import Answer, Request, as_json
from bireme.server.routing import Route

_PARTS = {
    "build": "Building images is",
    "session": "Building images is",
    "grpc": "Building images is",
    "swarm": "Swarm is",
    "nodes": "Swarm is",
    "services": "Swarm is",
    "tasks": "Swarm is",
    "secrets": "Swarm is",
    "configs": "Swarm is",
    "plugins": "A plugin system is",
    "debug": "A debugging endpoint is",
}
"""First part of a path → what it is."""

_METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD")


def _refusal(sentence: str) -> Handler:
    async def refuse(context: Context, request: Request) -> Answer:
        raise out_of_scope(sentence)

    return refuse


async def prune_build_cache(context: Context, request: Request) -> Answer:
    """``POST /build/prune``: asked by ``docker system prune``; there is no build cache."""
    return as_json({"CachesDeleted": None, "SpaceReclaimed": 0})


async def leave_swarm(context: Context, request: Request) -> Answer:
    """``POST /swarm/leave``: in Docker's words, at which clients that clean up go on."""
    raise Refusal(503, "This node is not part of a swarm")


ROUTES: tuple[Route[Handler], ...] = (
    Route("POST", "/build/prune", prune_build_cache),
    Route("POST", "/swarm/leave", leave_swarm),
    *(
        Route(method, f"/{part}{rest}", _refusal(sentence))
        for part, sentence in _PARTS.items()
        for method in _METHODS
        for rest in ("", "/{rest:path}")
    ),
)
