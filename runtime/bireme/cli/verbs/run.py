"""``run``: create, attach, wait, start; then this process is as the container's, down to its exit status.

The order is what makes nothing get lost: the engine has both the attachment and the wait before it starts anything.
"""

from __future__ import annotations

from bireme.cli import _terminal
from bireme.cli._attach import Attachment, attach_input
from bireme.cli._client import decode
from bireme.cli._command import Command
from bireme.cli._config import RUN_FLAGS, attached, check_options
from bireme.cli._create import create_container
from bireme.cli._detach import parse_keys
from bireme.cli._errors import ENGINE_ERROR, NOT_EXECUTABLE, NOT_FOUND, ApiError, CliError
from bireme.cli._session import say
from bireme.cli._signals import SignalProxy, follow_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from bireme.cli._client import Client
    from bireme.cli._flags import Values
    from bireme.cli._http import Response
    from bireme.cli._session import Session

_NOT_FOUND = ("executable file not found", "no such file or directory", "no such file")
_NOT_EXECUTABLE = ("permission denied", "is a directory", "exec format error")


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


def start_status(reason: str) -> int:
    """The exit status for a container that did not start, from the engine's reason, as a shell has it."""
    lowered = reason.lower()
    if any(text in lowered for text in _NOT_FOUND):
        return NOT_FOUND
    return NOT_EXECUTABLE if any(text in lowered for text in _NOT_EXECUTABLE) else ENGINE_ERROR


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
    return _Foreground(client, container, options, streams, keys).run()


def _start(client: Client, container: str) -> None:
    try:
        client.call("POST", f"/containers/{container}/start")
    except ApiError as error:
        raise CliError(error.message, start_status(error.reason)) from error


class _Foreground:
    """A container whose streams and signals are ours until it ends or the user detaches."""

    def __init__(self, client: Client, container: str, options: Values, streams: dict[str, bool], keys: bytes) -> None:
        self._client = client
        self._container = container
        self._streams = streams
        self._keys = keys
        self._tty = options.on("tty")
        self._remove = options.on("rm")
        self._proxy = options.on("sig-proxy") and not self._tty

    def run(self) -> int:
        with SignalProxy(self._client, self._container, self._proxy) as proxy:
            attachment = self._attach() if any(self._streams.values()) else None
            waiting = wait_for(self._client, self._container, "removed" if self._remove else "next-exit")
            self._start(waiting)
            with _terminal.raw_mode(_terminal.STDIN, self._tty and self._streams["stdin"]):
                proxy.started()
                follow_size(proxy, self._client, f"/containers/{self._container}/resize", self._tty)
                if attachment is not None and not attachment.run():
                    return 0
            return exit_status(waiting)

    def _attach(self) -> Attachment:
        query = {"stream": True, **{name: wanted for name, wanted in self._streams.items() if wanted}}
        sock, early = self._client.hijack(f"/containers/{self._container}/attach", query)
        return self._join(sock, early)

    def _join(self, sock: socket.socket, early: bytes) -> Attachment:
        stdin, watch = attach_input(self._streams["stdin"], tty=self._tty, keys=self._keys)
        return Attachment(sock, early, raw=self._tty, stdin=stdin, watch=watch)

    def _start(self, waiting: Response) -> None:
        try:
            _start(self._client, self._container)
        except CliError:
            if self._remove:
                waiting.read()  # the engine removes what could not start: not before that is done are we
            raise


def wait_for(client: Client, container: str, condition: str) -> Response:
    """A wait that the engine has on its books when this returns; its body comes when the container has ended."""
    return client.open("POST", f"/containers/{container}/wait", {"condition": condition})


def exit_status(waiting: Response) -> int:
    """The exit status a wait answers with. Raises CliError with the reason if the engine could not tell."""
    answer = decode(waiting.read()) or {}
    error = (answer.get("Error") or {}).get("Message")
    if error:
        raise CliError(f"Error waiting for container: {error}", ENGINE_ERROR)
    return int(answer["StatusCode"])


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
