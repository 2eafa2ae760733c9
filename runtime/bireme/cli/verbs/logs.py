"""``logs``: what a container has written, and with ``-f`` what it goes on to write."""

from __future__ import annotations

import time

from bireme.cli._attach import write_all
from bireme.cli._client import quote
from bireme.cli._command import Command
from bireme.cli._errors import CliError
from bireme.cli._flags import STRING, Flag
from bireme.cli._streams import demultiplex
from bireme.cli._values import parse_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bireme.cli._flags import Values
    from bireme.cli._session import Session

_WHEN = '(e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)'


def logs(session: Session, options: Values, arguments: list[str]) -> int:
    now = time.time()
    query = {
        "details": options.on("details"),
        "follow": options.on("follow"),
        "since": _moment(options, "since", now),
        "stderr": True,
        "stdout": True,
        "tail": options.text("tail"),
        "timestamps": options.on("timestamps"),
        "until": _moment(options, "until", now),
    }
    client = session.client
    facts = client.json("GET", f"/containers/{quote(arguments[0])}/json")
    response = client.open("GET", f"/containers/{facts['Id']}/logs", query)
    for stream, data in demultiplex(response, raw=bool((facts.get("Config") or {}).get("Tty"))):
        write_all(stream, data)
    return 0


def _moment(options: Values, name: str, now: float) -> str | None:
    if not options.text(name):
        return None
    try:
        return parse_time(options.text(name), now)
    except ValueError as error:
        raise CliError(f'invalid value for "{name}": {error}') from None


COMMANDS = {
    "logs": Command(
        "logs",
        "logs [OPTIONS] CONTAINER",
        "Fetch the logs of a container",
        logs,
        flags=(
            Flag("details", "", summary="Show extra details provided to logs"),
            Flag("follow", "f", summary="Follow log output"),
            Flag("since", "", STRING, f"Show logs since timestamp {_WHEN}"),
            Flag(
                "tail",
                "n",
                STRING,
                'Number of lines to show from the end of the logs (default "all")',
                default="all",
            ),
            Flag("timestamps", "t", summary="Show timestamps"),
            Flag("until", "", STRING, f"Show logs before a timestamp {_WHEN}"),
        ),
        least=1,
        most=1,
    )
}
