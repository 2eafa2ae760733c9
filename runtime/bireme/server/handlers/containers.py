"""Containers as things: listed, made, looked at, changed, removed."""

from __future__ import annotations

import time
from typing import Any

from bireme.engine import foreign_warning
from bireme.server.bounds import limits
from bireme.server.context import Context, Handler
from bireme.server.creation import keywords
from bireme.server.endpoints import NO_LINKS
from bireme.server.filters import parse_filters
from bireme.server.handlers.listing import KNOWN_FILTERS, select, summary
from bireme.server.hosting import resource_warnings, warnings
from bireme.server.messages import NO_CONTENT, Answer, Request, as_json
from bireme.server.models import CreateBody, Resources, words_of
from bireme.server.routing import Route
from bireme.server.times import parse_moment
from bireme_actors import Conflict, ImageNotFound, InvalidConfig, Limits, NotFound, Unsupported

_PRUNABLE = frozenset({"created", "exited", "dead"})


async def list_containers(context: Context, request: Request) -> Answer:
    """``GET /containers/json``."""
    query, runtime = request.query, context.runtime
    filters = parse_filters(query, KNOWN_FILTERS)
    limit = query.number("limit") or 0
    found = select(runtime, filters, everything=query.flag("all"), limit=limit)
    now = time.time_ns()
    listed = [summary(container, runtime, now) for container in found]
    if query.flag("size"):
        for container, entry in zip(found, listed, strict=True):
            entry.update(await _sizes(context, container.id))
    return as_json(listed)


async def _sizes(context: Context, ref: str) -> dict[str, int]:
    container = context.runtime.get(ref)
    written = await context.runtime.written_size(container)
    try:
        below = context.runtime.images.get(container.view.config.image_id).size
    except NotFound:
        below = 0
    return {"SizeRw": written, "SizeRootFs": written + below}


async def create(context: Context, request: Request) -> Answer:
    """``POST /containers/create``. Only a missing image is 404, at which clients go and pull it."""
    body = await request.json(CreateBody)
    if not body.image:
        raise InvalidConfig("no image specified: name one in the field Image")
    options = keywords(body, request.query.text("name"))
    options["platform"] = request.query.text("platform")
    try:
        container = await context.runtime.create(body.image, words_of(body.cmd) or None, **options)
    except ImageNotFound:
        raise
    except NotFound as error:
        raise InvalidConfig(str(error)) from error
    told = warnings(body) if options["platform"] else [*_foreign(context, container.id), *warnings(body)]
    return as_json({"Id": container.id, "Warnings": told}, 201)


def _foreign(context: Context, ref: str) -> list[str]:
    """Of a container whose image is for other machines, which nobody has asked for by name."""
    try:
        image = context.runtime.images.get(context.runtime.get(ref).view.config.image_id)
    except NotFound:
        return []  # removed meanwhile
    return [warning] if (warning := foreign_warning(image)) else []


async def inspect(context: Context, request: Request) -> Answer:
    """``GET /containers/{id}/json``."""
    container = context.runtime.get(request["id"])
    found: dict[str, Any] = container.inspect()
    if request.query.flag("size"):
        found.update(await _sizes(context, container.id))
    return as_json(found)


async def rename(context: Context, request: Request) -> Answer:
    """``POST /containers/{id}/rename``."""
    name = request.query.text("name").removeprefix("/")
    if not name:
        raise InvalidConfig("Neither old nor new names may be empty")
    await context.runtime.get(request["id"]).rename(name)
    return NO_CONTENT


async def update(context: Context, request: Request) -> Answer:
    """``POST /containers/{id}/update``: the restart policy and the bounds, also while it runs."""
    container = context.runtime.get(request["id"])
    body = await request.json(Resources)
    if body.ulimits:
        raise Unsupported("ulimits are fixed when a container is created: make a new one, --volumes-from this one")
    bounds = limits(body)
    await container.update(
        restart=body.restart_policy.policy() if body.restart_policy.name else None,
        limits=bounds if bounds != Limits() else None,
    )
    return as_json({"Warnings": resource_warnings(body) or None})


async def remove(context: Context, request: Request) -> Answer:
    """``DELETE /containers/{id}``."""
    query = request.query
    if query.flag("link"):
        raise Unsupported(NO_LINKS)
    container = context.runtime.get(request["id"])
    await container.remove(force=query.flag("force"), volumes=query.flag("v"))
    return NO_CONTENT


async def prune(context: Context, request: Request) -> Answer:
    """``POST /containers/prune``: what does not run, with what ``until`` and ``label`` let pass."""
    filters = parse_filters(request.query, ("label", "label!", "until"))
    until = [parse_moment(value, time.time_ns()) for value in filters.get("until")]
    removed, reclaimed = [], 0
    for container in context.runtime.list():
        config = container.view.config
        if container.status not in _PRUNABLE or any(config.created > moment for moment in until):
            continue
        if not filters.labels_fit(config.labels):
            continue
        size = await context.runtime.written_size(container)
        try:
            await container.remove()
        except (Conflict, NotFound):
            continue  # started or removed meanwhile
        removed.append(container.id)
        reclaimed += size
    return as_json({"ContainersDeleted": removed or None, "SpaceReclaimed": reclaimed})


ROUTES: tuple[Route[Handler], ...] = (
    Route("GET", "/containers/json", list_containers),
    Route("POST", "/containers/create", create),
    Route("POST", "/containers/prune", prune),
    Route("GET", "/containers/{id}/json", inspect),
    Route("POST", "/containers/{id}/rename", rename),
    Route("POST", "/containers/{id}/update", update),
    Route("DELETE", "/containers/{id}", remove),
)
