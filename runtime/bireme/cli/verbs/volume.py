"""``volume ls`` and ``volume rm``: which volumes there are, who holds them, and the end of those nobody holds."""

from __future__ import annotations

import sys
import time

from bireme.cli._client import quote
from bireme.cli._command import Command
from bireme.cli._common_flags import filter_flag, list_format_flag, parse_filters
from bireme.cli._errors import ApiError, CliError
from bireme.cli._flags import Flag
from bireme.cli._render.listing import render
from bireme.cli._render.volumes import TABLE, TITLES, volume_row
from bireme.cli._session import say, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bireme.cli._client import Client
    from bireme.cli._flags import Values
    from bireme.cli._session import Session

_MEASURED = (".Size", ".Links")


def listing(session: Session, options: Values, arguments: list[str]) -> int:
    query = {"filters": parse_filters(options.many("filter")) or None}
    answer = session.client.json("GET", "/volumes", query) or {}
    for warning in answer.get("Warnings") or ():
        warn(f"WARNING: {warning}")
    items = sorted(answer.get("Volumes") or (), key=lambda item: str(item["Name"]))
    if options.on("quiet"):
        for item in items:
            say(item["Name"])
        return 0
    form, now = options.text("format"), time.time()
    if form in ("", "table") or any(field in form for field in _MEASURED):
        _measure(session.client, items)
    sys.stdout.write(render(form, TABLE, TITLES, [volume_row(item, now=now) for item in items]))
    return 0


def _measure(client: Client, items: list[dict[str, Any]]) -> None:
    """Add what a list of volumes does not tell, since it has to be counted: their sizes."""
    usage = client.json("GET", "/system/df", {"type": "volume"}) or {}
    sizes = {item["Name"]: item.get("UsageData") for item in usage.get("Volumes") or ()}
    for item in items:
        item["UsageData"] = item.get("UsageData") or sizes.get(item["Name"])


def remove(session: Session, options: Values, arguments: list[str]) -> int:
    """With ``--force`` a volume that is not there is no failure."""
    client, force = session.client, options.on("force")

    def act(name: str) -> None:
        if not name:
            raise CliError("invalid volume: the name is empty")
        try:
            client.call("DELETE", f"/volumes/{quote(name)}", {"force": force})
        except ApiError as error:
            if error.code != 404 or not force:
                raise

    return session.each(arguments, act)


COMMANDS = {
    "volume ls": Command(
        "volume ls",
        "volume ls [OPTIONS]",
        "List volumes",
        listing,
        flags=(
            filter_flag("f", 'Provide filter values (e.g. "dangling=true")'),
            list_format_flag(),
            Flag("quiet", "q", summary="Only display volume names"),
        ),
        most=0,
    ),
    "volume rm": Command(
        "volume rm",
        "volume rm [OPTIONS] VOLUME [VOLUME...]",
        "Remove one or more volumes. You cannot remove a volume that is in use by a container.",
        remove,
        flags=(Flag("force", "f", summary="Force the removal of one or more volumes"),),
        least=1,
    ),
}
