"""Names of images as users type them, and the stream of progress that pulls, loads and imports answer with."""

from __future__ import annotations

import sys

from bireme.cli._board import Board
from bireme.cli._client import decode_stream
from bireme.cli._errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TextIO

    from bireme.cli._session import Session

HUB_NAME = "docker.io"



def split_reference(reference: str) -> tuple[str, str]:
    """``busybox:1`` → ``busybox``, ``1``; the tag may be a digest, or empty."""
    name, at, digest = reference.partition("@")
    if at:
        return name, digest
    head, colon, tag = reference.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (reference, "")


def registry_of(reference: str) -> str:
    """The registry that an image's name leads to: ``docker.io`` unless the name says another."""
    first, slash, _ = reference.partition("/")
    if not slash or not (first == "localhost" or set(first) & set(".:") or first != first.lower()):
        return HUB_NAME
    return HUB_NAME if first == f"index.{HUB_NAME}" else first


def whole_name(reference: str) -> str:
    """``busybox:1`` → ``docker.io/library/busybox:1``."""
    registry = registry_of(reference)
    path = reference.partition("/")[2] if reference.partition("/")[0].endswith(registry) else reference
    return f"{registry}/library/{path}" if registry == HUB_NAME and "/" not in path else f"{registry}/{path}"


def credentials_header(session: Session, reference: str) -> tuple[tuple[str, str], ...]:
    """What the registry of an image is to be shown, for the engine to show it; nothing if nothing is known.

    Raises CliError if what is kept cannot be read.
    """
    from bireme.credentials import Accounts, CredentialsError, encode_header

    try:
        account = Accounts.of_user(session.environ).find(registry_of(reference))
    except CredentialsError as error:
        raise CliError(str(error)) from None
    return (("X-Registry-Auth", encode_header(account)),) if account else ()


def pull(
    session: Session,
    reference: str,
    *,
    quiet: bool,
    platform: str = "",
    every: bool = False,
    out: TextIO | None = None,
) -> None:
    """Ask the engine to fetch an image (``every``: all tags); its progress goes to standard error.

    Raises CliError with its reason.
    """
    name, tag = split_reference(reference)
    query = {"fromImage": name, "tag": None if every else tag or "latest", "platform": platform or None}
    headers = credentials_header(session, reference)
    response = session.client.open("POST", "/images/create", query, headers=headers)
    show_progress(response.lines(), quiet=quiet, out=out)


def show_progress(
    lines: Iterable[bytes], *, quiet: bool = False, out: TextIO | None = None, steps_only: bool = False
) -> list[dict[str, Any]]:
    """Show a progress stream (on standard error); its values come back.

    ``steps_only``: what is final is not shown, the caller has its own use for it. Raises CliError with an error that
    the stream carries.
    """
    values: list[dict[str, Any]] = []
    board = Board(out or sys.stderr)
    for value in decode_stream(lines):
        if not isinstance(value, dict):
            continue
        if value.get("error") or value.get("errorDetail"):
            board.end()
            detail = value.get("errorDetail") or {}
            raise CliError(f"Error response from daemon: {detail.get('message') or value.get('error')}")
        values.append(value)
        if not quiet and value.get("status") and (value.get("progressDetail") or not steps_only):
            board.show(value)
    board.end()
    return values
