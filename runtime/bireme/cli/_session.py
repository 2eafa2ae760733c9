"""What every verb is handed: the settings, the engine, and ways to say things."""

from __future__ import annotations

import sys

from bireme.cli._errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from bireme.cli._client import Client
    from bireme.cli._settings import Settings


class Session:
    """One command's run. ``environ`` is the environment as the entry point read it."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self.settings = settings
        self.environ = environ
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """The engine; the first use connects, and starts one if none runs."""
        if self._client is None:
            from bireme.cli._autostart import connect_or_start
            from bireme.cli._client import Client

            self._client = Client(lambda: connect_or_start(self.settings))
        return self._client

    def running_engine(self) -> Client:
        """The engine if one runs; never starts one. Calls raise Unreachable if there is none."""
        from bireme.cli._autostart import connect_only
        from bireme.cli._client import Client

        self._client = Client(lambda: connect_only(self.settings))
        return self._client

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def each(self, names: Iterable[str], act: Callable[[str], object]) -> int:
        """``act`` on every name, print those that went well, report the others and go on; the worst exit status."""
        status = 0
        for name in names:
            try:
                act(name)
            except CliError as error:
                warn(error.message)
                status = max(status, min(error.status, 1))
            else:
                say(name)
        return status


def say(text: str) -> None:
    """One line of result, seen at once also through a pipe: several may take long."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def warn(text: str) -> None:
    """One line to standard error, after all that was said so far."""
    sys.stdout.flush()
    print(text, file=sys.stderr, flush=True)


def confirm(question: str) -> bool:
    """Ask on the terminal; anything but yes is no."""
    sys.stdout.write(f"{question} [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
