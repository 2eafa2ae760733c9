"""A container in the foreground: its streams and its signals are ours until it ends or the user leaves it.

The order is what makes nothing get lost: the engine has both the attachment and the wait on its books before it starts
anything.
"""

from __future__ import annotations

from bireme.cli import _terminal
from bireme.cli._attach import Attachment, attach_input
from bireme.cli._client import decode
from bireme.cli._errors import ENGINE_ERROR, NOT_EXECUTABLE, NOT_FOUND, CliError
from bireme.cli._signals import SignalProxy, follow_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bireme.cli._client import Client
    from bireme.cli._http import Response

_NOT_FOUND = ("executable file not found", "no such file or directory", "no such file")
_NOT_EXECUTABLE = ("permission denied", "is a directory", "exec format error")


class Foreground:
    """``streams`` says which of stdin, stdout and stderr we take part in; ``remove``: the container goes at its end."""

    def __init__(
        self,
        client: Client,
        container: str,
        streams: Mapping[str, bool],
        *,
        tty: bool,
        keys: bytes,
        proxy: bool,
        remove: bool = False,
    ) -> None:
        self._client = client
        self._container = container
        self._streams = streams
        self._tty = tty
        self._keys = keys
        self._proxy = proxy and not tty
        self._remove = remove

    def run(self, start: Callable[[], object]) -> int:
        """Attach, wait, ``start``; the exit status, or 0 if the user left. Raises what ``start`` raises."""
        with SignalProxy(self._client, self._container, self._proxy) as proxy:
            attachment = self._attach() if any(self._streams.values()) else None
            try:
                waiting = wait_for(self._client, self._container, "removed" if self._remove else "next-exit")
                self._start(start, waiting)
                with _terminal.raw_mode(_terminal.STDIN, self._tty and self._streams["stdin"]):
                    proxy.started()
                    follow_size(proxy, self._client, f"/containers/{self._container}/resize", self._tty)
                    if attachment is not None and not attachment.run():
                        return 0
                return exit_status(waiting)
            finally:
                if attachment is not None:
                    attachment.close()

    def _attach(self) -> Attachment:
        return attach(self._client, self._container, self._streams, tty=self._tty, keys=self._keys)

    def _start(self, start: Callable[[], object], waiting: Response) -> None:
        try:
            start()
        except CliError:
            if self._remove:
                waiting.read()  # the engine removes what could not start: not before that is done are we
            raise


def attach(client: Client, container: str, streams: Mapping[str, bool], *, tty: bool, keys: bytes) -> Attachment:
    """Join a container's streams. Raises ApiError, Unreachable."""
    query = {"stream": True, **{name: wanted for name, wanted in streams.items() if wanted}}
    sock, early = client.hijack(f"/containers/{container}/attach", query)
    stdin, watch = attach_input(streams["stdin"], tty=tty, keys=keys)
    return Attachment(sock, early, raw=tty, stdin=stdin, watch=watch)


def start_status(reason: str) -> int:
    """The exit status for what did not start, from the engine's reason, as a shell has it."""
    lowered = reason.lower()
    if any(text in lowered for text in _NOT_FOUND):
        return NOT_FOUND
    return NOT_EXECUTABLE if any(text in lowered for text in _NOT_EXECUTABLE) else ENGINE_ERROR


def wait_for(client: Client, container: str, condition: str | None = None) -> Response:
    """A wait that the engine has on its books when this returns; its body comes when the container has ended."""
    return client.open("POST", f"/containers/{container}/wait", {"condition": condition})


def exit_status(waiting: Response) -> int:
    """The exit status a wait answers with. Raises CliError with the reason if the engine could not tell."""
    answer = decode(waiting.read()) or {}
    error = (answer.get("Error") or {}).get("Message")
    if error:
        raise CliError(f"Error waiting for container: {error}", ENGINE_ERROR)
    return int(answer["StatusCode"])
