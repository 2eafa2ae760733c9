"""``exec``: one more process in a running container."""

from __future__ import annotations

from bireme.cli import _terminal
from bireme.cli._attach import Attachment, attach_input
from bireme.cli._client import quote
from bireme.cli._command import Command
from bireme.cli._detach import parse_keys
from bireme.cli._errors import ENGINE_ERROR, ApiError, CliError
from bireme.cli._flags import LIST, STRING, Flag
from bireme.cli._foreground import start_status
from bireme.cli._signals import Handlers, follow_size
from bireme.cli._values import check_environment, environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bireme.cli._client import Client
    from bireme.cli._flags import Values
    from bireme.cli._session import Session


def execute(session: Session, options: Values, arguments: list[str]) -> int:
    """Exit status: the process's own; 126 or 127 where it could not run, 1 where the engine refused."""
    detach = options.on("detach")
    stdin = options.on("interactive") and not detach
    keys = parse_keys(options.text("detach-keys"))
    body = _body(session, options, arguments[1:], detach)
    client, container = session.client, quote(arguments[0])
    client.call("GET", f"/containers/{container}/json")  # an unknown container is told before a missing terminal
    _terminal.require_terminal(tty=options.on("tty"), stdin=stdin)
    identifier = str(client.json("POST", f"/containers/{container}/exec", None, body)["Id"])
    try:
        return _start(client, identifier, body, detach, stdin, keys)
    except ApiError as error:
        status = start_status(error.reason)
        raise CliError(error.message, 1 if status == ENGINE_ERROR else status) from error


def _body(session: Session, options: Values, words: list[str], detach: bool) -> dict[str, Any]:
    try:
        variables = environment(options.many("env-file"), options.many("env"), session.environ)
    except OSError as error:
        raise CliError(f"open {error.filename}: {(error.strerror or '').lower()}") from None
    except ValueError as error:
        raise CliError(str(error)) from None
    body: dict[str, Any] = {
        "User": options.text("user"),
        "Privileged": options.on("privileged"),
        "Tty": options.on("tty"),
        "AttachStdin": options.on("interactive") and not detach,
        "AttachStderr": not detach,
        "AttachStdout": not detach,
        "DetachKeys": options.text("detach-keys"),
        "Env": variables,
        "WorkingDir": options.text("workdir"),
        "Cmd": words,
        "ConsoleSize": list(_terminal.size()) if options.on("tty") and _terminal.size() != (0, 0) else None,
    }
    return {key: value for key, value in body.items() if value not in (None, "", False, [])}


def _start(client: Client, identifier: str, body: dict[str, Any], detach: bool, stdin: bool, keys: bytes) -> int:
    tty = bool(body.get("Tty"))
    start: dict[str, Any] = {key: body[key] for key in ("Tty", "ConsoleSize") if key in body}
    if detach:
        client.call("POST", f"/exec/{identifier}/start", None, {"Detach": True, **start})
        return 0
    sock, early = client.hijack(f"/exec/{identifier}/start", None, start)
    source, watch = attach_input(stdin, tty=tty, keys=keys)
    attachment = Attachment(sock, early, raw=tty, stdin=source, watch=watch)
    with Handlers() as handlers, _terminal.raw_mode(_terminal.STDIN, tty and stdin):
        follow_size(handlers, client, f"/exec/{identifier}/resize", tty)
        if not attachment.run():
            raise CliError("read escape sequence")
    return int(client.json("GET", f"/exec/{identifier}/json").get("ExitCode") or 0)


COMMANDS = {
    "exec": Command(
        "exec",
        "exec [OPTIONS] CONTAINER COMMAND [ARG...]",
        "Execute a command in a running container",
        execute,
        flags=(
            Flag("detach", "d", summary="Detached mode: run command in the background"),
            Flag("detach-keys", "", STRING, "Override the key sequence for detaching a container"),
            Flag("env", "e", LIST, "Set environment variables", check=check_environment),
            Flag("env-file", "", LIST, "Read in a file of environment variables"),
            Flag("interactive", "i", summary="Keep STDIN open even if not attached"),
            Flag("privileged", "", summary="Give extended privileges to the command"),
            Flag("tty", "t", summary="Allocate a pseudo-TTY"),
            Flag("user", "u", STRING, 'Username or UID (format: "<name|uid>[:<group|gid>]")'),
            Flag("workdir", "w", STRING, "Working directory inside the container"),
        ),
        least=2,
        flags_first=True,
    )
}
