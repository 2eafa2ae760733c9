"""The two networks there are, for clients that look at them: ``none`` (loopback only) and ``host``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bireme.engine import network_id
from bireme.server.context import Context, Handler
from bireme.server.errors import Refusal, out_of_scope
from bireme.server.filters import Filters, parse_filters
from bireme.server.messages import Answer, Request, as_json
from bireme.server.routing import Route
from bireme.server.times import rfc3339
from bireme_actors import NotFound

if TYPE_CHECKING:
    from bireme.engine import Runtime

_DRIVERS = {"none": "null", "host": "host"}
_KNOWN_FILTERS = ("dangling", "driver", "id", "label", "name", "scope", "type")


def document(name: str) -> dict[str, Any]:
    """One network as Docker has it."""
    return {
        "Name": name,
        "Id": network_id(name),
        "Created": rfc3339(0),
        "Scope": "local",
        "Driver": _DRIVERS[name],
        "EnableIPv4": True,
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": None, "Config": []},
        "Internal": False,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {},
        "Options": {},
        "Labels": {},
    }


def _members(runtime: Runtime, name: str) -> dict[str, Any]:
    return {
        container.id: {"Name": container.name, "EndpointID": "", "MacAddress": "", "IPv4Address": "", "IPv6Address": ""}
        for container in runtime.list(all=False)
        if container.view.config.network == name
    }


def _fits(name: str, filters: Filters) -> bool:
    return (
        filters.fits("name", lambda value: value in name)
        and filters.fits("id", lambda value: network_id(name).startswith(value))
        and filters.fits("driver", lambda value: value == _DRIVERS[name])
        and filters.fits("scope", lambda value: value == "local")
        and filters.fits("type", lambda value: value == "builtin")
        and not filters.flag("dangling", False)
        and filters.labels_fit({})
    )


async def list_networks(context: Context, request: Request) -> Answer:
    """``GET /networks``."""
    filters = parse_filters(request.query, _KNOWN_FILTERS)
    return as_json([document(name) for name in _DRIVERS if _fits(name, filters)])


def _named(ref: str) -> str:
    for name in _DRIVERS:
        if ref == name or (len(ref) >= 4 and network_id(name).startswith(ref)):
            return name
    raise NotFound(f"network {ref} not found: there are none (loopback only) and host")


async def inspect(context: Context, request: Request) -> Answer:
    """``GET /networks/{id}``."""
    name = _named(request["id"])
    return as_json({**document(name), "Containers": _members(context.runtime, name)})


async def remove(context: Context, request: Request) -> Answer:
    """``DELETE /networks/{id}``."""
    name = _named(request["id"])
    raise Refusal(403, f"{name} is a pre-defined network and cannot be removed")


async def prune(context: Context, request: Request) -> Answer:
    """``POST /networks/prune``: there is nothing that could go."""
    parse_filters(request.query, ("label", "label!", "until"))
    return as_json({"NetworksDeleted": None})


async def refuse(context: Context, request: Request) -> Answer:
    """Making networks, and joining them."""
    raise out_of_scope("Networks other than none and host are")


ROUTES: tuple[Route[Handler], ...] = (
    Route("GET", "/networks", list_networks),
    Route("GET", "/networks/{id}", inspect),
    Route("DELETE", "/networks/{id}", remove),
    Route("POST", "/networks/prune", prune),
    Route("POST", "/networks/create", refuse),
    Route("POST", "/networks/{id}/connect", refuse),
    Route("POST", "/networks/{id}/disconnect", refuse),
)
