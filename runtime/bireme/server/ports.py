"""Ports that a container exposes or would publish: none is reachable, but nonsense is refused. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from bireme_actors import InvalidConfig

_PORT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(\w+))?")
_PROTOCOLS = (None, "tcp", "udp", "sctp")
_HIGHEST = 65535


def check_ports(exposed: Iterable[str], bindings: Mapping[str, Any]) -> None:
    """Raises InvalidConfig for what is no port (``80``, ``80/udp``, ``80-90/tcp``)."""
    for text in (*exposed, *bindings):
        _check(text, lowest=1)
    for text, hosts in bindings.items():
        for host in hosts if isinstance(hosts, list) else []:
            wanted = host.get("HostPort", "") if isinstance(host, Mapping) else ""
            if wanted not in ("", None):
                _check(str(wanted), lowest=0, what=f"host port of {text}")


def _check(text: str, *, lowest: int, what: str = "port specification") -> None:
    found = _PORT.fullmatch(text)
    if found is None or found[3] not in _PROTOCOLS:
        raise InvalidConfig(f'invalid {what}: "{text}": write a number, perhaps with /tcp, /udp or /sctp')
    first, last = int(found[1]), int(found[2] or found[1])
    if not lowest <= first <= last <= _HIGHEST:
        raise InvalidConfig(f'invalid {what}: "{text}": ports are numbers from {lowest} to {_HIGHEST}')
