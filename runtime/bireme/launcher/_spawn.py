"""The engine's side of the launcher's birth and death: find one that lives, start one, clean up after one.

Starting takes two Pythons (see ``_boot``), some 60 milliseconds, and runs in a thread. What the launcher prints goes
to a file in memory: normally nothing, its last line is the reason if it ever dies of itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from typing import cast

import trio

from bireme.launcher import _protocol
from bireme.launcher.requests import Facts, Message, Settings
from bireme_actors import BiremeError, Conflict, DriverError, MissingRequirement

START_SECONDS = 30.0
"""How long a launcher may take to be ready; on a busy machine it takes a good deal longer than usual."""
_BUSY_TRIES = 40
_MAIN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__main__.py")
_SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(_MAIN)))
_KEPT = ("LD_LIBRARY_PATH",)
"""Of our environment a launcher gets this only: some Pythons do not start without. Containers never see it."""


class Connection:
    """A launcher that has said hello."""

    def __init__(self, sock: socket.socket, facts: Facts, settings: Settings, printed: int, *, child: bool) -> None:
        self.sock = sock
        self.facts = facts
        self.pidfd = os.pidfd_open(facts["pid"])
        self._settings = settings
        self._printed = printed
        self._child = child

    async def wait_ended(self, seconds: float) -> bool:
        """Whether the launcher, and with it every container, has ended within that time. It is reaped."""
        with trio.move_on_after(seconds) as scope:
            await trio.lowlevel.wait_readable(self.pidfd)
        if scope.cancelled_caught:
            return False
        if self._child:
            self._reap()
        return True

    def _reap(self) -> None:
        self._child = False
        with contextlib.suppress(ChildProcessError):  # somebody else in this program may reap every child
            os.waitpid(self.facts["pid"], 0)

    def kill(self) -> None:
        """The kernel kills the containers along with it."""
        try:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        except ProcessLookupError:
            return

    def last_words(self) -> str:
        """The last line the launcher has printed; "" for none."""
        return _last_line(self._printed)

    def release(self) -> None:
        """Let go of all descriptors."""
        self.sock.close()
        for fd in (self.pidfd, self._printed):
            if fd >= 0:
                os.close(fd)

    async def sweep(self) -> None:
        """Remove what a launcher that was killed had no time to remove."""
        await trio.to_thread.run_sync(_run_sweep, self._settings)


def settings_for(
    root: str, run_dir: str, *, detached: bool, stepwise: bool, host_pids: bool = False
) -> Settings:
    """What a launcher of this ROOT is told. ``host_pids``: the one whose containers share the PIDs of the host."""
    real, kind = os.path.realpath(root), "-host" if host_pids else ""
    return {
        "root": real,
        "cgroup": f"bireme-{hashlib.sha256(os.fsencode(real)).hexdigest()[:16]}{kind}",
        "lock": f"launcher{kind}.lock",
        "socket": os.path.join(os.path.realpath(run_dir), f"launcher{kind}.sock") if detached else "",
        "source": _SOURCE,
        "stepwise": stepwise,
        "host_pids": host_pids,
    }


async def connect(settings: Settings) -> Connection | None:
    """The launcher that listens already; None if none does. Raises Conflict if it is not ours to use."""
    for _ in range(_BUSY_TRIES):
        sock = _try_connect(settings["socket"])
        if sock is None:
            return None
        try:
            message = await _first_message(sock)
        except BaseException:
            sock.close()
            raise
        if message.get("event") == "hello":
            return _check_root(sock, message["facts"], settings)
        sock.close()
        if message.get("event") != "busy":
            return None
        await trio.sleep(0.05)
    raise Conflict(f"the launcher at {settings['socket']} serves another engine: shut that one down first")


def _check_root(sock: socket.socket, facts: Facts, settings: Settings) -> Connection:
    if facts["root"] == settings["root"]:
        return Connection(sock, facts, settings, -1, child=False)
    sock.close()
    raise Conflict(
        f"the launcher at {settings['socket']} runs the containers of {facts['root']}, not of {settings['root']}:"
        " choose another run directory"
    )


def _try_connect(path: str) -> socket.socket | None:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with _protocol.Address(path) as address:
            sock.connect(address)
    except (FileNotFoundError, ConnectionRefusedError):
        sock.close()
        return None
    except BaseException:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


async def _first_message(sock: socket.socket) -> Message:
    """The launcher's first words; an empty message if it hangs up without any."""
    while True:
        try:
            return _protocol.receive(sock)[0]
        except _protocol.Disconnected:
            return {}
        except BlockingIOError:
            await trio.lowlevel.wait_readable(sock.fileno())


async def spawn(settings: Settings) -> Connection:
    """Start a launcher. Cancellation takes effect once it is there, or has failed, and it is ended again.

    Raises MissingRequirement, Conflict (another one runs for this ROOT), DriverError.
    """
    if not sys.executable:
        raise MissingRequirement("the path of the Python interpreter is unknown: sys.executable is empty")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    printed = os.memfd_create("bireme-launcher", os.MFD_CLOEXEC)
    try:
        with trio.CancelScope(shield=True), trio.move_on_after(START_SECONDS):
            with theirs:
                await trio.to_thread.run_sync(_run_stage, "prepare", settings, theirs, printed)
            message = await _first_message(ours)
            if message.get("event") == "hello":
                facts = cast(Facts, message["facts"])
                return Connection(ours, facts, settings, printed, child=not settings["socket"])
            raise _failure(message, printed)
        raise DriverError(f"the launcher was not ready within {START_SECONDS:.0f} seconds")
    except BaseException:
        ours.close()
        os.close(printed)
        raise


def _run_stage(stage: str, settings: Settings, engine: socket.socket, printed: int) -> None:
    """Run a stage that ends by itself; it is reaped."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-X", "utf8", _MAIN, stage, json.dumps(settings), str(engine.fileno())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=printed,
        pass_fds=(engine.fileno(),),
        start_new_session=True,
        env={name: os.environ[name] for name in _KEPT if name in os.environ},
    )
    process.wait()


async def sweep(settings: Settings) -> None:
    """End what a launcher has left that shared the PIDs of the host, and remove its cgroups; nothing if all is well.

    One that still ends is waited for. Cancellation takes effect afterwards. Raises Conflict if one runs, DriverError.
    """
    if _has_left(settings):
        message = await trio.to_thread.run_sync(_run_sweep, settings)
        if message:
            raise _failure(message, -1)
    await trio.lowlevel.checkpoint()


def _has_left(settings: Settings) -> bool:
    """Whether a launcher runs, or was killed, that removes its lock at its end."""
    return os.path.lexists(os.path.join(settings["root"], settings["lock"]))


def _run_sweep(settings: Settings) -> Message:
    """What the stage complains of; an empty message if it does not."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            _run_stage("sweep", settings, theirs, subprocess.DEVNULL)
        try:
            return _protocol.receive(ours)[0]
        except _protocol.Disconnected:
            return {}


def _failure(message: Message, printed: int) -> BiremeError:
    error = message.get("error")
    if error is None:
        return DriverError(f"the launcher ended before it was ready: {_last_line(printed) or 'it gave no reason'}")
    kinds = {_protocol.MISSING: MissingRequirement, _protocol.CONFLICT: Conflict}
    return kinds.get(error["kind"], DriverError)(error["message"])


def _last_line(printed: int) -> str:
    if printed < 0:
        return ""
    size = os.fstat(printed).st_size
    lines = os.pread(printed, 4096, max(0, size - 4096)).decode("utf-8", "replace").splitlines()
    return lines[-1] if lines else ""
