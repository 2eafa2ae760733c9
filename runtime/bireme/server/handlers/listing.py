"""Containers on a list: which of them, and what is told of each. Pure, but for what it is handed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from bireme.engine import network_id, shown_health, shown_status, tmpfs_json
from bireme.server.filters import Filters, searches
from bireme.server.times import SECOND, span
from bireme_actors import BiremeError, ContainerState, ContainerView, InvalidConfig, Mount, Status

if TYPE_CHECKING:
    from bireme.engine import Container, Runtime

KNOWN_FILTERS = (
    "ancestor", "before", "expose", "exited", "health", "id", "is-task", "isolation", "label", "name", "network",
    "publish", "since", "status", "volume",
)  # fmt: skip
_STATES = frozenset({"created", "restarting", "running", "removing", "paused", "exited", "dead"})


def status_text(state: ContainerState, now: int, health: str = "") -> str:
    """``Up 3 seconds (Paused)``: Docker's words for where a container stands."""
    if state.running:
        more = " (Paused)" if state.status is Status.PAUSED else health
        return f"Up {span((now - state.started) / SECOND)}{more}"
    ago = span((now - state.finished) / SECOND)
    match state.status:
        case Status.RESTARTING:
            return f"Restarting ({state.exit_code}) {ago} ago"
        case Status.REMOVING | Status.REMOVED:
            return "Removal In Progress"
        case Status.DEAD:
            return "Dead"
    return f"Exited ({state.exit_code}) {ago} ago" if state.finished else "Created"


def command_text(args: tuple[str, ...]) -> str:
    """The command on one line, words with spaces in quotes."""
    return " ".join([args[0], *(f"'{word}'" if " " in word else word for word in args[1:])]) if args else ""


def summary(container: Container, runtime: Runtime, now: int) -> dict[str, Any]:
    """One entry of ``ContainerList``."""
    config, state = container.view.config, container.view.state
    return {
        "Id": config.id,
        "Names": [f"/{config.name}"],
        "Image": _image_name(runtime, config.image, config.image_id),
        "ImageID": config.image_id,
        "Command": command_text(config.args),
        "Created": config.created // SECOND,
        "Ports": [],
        "Labels": dict(config.labels),
        "State": shown_status(state.status),
        "Status": status_text(state, now, shown_health(container.health)),
        "HostConfig": {"NetworkMode": config.network},
        "NetworkSettings": {"Networks": {config.network: _endpoint(config.network)}},
        "Mounts": [
            *(_mount(mount, str(container.volumes[mount.destination])) for mount in config.mounts),
            *tmpfs_json(config),
        ],
    }


def _image_name(runtime: Runtime, name: str, identifier: str) -> str:
    """What the user called it, unless that name is another image's by now."""
    try:
        return name if runtime.images.get(name).id == identifier else identifier
    except BiremeError:
        return identifier


def _endpoint(network: str) -> dict[str, Any]:
    texts = dict.fromkeys(("EndpointID", "Gateway", "IPAddress", "IPv6Gateway", "GlobalIPv6Address", "MacAddress"), "")
    return {
        "IPAMConfig": None,
        "Links": None,
        "Aliases": None,
        "NetworkID": network_id(network),
        "IPPrefixLen": 0,
        "GlobalIPv6PrefixLen": 0,
        "DriverOpts": None,
        **texts,
    }


def _mount(mount: Mount, source: str) -> dict[str, Any]:
    return {
        "Type": "volume",
        "Name": mount.volume,
        "Source": source,
        "Destination": mount.destination,
        "Driver": "local",
        "Mode": "",
        "RW": not mount.read_only,
        "Propagation": "",
    }


def select(runtime: Runtime, filters: Filters, *, everything: bool, limit: int) -> list[Container]:
    """The containers that fit, the newest first. Raises InvalidConfig, NotFound for a filter that makes no sense."""
    everything = everything or "status" in filters or limit > 0
    _check(filters)
    in_time, of_image = _by_time(runtime, filters), _by_ancestor(runtime, filters)
    found = [
        container
        for container in runtime.list()
        if in_time(container.view)
        and of_image(container.view)
        and _fits(container.view, filters)
        and filters.fits("health", partial(_is_healthy, container))
    ]
    if not everything:
        found = [container for container in found if container.view.state.running]
    return found[:limit] if limit > 0 else found


def _check(filters: Filters) -> None:
    for value in filters.get("status"):
        if value not in _STATES:
            raise InvalidConfig(f"invalid filter 'status={value}'")
    for value in filters.get("exited"):
        if not value.removeprefix("-").isdecimal():
            raise InvalidConfig(f"invalid filter 'exited={value}': it must be a number")


def _fits(view: ContainerView, filters: Filters) -> bool:
    config, state = view.config, view.state
    mounted = {place for mount in config.mounts for place in (mount.volume, mount.destination)}
    mounted.update(tmpfs.destination for tmpfs in config.tmpfs if tmpfs.listed)
    return (
        filters.fits("id", lambda value: config.id.startswith(value))
        and filters.fits("name", lambda value: any(searches(value, name) for name in (config.name, f"/{config.name}")))
        and filters.fits("status", lambda value: value == shown_status(state.status))
        and filters.fits("exited", lambda value: bool(state.finished) and int(value) == state.exit_code)
        and filters.fits("volume", lambda value: value in mounted)
        and filters.fits("network", lambda value: value in (config.network, network_id(config.network)))
        and filters.fits("is-task", lambda value: value.lower() in ("0", "false"))
        and filters.fits("isolation", lambda value: value in ("", "default"))
        and not filters.get("publish")
        and not filters.get("expose")
        and filters.labels_fit(config.labels)
    )


def _is_healthy(container: Container, wanted: str) -> bool:
    return wanted == ("none" if container.health is None else container.health.status)


def _by_time(runtime: Runtime, filters: Filters) -> Callable[[ContainerView], bool]:
    before = [runtime.get(ref).view.config.created for ref in filters.get("before")]
    since = [runtime.get(ref).view.config.created for ref in filters.get("since")]

    def test(view: ContainerView) -> bool:
        created = view.config.created
        return all(created < moment for moment in before) and all(created > moment for moment in since)

    return test


def _by_ancestor(runtime: Runtime, filters: Filters) -> Callable[[ContainerView], bool]:
    """By image: the one named, and those made of all of its layers."""
    images = runtime.images
    wanted: list[tuple[str, tuple[str, ...]]] = []
    for ref in filters.get("ancestor"):
        with suppress(BiremeError):
            image = images.get(ref)
            wanted.append((image.id, image.layers))

    def test(view: ContainerView) -> bool:
        return any(view.config.image_id == found or _is_above(runtime, view, layers) for found, layers in wanted)

    return test if "ancestor" in filters else lambda view: True


def _is_above(runtime: Runtime, view: ContainerView, layers: tuple[str, ...]) -> bool:
    try:
        own = runtime.images.get(view.config.image_id).layers
    except BiremeError:
        return False
    return bool(layers) and own[: len(layers)] == layers
