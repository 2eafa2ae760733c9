"""Images by name: ``images`` lists them, ``history`` tells how one was made, ``tag`` names one, ``rmi`` removes."""

from __future__ import annotations

import sys
import time

from bireme.cli._client import quote
from bireme.cli._command import Command
from bireme.cli._common_flags import filter_flag, list_format_flag, parse_filters
from bireme.cli._errors import ApiError, CliError
from bireme.cli._flags import Flag
from bireme.cli._images import split_reference
from bireme.cli._render.images import (
    DIGEST_TABLE,
    EXACT_HISTORY_TABLE,
    HISTORY_TABLE,
    HISTORY_TITLES,
    TABLE,
    TITLES,
    history_row,
    image_rows,
)
from bireme.cli._render.listing import render
from bireme.cli._session import say, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bireme.cli._client import Client
    from bireme.cli._flags import Values
    from bireme.cli._session import Session


def images(session: Session, options: Values, arguments: list[str]) -> int:
    form, digests = options.text("format"), options.on("digests")
    filters = parse_filters(options.many("filter"))
    if arguments:
        filters.setdefault("reference", {})[arguments[0]] = True
    query = {"all": options.on("all"), "digests": digests or ".Digest" in form, "filters": filters or None}
    items = session.client.json("GET", "/images/json", query) or []
    now, whole = time.time(), options.on("no-trunc")
    rows = [row for item in items for row in image_rows(item, now=now, whole=whole)]
    if options.on("quiet"):
        for row in rows:
            say(row["ID"])
        return 0
    sys.stdout.write(render(form, DIGEST_TABLE if digests else TABLE, TITLES, rows))
    return 0


def history(session: Session, options: Values, arguments: list[str]) -> int:
    items = session.client.json("GET", f"/images/{quote(arguments[0])}/history") or []
    now, whole, human = time.time(), options.on("no-trunc"), options.on("human")
    rows = [history_row(item, now=now, whole=whole, human=human) for item in items]
    if options.on("quiet"):
        for row in rows:
            say(row["ID"])
        return 0
    table = HISTORY_TABLE if human else EXACT_HISTORY_TABLE
    sys.stdout.write(render(options.text("format"), table, HISTORY_TITLES, rows))
    return 0


def tag(session: Session, options: Values, arguments: list[str]) -> int:
    source, target = arguments
    if "@" in target:
        raise CliError("refusing to create a tag with a digest reference")
    name, label = split_reference(target)
    session.client.call("POST", f"/images/{quote(source)}/tag", {"repo": name, "tag": label or "latest"})
    return 0


def remove(session: Session, options: Values, arguments: list[str]) -> int:
    """With ``--force`` an image that is not there is no failure."""
    client, status = session.client, 0
    query = {"force": options.on("force"), "noprune": options.on("no-prune")}
    for name in arguments:
        try:
            _remove(client, name, query)
        except ApiError as error:
            warn(error.message)
            status = status if error.code == 404 and options.on("force") else 1
    return status


def _remove(client: Client, name: str, query: dict[str, bool]) -> None:
    for item in client.json("DELETE", f"/images/{quote(name)}", query) or ():
        for deed, what in item.items():
            say(f"{deed}: {what}")


COMMANDS = {
    "images": Command(
        "images",
        "images [OPTIONS] [REPOSITORY[:TAG]]",
        "List images",
        images,
        flags=(
            Flag("all", "a", summary="Show all images (default hides intermediate images)"),
            Flag("digests", "", summary="Show digests"),
            filter_flag("f"),
            list_format_flag(),
            Flag("no-trunc", "", summary="Don't truncate output"),
            Flag("quiet", "q", summary="Only show image IDs"),
        ),
        most=1,
    ),
    "history": Command(
        "history",
        "history [OPTIONS] IMAGE",
        "Show the history of an image",
        history,
        flags=(
            list_format_flag(),
            Flag("human", "H", summary="Print sizes and dates in human readable format (default true)", default="true"),
            Flag("no-trunc", "", summary="Don't truncate output"),
            Flag("quiet", "q", summary="Only show image IDs"),
        ),
        least=1,
        most=1,
    ),
    "tag": Command(
        "tag",
        "tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
        "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
        tag,
        least=2,
        most=2,
    ),
    "rmi": Command(
        "rmi",
        "rmi [OPTIONS] IMAGE [IMAGE...]",
        "Remove one or more images",
        remove,
        flags=(
            Flag("force", "f", summary="Force removal of the image"),
            Flag("no-prune", "", summary="Do not delete untagged parents"),
        ),
        least=1,
    ),
}
