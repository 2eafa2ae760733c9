"""Which network a container is to be on, and what may be asked for there. Pure.

There are two: ``none``, with nothing but loopback, and the host's own. Neither has an address, a name or a link to
give, so who asks for one is refused, as Docker refuses it of these networks, but when the container is created and not
when it starts.
"""

from __future__ import annotations

import ipaddress
import re

from bireme.server.models import CreateBody, Endpoint
from bireme_actors import InvalidConfig, Unsupported

_NETWORKS = {"": "none", "default": "none", "bridge": "none", "none": "none", "host": "host"}
"""What ``NetworkMode`` can say, and what it means here: Docker's default has no network to offer."""

_MAC = re.compile(r"[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}", re.IGNORECASE)
_HERE = "there are only none (loopback only) and host"
NO_LINKS = "links are not supported: there is no network between containers"


def network(body: CreateBody) -> str:
    """``none`` or ``host``. Raises InvalidConfig, Unsupported."""
    mode, endpoints = body.host_config.network_mode, body.networking_config.endpoints_config
    chosen = _known(mode)
    if len(endpoints) > 1:
        raise InvalidConfig(f"Container cannot be connected to network endpoints: {', '.join(sorted(endpoints))}")
    for name, endpoint in endpoints.items():
        if _known(name) != chosen:
            raise InvalidConfig(f"conflicting networks: NetworkMode is '{mode or 'default'}', the endpoint '{name}'")
        _check_endpoint(endpoint)
    _check_hardware(body, chosen)
    return "none" if body.network_disabled else chosen


def network_warnings(body: CreateBody) -> list[str]:
    """What was asked for and will not be there, of a container that was created all the same."""
    found = []
    if any(_hardware_addresses(body)):
        found.append("The MAC address is ignored: there is no network besides loopback, or the host's own")
    if any(endpoint.driver_opts for endpoint in body.networking_config.endpoints_config.values()):
        found.append("Driver options of a network are ignored")
    alone = _NETWORKS.get(body.host_config.network_mode) == "none"
    if alone and any(entry.endswith(":host-gateway") for entry in body.host_config.extra_hosts):
        found.append("host-gateway is left out of /etc/hosts: without a network the host cannot be reached")
    return found


def _known(name: str) -> str:
    if name.startswith("container:"):
        raise Unsupported(f"invalid network mode '{name}': a container cannot share another one's network")
    if name not in _NETWORKS:
        raise InvalidConfig(f"network {name} not found: {_HERE}")
    return _NETWORKS[name]


def _check_endpoint(endpoint: Endpoint) -> None:
    addresses = endpoint.ipam_config
    _check_address(addresses.ipv4_address, ipaddress.IPv4Address, "IPv4")
    _check_address(addresses.ipv6_address, ipaddress.IPv6Address, "IPv6")
    if addresses.ipv4_address or addresses.ipv6_address or addresses.link_local_ips:
        raise Unsupported(f"user specified IP address is supported on user defined networks only: {_HERE}")
    if endpoint.aliases:
        raise Unsupported(
            f"network-scoped alias is supported only for containers in user defined networks: {_HERE}"
        )
    if endpoint.links:
        raise Unsupported(NO_LINKS)


def _check_address(text: str, kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address], name: str) -> None:
    if not text:
        return
    try:
        kind(text)
    except ValueError:
        raise InvalidConfig(f"invalid {name} address: {text}") from None


def _check_hardware(body: CreateBody, chosen: str) -> None:
    for text in filter(None, _hardware_addresses(body)):
        if chosen == "host":
            raise InvalidConfig("conflicting options: mac-address and the network mode")
        if not _MAC.fullmatch(text):
            raise InvalidConfig(f"invalid MAC address: {text}: write it as 92:d0:c6:0a:29:33")


def _hardware_addresses(body: CreateBody) -> list[str]:
    endpoints = body.networking_config.endpoints_config.values()
    return [body.mac_address, *(endpoint.mac_address for endpoint in endpoints)]
