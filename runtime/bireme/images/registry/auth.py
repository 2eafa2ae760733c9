"""Credentials as Docker's clients send them, and challenges as registries send them. Pure.

(RFC 9110, section 11; the distribution project's token specification.) A registry that wants to know who asks answers
401 and says by ``WWW-Authenticate`` what would satisfy it: ``Basic`` for name and password, ``Bearer`` for a token that
another service gives out.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bireme_actors import InvalidConfig

_LONGEST_HEADER = 1 << 15
_MOST_CHALLENGES = 16
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_SCHEME = re.compile(rf"[\s,]*({_TOKEN})(?:\s+|$|(?=,))")
_PARAMETER = re.compile(rf'[\s,]*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))')


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Who asks. Empty: nobody in particular."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    """Stands for name and password at the service that gives out tokens."""
    registry_token: str = field(default="", repr=False)
    """A token to be shown to the registry as it is."""

    def __bool__(self) -> bool:
        return bool(self.username or self.identity_token or self.registry_token)

    @property
    def basic(self) -> str:
        """For ``Authorization``; empty without a name."""
        if not self.username:
            return ""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to satisfy a registry; ``scheme`` and the names of parameters are in lower case."""

    scheme: str
    parameters: Mapping[str, str]


def read_auth_header(text: str) -> Credentials:
    """``X-Registry-Auth``: JSON in URL-safe base64. Raises InvalidConfig."""
    try:
        padded = text.strip() + "=" * (-len(text.strip()) % 4)
        fields = json.loads(base64.b64decode(padded.translate(str.maketrans("-_", "+/")), validate=True) or b"{}")
    except (binascii.Error, ValueError, RecursionError) as error:
        raise InvalidConfig(f"invalid X-Registry-Auth header: {error}") from None
    if not isinstance(fields, dict):
        raise InvalidConfig("invalid X-Registry-Auth header: it holds no object")
    return read_credentials(fields)


def read_credentials(fields: Mapping[str, object]) -> Credentials:
    """Of the fields of Docker's AuthConfig; ``auth`` is name and password in one."""
    texts = {key.lower(): value for key, value in fields.items() if isinstance(value, str)}
    username, password = texts.get("username", ""), texts.get("password", "")
    if not username and texts.get("auth"):
        username, password = split_auth(texts["auth"])
    token = texts.get("registrytoken", "")
    if not token.isascii() or (token and not token.isprintable()):
        raise InvalidConfig("invalid auth configuration: its registry token cannot be one")
    return Credentials(
        username=username,
        password=password,
        identity_token=texts.get("identitytoken", ""),
        registry_token=token,
    )


def split_auth(text: str) -> tuple[str, str]:
    """Name and password of an ``auth`` field. Raises InvalidConfig."""
    try:
        username, _, password = base64.b64decode(text, validate=True).decode().partition(":")
    except ValueError:
        raise InvalidConfig("invalid auth configuration: its field auth is not base64") from None
    return username, password.strip("\0")


def parse_challenges(values: Iterable[str]) -> list[Challenge]:
    """Of the values of ``WWW-Authenticate``; what makes no sense ends the reading of its value."""
    found: list[Challenge] = []
    for value in values:
        found += _challenges(value[:_LONGEST_HEADER])
    return found[:_MOST_CHALLENGES]


def _challenges(text: str) -> Iterable[Challenge]:
    at = 0
    while at < len(text):
        scheme = _SCHEME.match(text, at)
        if scheme is None:
            return
        at, parameters = scheme.end(), dict[str, str]()
        while parameter := _PARAMETER.match(text, at):
            quoted = parameter[2]
            value = parameter[3] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            parameters.setdefault(parameter[1].lower(), value)
            at = parameter.end()
        yield Challenge(scheme[1].lower(), parameters)


def choose_challenge(challenges: Iterable[Challenge]) -> Challenge | None:
    """A token goes before a password, as in Docker; None if none of them is known here."""
    known = {challenge.scheme: challenge for challenge in reversed(list(challenges))}
    return known.get("bearer") or known.get("basic")
