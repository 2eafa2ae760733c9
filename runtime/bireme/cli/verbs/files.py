"""``diff`` and ``export``: what a container has changed in its files, and all of its files."""

from __future__ import annotations

import sys

from bireme.cli._client import quote
from bireme.cli._command import Command
from bireme.cli._flags import STRING, Flag
from bireme.cli._transfer import check_output, deliver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bireme.cli._flags import Values
    from bireme.cli._session import Session

_KINDS = {0: "C", 1: "A", 2: "D"}


def diff(session: Session, options: Values, arguments: list[str]) -> int:
    changes = session.client.json("GET", f"/containers/{quote(arguments[0])}/changes") or []
    for change in changes:
        sys.stdout.write(f"{_KINDS.get(change['Kind'], '?')} {change['Path']}\n")
    return 0


def export(session: Session, options: Values, arguments: list[str]) -> int:
    path = options.text("output")
    check_output(path, "failed to export container")
    deliver(session.client.open("GET", f"/containers/{quote(arguments[0])}/export"), path)
    return 0


COMMANDS = {
    "diff": Command(
        "diff",
        "diff CONTAINER",
        "Inspect changes to files or directories on a container's filesystem",
        diff,
        least=1,
        most=1,
    ),
    "export": Command(
        "export",
        "export [OPTIONS] CONTAINER",
        "Export a container's filesystem as a tar archive",
        export,
        flags=(Flag("output", "o", STRING, "Write to a file, instead of STDOUT"),),
        least=1,
        most=1,
    ),
}
