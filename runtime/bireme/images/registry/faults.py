"""What a registry's refusals mean here, in Docker's words. Pure.

A refusal is a status and, from a registry that follows the specification, a list of codes with messages; of several the
first counts, as in Docker.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

import msgspec

from bireme.images.references import Reference
from bireme.images.registry.auth import Challenge
from bireme_actors import BiremeError, ImageNotFound

_LONGEST_TEXT = 500
_DENIED = "requested access to the resource is denied"
_TOKEN_FAULTS = {
    "insufficient_scope": ("DENIED", _DENIED),
    "invalid_token": ("UNAUTHORIZED", "authentication required"),
}
"""What a challenge may say of a token (RFC 6750, section 3.1) → code and words."""


class RegistryError(BiremeError):
    """A registry refused, could not be reached, or sent what nobody should believe; the text says which."""


class Unauthorized(RegistryError):
    """A registry wants other credentials, or any at all; logging in is the way out."""


class NoCredentials(Unauthorized):
    """A registry wants a name and a password, and there are none to show."""


class _Entry(msgspec.Struct):
    code: str | int = ""
    message: str | None = None


class _Body(msgspec.Struct):
    errors: list[_Entry] = []
    details: str | None = None
    message: str | None = None


def read_refusal(status: int, body: bytes, challenges: Sequence[Challenge] = ()) -> tuple[str, str]:
    """A registry's code (empty where it gives none) and its words, as Docker shows them.

    What a challenge says of the token that was shown goes before the body.
    """
    for challenge in challenges:
        fault = challenge.parameters.get("error", "")
        if challenge.scheme == "bearer" and fault in _TOKEN_FAULTS:
            code, words = _TOKEN_FAULTS[fault]
            return code, f"{code.lower()}: {_printable(challenge.parameters.get('error_description') or words)}"
    try:
        document = msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        document = _Body()
    if document.errors:
        entry = document.errors[0]
        code = str(entry.code).upper()
        words = code.replace("_", " ").lower()
        return code, _printable(f"{words}: {entry.message}" if entry.message else words)
    return "", _printable(_unexplained(status, document))


def _unexplained(status: int, document: _Body) -> str:
    if document.details or document.message:
        return f"{_phrase(status)}: {document.details or document.message}"
    if status == HTTPStatus.UNAUTHORIZED:
        return "unauthorized: authentication required"
    return f"received unexpected HTTP status: {status} {_phrase(status)}"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "unknown"


def _printable(text: str) -> str:
    """A stranger's words on one line of bounded length."""
    return "".join(char if char.isprintable() else " " for char in text)[:_LONGEST_TEXT]


def refusal(status: int, body: bytes, challenges: Sequence[Challenge] = ()) -> RegistryError:
    """The error for a refusal that means nothing in particular."""
    _, words = read_refusal(status, body, challenges)
    return Unauthorized(words) if status == HTTPStatus.UNAUTHORIZED else RegistryError(words)


def pull_refusal(
    reference: Reference, status: int, body: bytes, challenges: Sequence[Challenge] = ()
) -> BiremeError:
    """The error for a manifest that was not given out."""
    code, words = read_refusal(status, body, challenges)
    if code == "DENIED":
        hint = "repository does not exist or may require 'docker login'"
        return ImageNotFound(f"pull access denied for {reference.familiar_name}, {hint}: {words}")
    if code == "MANIFEST_UNKNOWN" or (status == HTTPStatus.NOT_FOUND and not code):
        reason = words if code else "manifest unknown: manifest unknown"
        return ImageNotFound(f"manifest for {reference.familiar} not found: {reason}")
    if code == "NAME_UNKNOWN":
        return ImageNotFound(f"repository {reference.familiar_name} not found: {words}")
    return refusal(status, body, challenges)
