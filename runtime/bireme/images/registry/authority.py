"""What goes into ``Authorization``: learnt from a registry's challenge, fetched from its token service, kept.

A credential is shown to the registry that asked for it and to the token service that it names, the latter by https
only (unless the registry itself is one that needs none). Tokens expire; one that is refused is fetched anew, once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlencode

import msgspec
import trio

from bireme.images.registry.addresses import origin
from bireme.images.registry.auth import Challenge, Credentials, choose_challenge
from bireme.images.registry.faults import NoCredentials, RegistryError, refusal

CLIENT = "bireme"


class _Token(msgspec.Struct):
    token: str = ""
    access_token: str = ""
    refresh_token: str = ""


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What to ask the token service; ``form`` is the body of a POST, empty for a GET."""

    url: str
    authorization: str = ""
    form: str = ""


FetchToken = Callable[[TokenRequest], Awaitable[tuple[int, bytes]]]
"""Asks a token service; status and bounded body."""


class Authority:
    """Answers the challenges of one registry. ``insecure``: credentials may go by http, as everything does."""

    def __init__(self, credentials: Credentials, fetch: FetchToken, *, insecure: bool) -> None:
        self._credentials = credentials
        self._fetch = fetch
        self._insecure = insecure
        self._challenge: Challenge | None = None
        self._tokens: dict[tuple[str, ...], str] = {}
        self._lock = trio.Lock()
        self.refresh_token = ""
        """What a token service gave to stand for the password, if it was asked to (``offline``)."""

    def learn(self, challenges: Sequence[Challenge]) -> None:
        """Take note of what the registry asks for."""
        self._challenge = choose_challenge(challenges) or self._challenge

    @property
    def challenged(self) -> bool:
        """Whether the registry has asked for anything that is known here."""
        return self._challenge is not None

    async def header(self, scopes: tuple[str, ...], *, refused: str = "", offline: bool = False) -> str:
        """The header's value for these scopes; empty where none is needed. ``refused``: what the registry did not take.

        Raises RegistryError, Unauthorized. Cancelled: nothing has changed.
        """
        if self._challenge is None:
            return ""
        if self._challenge.scheme == "basic":
            return self._basic()
        if self._credentials.registry_token:
            return f"Bearer {self._credentials.registry_token}"
        async with self._lock:
            known = self._tokens.get(scopes)
            if known is None or f"Bearer {known}" == refused:
                known = self._tokens[scopes] = await self._new_token(self._challenge, scopes, offline)
        return f"Bearer {known}"

    def _basic(self) -> str:
        if not self._credentials.basic:
            raise NoCredentials("no basic auth credentials")
        return self._credentials.basic

    async def _new_token(self, challenge: Challenge, scopes: tuple[str, ...], offline: bool) -> str:
        request = token_request(challenge, self._credentials, scopes, offline=offline)
        if self._credentials and not self._insecure and not request.url.startswith("https:"):
            raise RegistryError(f"the registry wants credentials sent to {request.url[:200]} without https: refused")
        status, body = await self._fetch(request)
        if status != HTTPStatus.OK:
            raise refusal(status, body)
        try:
            answer = msgspec.json.decode(body, type=_Token)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise RegistryError("the token service's answer is no JSON with a token") from None
        token = answer.token or answer.access_token
        if not token or not token.isascii() or not token.isprintable():
            raise RegistryError("authorization server did not include a token in the response")
        self.refresh_token = answer.refresh_token or self.refresh_token
        return token


def token_request(
    challenge: Challenge, credentials: Credentials, scopes: Sequence[str], *, offline: bool = False
) -> TokenRequest:
    """What to ask whom for a token. Raises RegistryError if the challenge names no service to ask. Pure."""
    realm = challenge.parameters.get("realm", "")
    if not realm.isascii() or origin(realm)[0] not in ("http", "https") or not origin(realm)[1]:
        raise RegistryError(f"the registry names no token service that can be asked: {realm[:200]!r}")
    service = challenge.parameters.get("service", "")
    fields = [("service", service)] if service else []
    if credentials.identity_token:
        fields = [
            ("grant_type", "refresh_token"), ("client_id", CLIENT), ("refresh_token", credentials.identity_token),
            *fields, ("scope", " ".join(scopes)),
        ]  # fmt: skip
        return TokenRequest(realm, form=urlencode(fields))
    fields += [("scope", scope) for scope in scopes]
    if offline:
        fields += [("offline_token", "true"), ("client_id", CLIENT)]
    if credentials.username:
        fields.append(("account", credentials.username))
    return TokenRequest(f"{realm}{'&' if '?' in realm else '?'}{urlencode(fields)}", credentials.basic)
