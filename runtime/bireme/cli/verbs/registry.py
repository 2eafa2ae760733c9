"""Images from and to registries: ``pull``, ``push``."""

from __future__ import annotations

import sys

from bireme.cli._client import quote
from bireme.cli._command import Command
from bireme.cli._errors import CliError
from bireme.cli._flags import STRING, Flag
from bireme.cli._images import credentials_header, show_progress, split_reference, whole_name
from bireme.cli._images import pull as fetch
from bireme.cli._session import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bireme.cli._flags import Values
    from bireme.cli._session import Session

_EVERY_TAG = "tag can't be used with --all-tags/-a"
_UNTRUSTED = Flag("disable-content-trust", "", summary="Skip image verification (there is none)", default="true")


def pull(session: Session, options: Values, arguments: list[str]) -> int:
    reference, every, quiet = arguments[0], options.on("all-tags"), options.on("quiet")
    reference = _with_tag(reference, every=every, quiet=quiet)
    fetch(session, reference, quiet=quiet, platform=options.text("platform"), every=every, out=sys.stdout)
    say(whole_name(reference))
    return 0


def push(session: Session, options: Values, arguments: list[str]) -> int:
    reference, every, quiet = arguments[0], options.on("all-tags"), options.on("quiet")
    if "@" in reference:
        raise CliError("cannot push a digest reference")
    reference = _with_tag(reference, every=every, quiet=quiet)
    name, tag = split_reference(reference)
    headers = credentials_header(session, reference)
    response = session.client.open("POST", f"/images/{quote(name)}/push", {"tag": tag or None}, headers=headers)
    show_progress(response.lines(), quiet=quiet, out=sys.stdout)
    if quiet:
        say(whole_name(reference))
    return 0


def _with_tag(reference: str, *, every: bool, quiet: bool) -> str:
    name, tag = split_reference(reference)
    if every and tag:
        raise CliError(_EVERY_TAG)
    if every or tag:
        return reference
    if not quiet:
        say("Using default tag: latest")
    return f"{name}:latest"


COMMANDS = {
    "pull": Command(
        "pull",
        "pull [OPTIONS] NAME[:TAG|@DIGEST]",
        "Download an image from a registry",
        pull,
        flags=(
            Flag("all-tags", "a", summary="Download all tagged images in the repository"),
            _UNTRUSTED,
            Flag("platform", "", STRING, "Platform of the image, os/arch[/variant]"),
            Flag("quiet", "q", summary="Suppress verbose output"),
        ),
        least=1,
        most=1,
    ),
    "push": Command(
        "push",
        "push [OPTIONS] NAME[:TAG]",
        "Upload an image to a registry",
        push,
        flags=(
            Flag("all-tags", "a", summary="Push all tags of an image to the repository"),
            _UNTRUSTED,
            Flag("quiet", "q", summary="Suppress verbose output"),
        ),
        least=1,
        most=1,
    ),
}
