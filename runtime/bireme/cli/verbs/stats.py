"""``stats`` and ``top``: what containers use of the machine, and the processes of one.

``stats`` asks for every container's counters once a second and works out the shares itself, between one round and the
next: no answer of the engine's keeps another waiting.
"""

from __future__ import annotations

import sys
import time

from bireme.cli import _terminal
from bireme.cli._client import quote
from bireme.cli._command import Command
from bireme.cli._common_flags import list_format_flag
from bireme.cli._errors import ApiError
from bireme.cli._flags import Flag
from bireme.cli._format import align
from bireme.cli._render.listing import render
from bireme.cli._render.stats import TABLE, TITLES, stats_row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bireme.cli._client import Client
    from bireme.cli._flags import Values
    from bireme.cli._session import Session

_ROUND = 1.0
_CLEAR = "\033[H\033[J"
_TOP_COLUMN = 20


def stats(session: Session, options: Values, arguments: list[str]) -> int:
    client, form = session.client, options.text("format")
    for name in arguments:
        client.call("GET", f"/containers/{quote(name)}/json")  # an unknown one is an error, not an empty line
    before = _sample(client, _names(client, options, arguments))
    clear = _CLEAR if not options.on("no-stream") and _terminal.is_terminal(_terminal.STDOUT) else ""
    while True:
        time.sleep(_ROUND)
        now = _sample(client, _names(client, options, arguments))
        whole = options.on("no-trunc")
        rows = [stats_row(name, sample, before.get(name), whole=whole) for name, sample in now.items()]
        sys.stdout.write(clear + render(form, TABLE, TITLES, rows))
        sys.stdout.flush()
        if options.on("no-stream"):
            return 0
        before = now


def _names(client: Client, options: Values, arguments: list[str]) -> list[str]:
    if arguments:
        return arguments
    listed = client.json("GET", "/containers/json", {"all": options.on("all")}) or ()
    return [str(item["Id"]) for item in listed]


def _sample(client: Client, names: list[str]) -> dict[str, dict[str, Any] | None]:
    return {name: _counters(client, name) for name in names}


def _counters(client: Client, name: str) -> dict[str, Any] | None:
    try:
        answer = client.json("GET", f"/containers/{quote(name)}/stats", {"stream": "0", "one-shot": True})
    except ApiError:
        return None  # it has gone since it was listed
    return answer if answer and answer.get("cpu_stats") else None


def top(session: Session, options: Values, arguments: list[str]) -> int:
    name, words = arguments[0], arguments[1:]
    answer = session.client.json("GET", f"/containers/{quote(name)}/top", {"ps_args": " ".join(words) or None})
    rows = [answer["Titles"], *(answer.get("Processes") or ())]
    text = "".join("\t".join(str(cell) for cell in row) + "\n" for row in rows)
    sys.stdout.write(align(text, minimum=_TOP_COLUMN))
    return 0


COMMANDS = {
    "stats": Command(
        "stats",
        "stats [OPTIONS] [CONTAINER...]",
        "Display a live stream of container(s) resource usage statistics",
        stats,
        flags=(
            Flag("all", "a", summary="Show all containers (default shows just running)"),
            list_format_flag(),
            Flag("no-stream", "", summary="Disable streaming stats and only pull the first result"),
            Flag("no-trunc", "", summary="Do not truncate output"),
        ),
    ),
    "top": Command(
        "top",
        "top CONTAINER [ps OPTIONS]",
        "Display the running processes of a container",
        top,
        least=1,
        flags_first=True,
    ),
}
