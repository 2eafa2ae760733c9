"""Bireme's command line without the start of an interpreter for each command: a process forks one that is ready.

A scenario is a handful of commands, and most of what one takes is Python's start. The server below has imported all of
the command line, and nothing else runs in it. For each command it is handed words, environment, the three standard
streams and a pipe for the status, and forks: what then runs is the command line's own entry, in a process of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from pkgutil import walk_packages
from typing import NoReturn

from tests.house import SOURCE_ROOTS

_MOST = 1 << 20
_LOST = 255
"""The status of a command that was killed before it could tell one."""


class Warm:
    """The server, and how to have it run a command. Threads may share one."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*SOURCE_ROOTS, SOURCE_ROOTS[0].parent]))}
        command = [sys.executable, "-P", "-m", "tests.parity._warm", str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environ)

    def close(self) -> None:
        """End the server; commands that still run end by themselves."""
        self._socket.close()
        self._process.wait()

    def start(self, words: Sequence[str], environ: Mapping[str, str], streams: Sequence[int]) -> int:
        """Start a command; a descriptor that tells its status. ``streams`` are the caller's to close."""
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            message = json.dumps([list(words), dict(environ)]).encode()
            socket.send_fds(self._socket, [message], [*streams, writing])
        finally:
            os.close(writing)
        return reading


def run(
    warm: Warm, words: Sequence[str], environ: Mapping[str, str], stdin: bytes, patience: float
) -> tuple[int, bytes, bytes]:
    """Run a command to its end: status, output, errors. Raises TimeoutError."""
    ours, theirs = zip(*(_pipe(inward=number == 0) for number in range(3)), strict=True)
    try:
        status = warm.start(words, environ, theirs)
    finally:
        for fd in theirs:
            os.close(fd)
    return _communicate(ours[0], {ours[1]: bytearray(), ours[2]: bytearray(), status: bytearray()}, stdin, patience)


def _pipe(*, inward: bool) -> tuple[int, int]:
    reading, writing = os.pipe2(os.O_CLOEXEC)
    return (writing, reading) if inward else (reading, writing)


def _communicate(
    feed: int, taken: dict[int, bytearray], stdin: bytes, patience: float
) -> tuple[int, bytes, bytes]:
    """As ``Popen.communicate``: feed the one, read all the others to their ends."""
    rest = memoryview(stdin)
    waiting = set(taken)
    os.set_blocking(feed, False)
    try:
        while waiting:
            ready, writable, _ = select.select(waiting, [feed] if feed >= 0 else [], [], patience)
            if not ready and not writable:
                raise TimeoutError("the command does not end")
            if writable:
                rest = _feed(feed, rest)
                if not rest:
                    os.close(feed)
                    feed = -1
            for fd in ready:
                chunk = os.read(fd, 1 << 16)
                taken[fd] += chunk
                if not chunk:
                    waiting.discard(fd)
    finally:
        for fd in (*taken, *([feed] if feed >= 0 else [])):
            os.close(fd)
    out, err, status = taken.values()
    return int(status or _LOST), bytes(out), bytes(err)


def _feed(fd: int, rest: memoryview) -> memoryview:
    try:
        return rest[os.write(fd, rest[: 1 << 16]) :] if rest else rest
    except BlockingIOError:
        return rest
    except BrokenPipeError:
        return rest[:0]


def _serve(connection: socket.socket) -> None:
    for module in walk_packages(import_module("bireme.cli").__path__, "bireme.cli."):
        if not module.name.endswith(".serve"):
            import_module(module.name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forked
    while True:
        message, descriptors, _, _ = socket.recv_fds(connection, _MOST, 4)
        if not message:
            return
        if os.fork() == 0:
            connection.close()
            _become(json.loads(message), descriptors)
        for fd in descriptors:
            os.close(fd)


def _become(message: tuple[list[str], dict[str, str]], descriptors: Sequence[int]) -> NoReturn:
    """Run the command line with these words, environment and streams; tell the status and end."""
    status = _LOST
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        words, environ = message
        for number, fd in enumerate(descriptors[:3]):
            os.dup2(fd, number)
            os.close(fd)
        os.environ.clear()
        os.environ.update(environ)
        status = import_module("bireme.cli").main(words)
        sys.stdout.flush()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 - what an interpreter prints of whatever has come this far
        traceback.print_exc()
        status = 1
    finally:
        with contextlib.suppress(OSError):
            os.write(descriptors[3], str(status).encode())
        os._exit(status)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
