"""``events``: what happens in the engine, as it happens, and from its memory what has."""

from __future__ import annotations

import sys
import time

from bireme.cli._client import decode_stream
from bireme.cli._command import Command
from bireme.cli._common_flags import filter_flag, format_flag, parse_filters
from bireme.cli._errors import CliError
from bireme.cli._flags import STRING, Flag
from bireme.cli._render.events import event_line
from bireme.cli._render.listing import render_each
from bireme.cli._render.structure import structured
from bireme.cli._values import parse_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bireme.cli._flags import Values
    from bireme.cli._session import Session


def events(session: Session, options: Values, arguments: list[str]) -> int:
    now, form = time.time(), options.text("format")
    query = {
        "filters": parse_filters(options.many("filter")) or None,
        "since": _moment(options.text("since"), now),
        "until": _moment(options.text("until"), now),
    }
    found = decode_stream(session.client.open("GET", "/events", query).lines())
    lines = render_each(form, map(structured, found)) if form else map(event_line, found)
    for line in lines:
        sys.stdout.write(line)
        sys.stdout.flush()
    return 0


def _moment(text: str, now: float) -> str | None:
    try:
        return parse_time(text, now) if text else None
    except ValueError as error:
        raise CliError(str(error)) from None


COMMANDS = {
    "events": Command(
        "events",
        "events [OPTIONS]",
        "Get real time events from the engine",
        events,
        flags=(
            filter_flag("f"),
            format_flag(),
            Flag("since", "", STRING, "Show all events created since timestamp"),
            Flag("until", "", STRING, "Stream events until this timestamp"),
        ),
        most=0,
    )
}
