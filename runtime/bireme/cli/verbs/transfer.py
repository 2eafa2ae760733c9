"""Images in and out as archives: ``import``, ``load``, ``save``."""

from __future__ import annotations

import sys

from bireme.cli._client import quote
from bireme.cli._command import Command
from bireme.cli._errors import CliError
from bireme.cli._flags import LIST, STRING, Flag
from bireme.cli._images import show_progress, split_reference
from bireme.cli._session import say
from bireme.cli._transfer import check_output, deliver, source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bireme.cli._flags import Values
    from bireme.cli._session import Session

_SCHEMES = ("http://", "https://", "ftp://")


def import_(session: Session, options: Values, arguments: list[str]) -> int:
    path, reference = arguments[0], arguments[1] if len(arguments) > 1 else ""
    if path.startswith(_SCHEMES):
        raise CliError(
            f"cannot import {path}: the engine fetches nothing from the network; "
            f"say curl -L {path} | bireme import - {reference or 'NAME'}"
        )
    name, tag = split_reference(reference)
    query = {
        "changes": options.many("change"),
        "fromSrc": "-",
        "message": options.text("message") or None,
        "repo": name or None,
        "tag": tag or None,
    }
    with source(path, empty="requested import from stdin, but stdin is empty") as pieces:
        response = session.client.open("POST", "/images/create", query, upload=pieces)
        values = show_progress(response.lines(), steps_only=True)
    for value in values:
        if value.get("status") and not value.get("progressDetail"):
            say(str(value["status"]))
    return 0


def load(session: Session, options: Values, arguments: list[str]) -> int:
    path, quiet = options.text("input") or "-", options.on("quiet")
    with source(path, empty="requested load from stdin, but stdin is empty", quiet=quiet) as pieces:
        response = session.client.open("POST", "/images/load", {"quiet": quiet or None}, upload=pieces)
        values = show_progress(response.lines(), quiet=quiet)
    for value in values:
        sys.stdout.write(str(value.get("stream") or ""))
    return 0


def save(session: Session, options: Values, arguments: list[str]) -> int:
    path = options.text("output")
    check_output(path, "failed to save image")
    if len(arguments) == 1:
        response = session.client.open("GET", f"/images/{quote(arguments[0])}/get")
    else:
        response = session.client.open("GET", "/images/get", {"names": arguments})
    deliver(response, path)
    return 0


COMMANDS = {
    "import": Command(
        "import",
        "import [OPTIONS] file|- [REPOSITORY[:TAG]]",
        "Import the contents from a tarball to create a filesystem image",
        import_,
        flags=(
            Flag("change", "c", LIST, "Apply Dockerfile instruction to the created image"),
            Flag("message", "m", STRING, "Set commit message for imported image"),
        ),
        least=1,
        most=2,
    ),
    "load": Command(
        "load",
        "load [OPTIONS]",
        "Load an image from a tar archive or STDIN",
        load,
        flags=(
            Flag("input", "i", STRING, "Read from tar archive file, instead of STDIN"),
            Flag("quiet", "q", summary="Suppress the load output"),
        ),
        most=0,
    ),
    "save": Command(
        "save",
        "save [OPTIONS] IMAGE [IMAGE...]",
        "Save one or more images to a tar archive (streamed to STDOUT by default)",
        save,
        flags=(Flag("output", "o", STRING, "Write to a file, instead of STDOUT"),),
        least=1,
    ),
}
