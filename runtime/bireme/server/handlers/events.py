"""What happens, as a stream that goes on until the client has enough of it."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

from bireme.server.context import Context, Handler
from bireme.server.filters import Filters, parse_filters
from bireme.server.messages import Answer, Request, Streamed, json_bytes
from bireme.server.routing import Route
from bireme.server.times import SECOND, parse_moment
from bireme_actors import Event, InvalidConfig

if TYPE_CHECKING:
    from bireme.engine import Runtime

KNOWN_FILTERS = (
    "config", "container", "daemon", "event", "image", "label", "network", "node", "plugin", "scope", "secret",
    "service", "type", "volume",
)  # fmt: skip
_NEVER = ("config", "daemon", "network", "node", "plugin", "secret", "service")
"""Kinds of things that nothing happens to here."""


def document(event: Event) -> dict[str, Any]:
    """One event as Docker writes it; ``status``, ``id`` and ``from`` are its older half."""
    found: dict[str, Any] = {
        "Type": event.kind,
        "Action": event.action,
        "Actor": {"ID": event.id, "Attributes": dict(event.attributes)},
        "scope": "local",
        "time": event.time // SECOND,
        "timeNano": event.time,
    }
    if event.kind in ("container", "image"):
        found = {"status": event.action, "id": event.id, **found}
    if event.kind == "container" and "image" in event.attributes:
        found["from"] = event.attributes["image"]
    return found


def fits(event: Event, filters: Filters) -> bool:
    """Whether a client that filters so wants to hear of it."""
    return (
        filters.fits("event", lambda value: value == event.action or event.action.startswith(f"{value}:"))
        and filters.fits("type", lambda value: value == event.kind)
        and filters.fits("scope", lambda value: value == "local")
        and filters.fits("container", lambda value: event.kind == "container" and _is(event, value))
        and filters.fits("volume", lambda value: event.kind == "volume" and event.id.startswith(value))
        and filters.fits("image", lambda value: _is_of_image(event, value))
        and filters.labels_fit(event.attributes)
        and not any(name in filters for name in _NEVER)
    )


def _is(event: Event, ref: str) -> bool:
    return bool(ref) and (event.id.startswith(ref) or event.attributes.get("name") == ref.removeprefix("/"))


def _is_of_image(event: Event, ref: str) -> bool:
    names = {event.attributes.get("name") if event.kind == "image" else event.attributes.get("image")}
    if event.kind == "image":
        names.add(event.id)
    return ref in names or f"{ref}:latest" in names or any(name == f"{ref.removesuffix(':latest')}" for name in names)


async def events(context: Context, request: Request) -> Answer:
    """``GET /events``: subscribed when the head goes out."""
    query, now = request.query, time.time_ns()
    since, until = parse_moment(query.text("since"), now), parse_moment(query.text("until"), now)
    if since and until and since > until:
        raise InvalidConfig("`since` time cannot be after `until` time")
    filters = parse_filters(query, KNOWN_FILTERS)
    return Streamed(_subscribed(context.runtime, since, until, filters))


@asynccontextmanager
async def _subscribed(
    runtime: Runtime, since: int, until: int, filters: Filters
) -> AsyncIterator[AsyncIterator[bytes]]:
    async with runtime.events(since=since, until=until) as happening:

        async def pieces() -> AsyncGenerator[bytes]:
            async for event in happening:
                if fits(event, filters):
                    yield json_bytes(document(event))

        async with aclosing(pieces()) as encoded:
            yield encoded


ROUTES: tuple[Route[Handler], ...] = (Route("GET", "/events", events),)
