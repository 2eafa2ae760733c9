"""How a registry is reached: by https, and by what else where Docker's rule or the configuration lets it. Pure.

Docker's rule: a registry on a loopback address, or one that is named as insecure, is asked by https without looking at
its certificate, and by http if it does not speak https. Every other one by https, its certificate known to the system
or to ``/etc/docker/certs.d/HOST``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bireme.images.references import DEFAULT_DOMAIN
from bireme_actors import InvalidConfig

CERTIFICATES = "/etc/docker/certs.d"
INDEX = "https://index.docker.io/v1/"
"""What Docker's clients call its own registry."""
_HUB = "registry-1.docker.io"
_LOOPBACK = ("127.0.0.0/8", "::1/128")


@dataclass(frozen=True, slots=True)
class Registries:
    """What is configured: hosts (``host``, ``host:port`` or a network) that need no https, and where certificates are.

    Raises InvalidConfig for what can be neither.
    """

    insecure: tuple[str, ...] = ()
    certificates: str = CERTIFICATES

    def __post_init__(self) -> None:
        for text in self.insecure:
            if "://" in text or not text.strip() or text != text.strip():
                raise InvalidConfig(f"invalid insecure registry {text!r}: give HOST, HOST:PORT or a network")


    def document(self) -> dict[str, object]:
        """``RegistryConfig`` of the Engine API's ``SystemInfo``."""
        networks = [text for text in self.insecure if "/" in text]
        hosts = [text for text in self.insecure if "/" not in text]
        hub = {"Name": DEFAULT_DOMAIN, "Mirrors": [], "Secure": True, "Official": True}
        others = {name: {"Name": name, "Mirrors": [], "Secure": False, "Official": False} for name in hosts}
        return {
            "IndexConfigs": {DEFAULT_DOMAIN: hub, **others},
            "InsecureRegistryCIDRs": [*reversed(_LOOPBACK), *networks],
            "Mirrors": [],
        }


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One way to ask a registry."""

    url: str
    """Without a slash at the end."""
    verify: bool
    """Whether its certificate has to be good."""
    host: str
    """Host and port as written: the name of its directory of certificates."""


def endpoints(domain: str, registries: Registries) -> list[Endpoint]:
    """The ways to a registry, in the order to try them."""
    host = _HUB if domain == DEFAULT_DOMAIN else domain
    if not is_insecure(host, registries.insecure):
        return [Endpoint(f"https://{host}", True, host)]
    return [Endpoint(f"https://{host}", False, host), Endpoint(f"http://{host}", False, host)]


def is_insecure(host: str, configured: Iterable[str]) -> bool:
    """Whether https is not insisted on."""
    name, address = _bare(host), _address(host)
    if name == "localhost" or (address and any(address in network for network in _networks(_LOOPBACK))):
        return True
    named = list(configured)
    if host in named or name in named:
        return True
    return address is not None and any(address in network for network in _networks(named))


def is_loopback(host: str) -> bool:
    """Whether a host and port are of this machine: no proxy is asked for it."""
    return is_insecure(host, ())


def _networks(texts: Iterable[str]) -> Iterator[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    for text in texts:
        if "/" in text:
            try:
                yield ipaddress.ip_network(text, strict=False)
            except ValueError:
                continue


def _bare(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(_bare(host))
    except ValueError:
        return None
