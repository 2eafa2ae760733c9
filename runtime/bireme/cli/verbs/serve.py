"""``serve`` and ``shutdown``: the engine in the foreground, and its end.

``serve`` is the only verb that leads to trio; it becomes the engine. ``shutdown`` returns when the engine is really
gone: its answer has ended, and so has the process that listened on the socket.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct

from bireme.cli._autostart import ABSENT, connect_only, connect_or_start
from bireme.cli._client import Client
from bireme.cli._command import Command
from bireme.cli._errors import CliError, Unreachable
from bireme.cli._flags import INT, LIST, STRING, Flag
from bireme.cli._http import connect
from bireme.cli._session import warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bireme.cli._flags import Values
    from bireme.cli._session import Session
    from bireme.cli._settings import Settings

_CREDENTIALS = struct.Struct("3i")
_LAUNCHERS = ("launcher.sock", "launcher-host.sock")
"""Where they listen in the run directory: those of the launchers that an engine may have left."""
_LAUNCHERS = ("launcher.sock", "launcher-host.sock")


def serve(session: Session, options: Values, arguments: list[str]) -> int:
    """Exit status: the engine's. Raises CliError where it cannot even be tried."""
    if os.geteuid() != 0:
        raise CliError("bireme: the engine makes namespaces, mounts and cgroups, which needs root: run this as root")
    from bireme.server import EngineSettings, run_engine

    settings = session.settings
    idle = options.number("idle")
    return run_engine(
        EngineSettings(
            root=settings.root,
            run_dir=settings.run_dir,
            driver=settings.driver,
            socket_path=settings.host,
            group=options.text("group"),
            idle_seconds=None if not idle else float(idle),
            ready_fd=options.number("ready-fd"),
            debug=settings.debug,
            insecure_registries=(*settings.insecure_registries, *options.many("insecure-registry")),
        )
    )


def shutdown(session: Session, options: Values, arguments: list[str]) -> int:
    """No engine is what was asked for: no failure. Containers that one has left running are stopped by another."""
    try:
        sock = connect_only(session.settings)
    except Unreachable as error:
        if not isinstance(error.__cause__, ABSENT):
            raise
        if options.on("detach") or not _left_running(session.settings):
            warn(f"no engine runs at unix://{session.settings.socket_path}")
            return 0
        sock = connect_or_start(session.settings)
    with contextlib.ExitStack() as stack:
        process = _process_behind(sock)
        if process is not None:
            stack.callback(os.close, process)
        client = Client(lambda: sock)
        stack.callback(client.close)
        response = client.open("POST", "/bireme/shutdown", {"detach": options.on("detach")})
        with contextlib.suppress(Unreachable):  # an engine that ends may well hang up before the last word
            response.read()
        if process is not None:
            waiting = select.poll()
            waiting.register(process, select.POLLIN)
            waiting.poll()
    return 0


def _left_running(settings: Settings) -> bool:
    """Whether a launcher listens: known from its refusal, for it does so on another kind of socket than an engine."""
    if settings.host:
        return False
    return any(_refuses_as_a_launcher(os.path.join(settings.run_dir, name)) for name in _LAUNCHERS)


def _refuses_as_a_launcher(path: str) -> bool:
    try:
        connect(path).close()
    except OSError as error:
        return error.errno == errno.EPROTOTYPE
    return False


def _process_behind(sock: socket.socket) -> int | None:
    """A descriptor of the process that listens there; None where this process cannot see it."""
    pid, _, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    if pid <= 0:
        return None  # of another PID namespace
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


COMMANDS = {
    "serve": Command(
        "serve",
        "serve [OPTIONS]",
        "Run the engine in the foreground",
        serve,
        flags=(
            Flag("group", "", STRING, "Group whose members may use the engine's socket, by name or number"),
            Flag("idle", "", INT, "Seconds after which an engine with nothing to do ends (default never)"),
            Flag("insecure-registry", "", LIST, "Registry, HOST[:PORT] or network, that may be asked without https"),
            Flag("ready-fd", "", INT, "Descriptor to write a byte to once the engine listens"),
        ),
        most=0,
    ),
    "shutdown": Command(
        "shutdown",
        "shutdown [OPTIONS]",
        "Stop the containers and the engine",
        shutdown,
        flags=(Flag("detach", "", summary="Leave the containers running, for the next engine to take over"),),
        most=0,
    ),
}
