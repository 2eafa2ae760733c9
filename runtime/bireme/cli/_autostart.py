"""No engine there? Start one in the background, exactly one however many ask, and say why if it cannot.

A lock in the run directory makes those who race wait for the one who starts; the engine's own lock on its root has the
last word. The engine tells readiness by writing to a pipe, its end without a byte tells failure, and the reason is
the last line it left in its log.
"""

from __future__ import annotations

import os
import sys

from bireme.cli._errors import Unreachable
from bireme.cli._http import connect

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    import subprocess

    from bireme.cli._settings import Settings

IDLE_SECONDS = 300
READY_SECONDS = 60
_LAST_SECONDS = 5
ABSENT = (FileNotFoundError, ConnectionRefusedError)
"""How connecting fails where no engine runs."""


def connect_only(settings: Settings) -> socket.socket:
    """A connection to a running engine. Raises Unreachable."""
    try:
        return connect(settings.socket_path)
    except OSError as error:
        raise Unreachable(_unreachable(settings.socket_path, error)) from error


def connect_or_start(settings: Settings) -> socket.socket:
    """A connection to the engine, started first if need be. Raises Unreachable."""
    try:
        return connect(settings.socket_path)
    except ABSENT:
        if settings.host:
            return connect_only(settings)
    except OSError as error:
        raise Unreachable(_unreachable(settings.socket_path, error)) from error
    return _start(settings)


def _unreachable(path: str, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return f"permission denied while trying to connect to the Bireme engine at unix://{path}: run this as root"
    reason = error.strerror or str(error)
    return f"Cannot connect to the Bireme engine at unix://{path} ({reason}). Is the engine running?"


def _start(settings: Settings) -> socket.socket:
    import fcntl

    if os.geteuid() != 0:
        raise Unreachable(
            f"no engine runs at unix://{settings.socket_path}, and starting one needs root: run this as root (sudo)"
        )
    try:
        os.makedirs(settings.run_dir, mode=0o711, exist_ok=True)
        lock = os.open(os.path.join(settings.run_dir, "start.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unreachable(f"cannot start an engine: {error.filename}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return connect(settings.socket_path)
        except ABSENT:
            _launch(settings)
        return connect_only(settings)
    finally:
        os.close(lock)


def _launch(settings: Settings) -> None:
    """Run the engine and return once it listens. Raises Unreachable with the engine's own reason."""
    _debug(settings, f"no engine at {settings.socket_path}, starting one (log: {settings.log_path})")
    ready, tell = os.pipe()
    try:
        try:
            engine, before = _spawn(settings, tell)
        finally:
            os.close(tell)
        if not _told(ready):
            status = _end(engine)
            raise Unreachable(f"the engine did not start: {_last_words(settings.log_path, before, status)}")
    finally:
        os.close(ready)
    # It outlives this process on purpose; nobody here waits for it.
    engine.returncode = 0
    _debug(settings, f"engine {engine.pid} is ready")


def _spawn(settings: Settings, tell: int) -> tuple[subprocess.Popen[bytes], int]:
    """The engine's process, and where in its log its own words begin."""
    import subprocess

    try:
        log = os.open(settings.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unreachable(f"cannot start an engine: {error.filename}: {error.strerror}") from error
    try:
        before = os.lseek(log, 0, os.SEEK_END)
        engine = subprocess.Popen(
            engine_command(settings, tell),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=_engine_environment(),
            pass_fds=(tell,),
            start_new_session=True,
            umask=0o022,
        )
    finally:
        os.close(log)
    return engine, before


def _end(engine: subprocess.Popen[bytes]) -> int | None:
    """The status of an engine that gave up, or None for one that did neither start nor end: that one is ended."""
    import subprocess

    try:
        return engine.wait(_LAST_SECONDS)
    except subprocess.TimeoutExpired:
        engine.kill()
        engine.wait()
        return None


def engine_command(settings: Settings, ready_fd: int) -> list[str]:
    """The command line of the engine in the background."""
    options = ["--root", settings.root, "--run-dir", settings.run_dir, "--driver", settings.driver]
    if settings.debug:
        options.append("--debug")
    serve = ["serve", "--idle", str(IDLE_SECONDS), "--ready-fd", str(ready_fd)]
    return [sys.executable, "-P", "-m", "bireme", *options, *serve]


def _engine_environment() -> dict[str, str]:
    """Ours, and where this package is found: the engine runs in ``/``, where a relative module path leads nowhere."""
    import bireme

    home = os.path.dirname(os.path.dirname(os.path.abspath(bireme.__file__)))
    given = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([home, *map(os.path.abspath, given)])}


def _told(ready: int) -> bool:
    import select

    readable, _, _ = select.select([ready], [], [], READY_SECONDS)
    return bool(readable and os.read(ready, 1))


def _last_words(path: str, before: int, status: int | None) -> str:
    with open(path, "rb") as log:
        log.seek(before)
        lines = [line.strip() for line in log.read().decode("utf-8", "replace").splitlines() if line.strip()]
    if lines:
        return lines[-1].removeprefix("bireme: ")
    if status is None:
        return f"no answer within {READY_SECONDS} seconds, see {path}"
    return f"it exited with status {status} and left no word in {path}"


def _debug(settings: Settings, text: str) -> None:
    if settings.debug:
        print(f"bireme: {text}", file=sys.stderr, flush=True)
