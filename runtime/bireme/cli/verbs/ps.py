"""``ps``: the containers there are."""

from __future__ import annotations

import sys
import time

from bireme.cli._command import Command
from bireme.cli._common_flags import filter_flag, list_format_flag, parse_filters
from bireme.cli._flags import INT, Flag
from bireme.cli._render.containers import TABLE, container_row, titles
from bireme.cli._render.listing import render
from bireme.cli._session import say, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bireme.cli._flags import Values
    from bireme.cli._render.listing import Row
    from bireme.cli._session import Session


def ps(session: Session, options: Values, arguments: list[str]) -> int:
    form, quiet, sized = options.text("format"), options.on("quiet"), options.on("size")
    last = 1 if options.on("latest") else options.number("last") or 0
    query: dict[str, object] = {
        "all": options.on("all"),
        "filters": parse_filters(options.many("filter")) or None,
        "limit": last if last > 0 else None,
        "size": sized or (not quiet and (".Size" in form or "json ." in form)),
    }
    rows = _rows(session, query, options.on("no-trunc"))
    if quiet:
        if form not in ("", "table"):
            warn("WARNING: Ignoring custom format, because both --format and --quiet are set.")
        for row in rows:
            say(row["ID"])
        return 0
    table = f"{TABLE}\t{{{{.Size}}}}" if sized else TABLE
    sys.stdout.write(render(form, table, titles(), rows))
    return 0


def _rows(session: Session, query: dict[str, object], whole: bool) -> Iterator[Row]:
    items = session.client.json("GET", "/containers/json", query) or []
    now = time.time()
    for item in items:
        yield container_row(item, now=now, whole=whole)


COMMANDS = {
    "ps": Command(
        "ps",
        "ps [OPTIONS]",
        "List containers",
        ps,
        flags=(
            Flag("all", "a", summary="Show all containers (default shows just running)"),
            filter_flag("f"),
            list_format_flag(),
            Flag("last", "n", INT, "Show n last created containers (includes all states) (default -1)", default="-1"),
            Flag("latest", "l", summary="Show the latest created container (includes all states)"),
            Flag("no-trunc", "", summary="Don't truncate output"),
            Flag("quiet", "q", summary="Only display container IDs"),
            Flag("size", "s", summary="Display total file sizes"),
        ),
        most=0,
    )
}
