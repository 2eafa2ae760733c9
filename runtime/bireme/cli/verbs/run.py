"""``run``: create, attach, wait, start; then this process is as the container's, down to its exit status."""

from __future__ import annotations

from bireme.cli import _terminal
from bireme.cli._command import Command
from bireme.cli._config import RUN_FLAGS, attached, check_options
from bireme.cli._create import create_container
from bireme.cli._detach import parse_keys
from bireme.cli._errors import ENGINE_ERROR, ApiError, CliError
from bireme.cli._foreground import Foreground, start_status
from bireme.cli._session import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bireme.cli._client import Client
    from bireme.cli._flags import Values
    from bireme.cli._session import Session


def run(session: Session, options: Values, arguments: list[str]) -> int:
    """Exit status: the container's own; 125, 126 or 127 where it could not run."""
    check_options(options)
    if options.on("detach") and options.given("attach"):
        raise CliError("bireme: conflicting options: cannot specify both --attach and --detach", ENGINE_ERROR)
    try:
        return _run(session, options, arguments)
    except CliError as error:
        raise _as_run_error(error) from error


def _as_run_error(error: CliError) -> CliError:
    """Docker's way to tell the engine's failure from the container's: a prefix, and a status of its own."""
    message = error.message if not error.message or error.message.startswith("bireme: ") else f"bireme: {error.message}"
    return CliError(message, max(error.status, ENGINE_ERROR))


def _run(session: Session, options: Values, arguments: list[str]) -> int:
    detach = options.on("detach")
    streams = attached(options, detach)
    keys = parse_keys(options.text("detach-keys"))
    _terminal.require_terminal(tty=options.on("tty"), stdin=streams["stdin"])
    client = session.client
    container = create_container(session, options, arguments, streams)
    if detach:
        _start(client, container)
        say(container)
        return 0
    foreground = Foreground(
        client,
        container,
        streams,
        tty=options.on("tty"),
        keys=keys,
        proxy=options.on("sig-proxy"),
        remove=options.on("rm"),
    )
    return foreground.run(lambda: _start(client, container))


def _start(client: Client, container: str) -> None:
    try:
        client.call("POST", f"/containers/{container}/start")
    except ApiError as error:
        raise CliError(error.message, start_status(error.reason)) from error


COMMANDS = {
    "run": Command(
        "run",
        "run [OPTIONS] IMAGE [COMMAND] [ARG...]",
        "Create and run a new container from an image",
        run,
        flags=RUN_FLAGS,
        least=1,
        flags_first=True,
    )
}
