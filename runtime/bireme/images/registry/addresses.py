"""Addresses that a registry makes up: taken apart and put together without believing that they make sense. Pure."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from bireme.images.registry.faults import RegistryError

_LONGEST_SHOWN = 300
_PORTS = {"https": 443, "http": 80}


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: whom a request goes to. Raises RegistryError for what is no address."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        raise nowhere(url) from None


def next_address(url: str, location: str) -> str:
    """Where ``Location`` or ``Link`` leads to from ``url``. Raises RegistryError unless that is http or https.

    Never from https to http.
    """
    try:
        target = urljoin(url, location)
    except ValueError:
        raise nowhere(location) from None
    scheme, host, _ = origin(target)
    if scheme not in _PORTS or not host:
        raise nowhere(target)
    if scheme == "http" and url.startswith("https:"):
        raise RegistryError(f"the registry leads from https to {target[:_LONGEST_SHOWN]!r}: refused")
    return target


def nowhere(url: str) -> RegistryError:
    """The error for an address that is none."""
    return RegistryError(f"the registry leads to {url[:_LONGEST_SHOWN]!r}, which is nowhere")
