"""``attach``: join a running container's streams; it ends with the container's exit status."""

from __future__ import annotations

from bireme.cli import _terminal
from bireme.cli._client import quote
from bireme.cli._command import Command
from bireme.cli._detach import parse_keys
from bireme.cli._errors import CliError
from bireme.cli._flags import STRING, Flag
from bireme.cli._foreground import attach, exit_status, wait_for
from bireme.cli._signals import SignalProxy, follow_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bireme.cli._client import Client
    from bireme.cli._flags import Values
    from bireme.cli._http import Response
    from bireme.cli._session import Session


def attach_to(session: Session, options: Values, arguments: list[str]) -> int:
    """Exit status: the container's own."""
    client, keys = session.client, parse_keys(options.text("detach-keys"))
    facts = _running(client, arguments[0])
    config = facts.get("Config") or {}
    tty = bool(config.get("Tty"))
    stdin = not options.on("no-stdin")
    _terminal.require_terminal(tty=tty, stdin=stdin)
    container, stdin = str(facts["Id"]), stdin and bool(config.get("OpenStdin"))
    waiting = wait_for(client, container)
    with SignalProxy(client, container, options.on("sig-proxy") and not tty) as proxy:
        proxy.started()
        return _joined(client, container, proxy, waiting, tty=tty, stdin=stdin, keys=keys)


def _joined(
    client: Client, container: str, proxy: SignalProxy, waiting: Response, *, tty: bool, stdin: bool, keys: bytes
) -> int:
    streams = {"stdin": stdin, "stdout": True, "stderr": True}
    attachment = attach(client, container, streams, tty=tty, keys=keys)
    with _terminal.raw_mode(_terminal.STDIN, tty and stdin):
        follow_size(proxy, client, f"/containers/{container}/resize", tty)
        if not attachment.run():
            raise CliError("read escape sequence")
    return exit_status(waiting)


def _running(client: Client, name: str) -> dict[str, Any]:
    facts: dict[str, Any] = client.json("GET", f"/containers/{quote(name)}/json")
    state = facts.get("State") or {}
    if not state.get("Running"):
        raise CliError("cannot attach to a stopped container, start it first")
    if state.get("Paused"):
        raise CliError("cannot attach to a paused container, unpause it first")
    if state.get("Restarting"):
        raise CliError("cannot attach to a restarting container, wait until it is running")
    return facts


COMMANDS = {
    "attach": Command(
        "attach",
        "attach [OPTIONS] CONTAINER",
        "Attach local standard input, output, and error streams to a running container",
        attach_to,
        flags=(
            Flag("detach-keys", "", STRING, "Override the key sequence for detaching a container"),
            Flag("no-stdin", "", summary="Do not attach STDIN"),
            Flag("sig-proxy", "", summary="Proxy all received signals to the process (default true)", default="true"),
        ),
        least=1,
        most=1,
    )
}
