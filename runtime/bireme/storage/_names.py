"""``/etc/hosts`` and ``/etc/resolv.conf`` of a container: what there is, and what the user adds or puts in its place.

Pure. The user's words are those of Docker's ``HostConfig``: ``ExtraHosts`` (``name:address``), ``Dns``, ``DnsSearch``
(``.`` for no domain at all) and ``DnsOptions``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence

from bireme_actors import InvalidConfig

LOOPBACK_HOSTS = b"""\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""

_GATEWAY = "host-gateway"
"""In place of an address: the host's."""

_WORD = re.compile(r"[!-~]+")
_DOMAIN = re.compile(r"\.|(?!-)[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?")


def check_names(extra: Mapping[str, object]) -> None:
    """Raises InvalidConfig, in Docker's words, for what can be no name or address."""
    for entry in _given(extra, "ExtraHosts"):
        _extra_host(entry)
    for text in _given(extra, "Dns"):
        if not _is_address(text):
            raise InvalidConfig(f"{text} is not an ip address: give that of a name server")
    for text in _given(extra, "DnsSearch"):
        if not _DOMAIN.fullmatch(text):
            raise InvalidConfig(f"{text} is not a valid domain")
    for text in _given(extra, "DnsOptions"):
        if not _WORD.fullmatch(text):
            raise InvalidConfig(f"{text!r} is not a valid DNS option")


def hosts(host: bytes | None, extra: Mapping[str, object]) -> bytes:
    """The file's content; ``host``: the host's own, with whose network the container shares its loopback too."""
    base = LOOPBACK_HOSTS if host is None else host
    found = [_extra_host(entry) for entry in _given(extra, "ExtraHosts")]
    here = "" if host is None else "127.0.0.1"
    named = [(name, here if address == _GATEWAY else address) for name, address in found]
    lines = "".join(f"{address}\t{name}\n" for name, address in named if address)
    return _ended(base) + lines.encode() if lines else base


def resolv_conf(base: bytes, extra: Mapping[str, object]) -> bytes:
    """The file's content: ``base``, or of each kind of line what the user gives, and where he gives none that of
    ``base``.
    """
    servers, search, options = (_given(extra, name) for name in ("Dns", "DnsSearch", "DnsOptions"))
    if not (servers or search or options):
        return base
    lines = [
        *([b"search " + b" ".join(_encoded(search))] if search and search != ["."] else []),
        *([] if search else _lines(base, b"search", b"domain")),
        *([b"nameserver " + server for server in _encoded(servers)] or _lines(base, b"nameserver")),
        *([b"options " + b" ".join(_encoded(options))] if options else _lines(base, b"options")),
    ]
    return b"".join(line + b"\n" for line in lines)


def _lines(text: bytes, *kinds: bytes) -> list[bytes]:
    return [line for line in text.splitlines() if line.split()[:1] in ([kind] for kind in kinds)]


def _encoded(texts: Sequence[str]) -> list[bytes]:
    return [text.encode() for text in texts]


def _extra_host(entry: str) -> tuple[str, str]:
    name, colon, address = entry.partition(":")
    if not colon or not _WORD.fullmatch(name):
        raise InvalidConfig(f'bad format for add-host: "{entry}": write it as name:address')
    plain = address[1:-1] if address[:1] == "[" and address[-1:] == "]" else address
    if plain != _GATEWAY and not _is_address(plain):
        raise InvalidConfig(f'invalid IP address in add-host: "{address}"')
    return name, plain


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _given(extra: Mapping[str, object], name: str) -> Sequence[str]:
    host = extra.get("HostConfig")
    given = host.get(name) if isinstance(host, Mapping) else None
    return [str(item) for item in given if item != ""] if isinstance(given, list | tuple) else []


def _ended(text: bytes) -> bytes:
    return text if not text or text.endswith(b"\n") else text + b"\n"
