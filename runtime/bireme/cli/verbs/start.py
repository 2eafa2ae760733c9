"""``start``: containers that exist; with ``-a`` or ``-i`` one of them in the foreground, as ``run`` has it."""

from __future__ import annotations

from bireme.cli import _terminal
from bireme.cli._client import quote
from bireme.cli._command import Command
from bireme.cli._detach import parse_keys
from bireme.cli._errors import CliError
from bireme.cli._flags import STRING, Flag
from bireme.cli._foreground import Foreground
from bireme.cli._session import say, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bireme.cli._flags import Values
    from bireme.cli._session import Session


def start(session: Session, options: Values, arguments: list[str]) -> int:
    """Exit status: with ``-a`` or ``-i`` the container's own, otherwise 1 if any did not start."""
    if options.on("attach") or options.on("interactive"):
        if len(arguments) > 1:
            raise CliError("you cannot start and attach multiple containers at once")
        return _attached(session, options, arguments[0])
    client, failed = session.client, []
    for name in arguments:
        try:
            client.call("POST", f"/containers/{quote(name)}/start")
        except CliError as error:
            warn(error.message)
            failed.append(name)
        else:
            say(name)
    if failed:
        raise CliError(f"Error: failed to start containers: {', '.join(failed)}")
    return 0


def _attached(session: Session, options: Values, name: str) -> int:
    client, keys = session.client, parse_keys(options.text("detach-keys"))
    facts = client.json("GET", f"/containers/{quote(name)}/json")
    container, config, host = str(facts["Id"]), facts.get("Config") or {}, facts.get("HostConfig") or {}
    tty = bool(config.get("Tty"))
    stdin = options.on("interactive") and bool(config.get("OpenStdin"))
    _terminal.require_terminal(tty=tty, stdin=stdin)
    foreground = Foreground(
        client,
        container,
        {"stdin": stdin, "stdout": True, "stderr": True},
        tty=tty,
        keys=keys,
        proxy=True,
        remove=bool(host.get("AutoRemove")),
    )
    return foreground.run(lambda: client.call("POST", f"/containers/{container}/start"))


COMMANDS = {
    "start": Command(
        "start",
        "start [OPTIONS] CONTAINER [CONTAINER...]",
        "Start one or more stopped containers",
        start,
        flags=(
            Flag("attach", "a", summary="Attach STDOUT/STDERR and forward signals"),
            Flag("detach-keys", "", STRING, "Override the key sequence for detaching a container"),
            Flag("interactive", "i", summary="Attach container's STDIN"),
        ),
        least=1,
    )
}
