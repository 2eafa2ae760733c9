"""Volumes: known by what they are mounted at and by their ID, never by a name of the user's."""

from __future__ import annotations

from typing import Any

from bireme.server.context import Context, Handler
from bireme.server.filters import Filters, parse_filters
from bireme.server.messages import NO_CONTENT, Answer, Request, as_json
from bireme.server.routing import Route
from bireme.server.times import rfc3339
from bireme_actors import NotFound, Unsupported, VolumeView

NAMELESS = (
    "volumes cannot be created by name (Docker's data-volume specification): a container makes its volumes with "
    "-v PATH, others take them with --volumes-from CONTAINER"
)


def document(view: VolumeView, size: int | None = None) -> dict[str, Any]:
    """A volume as Docker has it; who holds it, and since when nobody does, are its ``Status``."""
    found: dict[str, Any] = {
        "Name": view.id,
        "Driver": "local",
        "Mountpoint": view.path,
        "CreatedAt": rfc3339(view.created),
        "Labels": None,
        "Options": None,
        "Scope": "local",
        "Status": {"Holders": list(view.holders), "UnheldSince": rfc3339(view.unheld_since)},
    }
    if size is not None:
        found["UsageData"] = {"Size": size, "RefCount": len(view.holders)}
    return found


def _fits(view: VolumeView, filters: Filters) -> bool:
    return (
        filters.fits("name", lambda value: value in view.id)
        and filters.fits("driver", lambda value: value == "local")
        and (filters.flag("dangling", not view.holders) == (not view.holders))
        and filters.labels_fit({})
    )


async def list_volumes(context: Context, request: Request) -> Answer:
    """``GET /volumes``."""
    filters = parse_filters(request.query, ("dangling", "driver", "label", "name"))
    found = [document(view) for view in context.runtime.volumes() if _fits(view, filters)]
    return as_json({"Volumes": found, "Warnings": None})


async def inspect(context: Context, request: Request) -> Answer:
    """``GET /volumes/{name}``."""
    return as_json(document(context.runtime.get_volume(request["name"])))


async def create(context: Context, request: Request) -> Answer:
    """``POST /volumes/create``."""
    raise Unsupported(NAMELESS)


async def remove(context: Context, request: Request) -> Answer:
    """``DELETE /volumes/{name}``."""
    try:
        await context.runtime.remove_volume(request["name"])
    except NotFound:
        if not request.query.flag("force"):
            raise
    return NO_CONTENT


async def prune(context: Context, request: Request) -> Answer:
    """``POST /volumes/prune``: those that nobody holds."""
    filters = parse_filters(request.query, ("all", "label", "label!"))
    removed = await context.runtime.prune_volumes() if filters.labels_fit({}) else []
    reclaimed = sum(size for _, size in removed)
    return as_json({"VolumesDeleted": [volume for volume, _ in removed] or None, "SpaceReclaimed": reclaimed})


ROUTES: tuple[Route[Handler], ...] = (
    Route("GET", "/volumes", list_volumes),
    Route("POST", "/volumes/create", create),
    Route("POST", "/volumes/prune", prune),
    Route("GET", "/volumes/{name}", inspect),
    Route("DELETE", "/volumes/{name}", remove),
)
