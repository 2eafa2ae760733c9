"""``version`` and ``info``: who answers here, and what it holds."""

from __future__ import annotations

import os
import sys

from bireme.cli._client import API
from bireme.cli._command import Command
from bireme.cli._common_flags import format_flag
from bireme.cli._errors import CliError
from bireme.cli._render.system import info_text, version_text
from bireme.cli._session import warn
from bireme.cli._version import client_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bireme.cli._flags import Values
    from bireme.cli._session import Session

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}


def version(session: Session, options: Values, arguments: list[str]) -> int:
    """The client's part is told also where no engine can be reached; then the exit status is 1."""
    form = options.text("format")
    failure: CliError | None = None
    answer: dict[str, Any] = {"Client": _client(), "Server": None}
    try:
        answer["Server"] = session.client.json("GET", "/version")
    except CliError as error:
        failure = error
    if form:
        _show(form, answer)
    else:
        sys.stdout.write(version_text(answer["Client"], answer["Server"]))
    if failure is not None:
        raise failure
    return 0


def _client() -> dict[str, Any]:
    system = os.uname()
    return {
        "Platform": {"Name": "Bireme"},
        "Version": client_version(),
        "ApiVersion": API.removeprefix("/v"),
        "DefaultAPIVersion": API.removeprefix("/v"),
        "PythonVersion": sys.version.split()[0],
        "Os": system.sysname.lower(),
        "Arch": _ARCHITECTURES.get(system.machine, system.machine),
    }


def info(session: Session, options: Values, arguments: list[str]) -> int:
    form = options.text("format")
    client = {"Version": client_version(), "Debug": session.settings.debug}
    answer = session.client.json("GET", "/info") or {}
    for warning in answer.get("Warnings") or ():
        warn(str(warning))
    if form:
        _show(form, {**answer, "ClientInfo": client})
    else:
        sys.stdout.write(info_text(client, answer))
    return 0


def _show(form: str, answer: dict[str, Any]) -> None:
    from bireme.cli._render.listing import render_each
    from bireme.cli._render.structure import structured

    for line in render_each(form, [structured(answer)]):
        sys.stdout.write(line)


COMMANDS = {
    "version": Command(
        "version",
        "version [OPTIONS]",
        "Show the version information",
        version,
        flags=(format_flag("f"),),
        most=0,
    ),
    "info": Command(
        "info",
        "info [OPTIONS]",
        "Display system-wide information",
        info,
        flags=(format_flag("f"),),
        most=0,
    ),
}
