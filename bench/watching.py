"""From the kernel's exit to whoever waits for it.

The time of the exit is taken by a process of its own (``exits.c``), which waits for the same event in the kernel. Where
a system is asked over its socket, a thousand waiters are a thousand connections in one loop, not a thousand threads.
"""

from __future__ import annotations

import selectors
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from bench.processes import Failed

_PATIENCE = 30.0


class Watcher:
    """Learns when a process, known by its number on the host, ends."""

    def __init__(self, program: Path, pid: int) -> None:
        self._process = subprocess.Popen([str(program), str(pid)], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            self._process.wait()
            raise Failed(f"process {pid} cannot be watched")

    def exited(self) -> int:
        """CLOCK_MONOTONIC, in nanoseconds; waits for it."""
        text, _ = self._process.communicate(timeout=_PATIENCE)
        return int(text)


def wait_over_socket(path: str, container: str, waiters: int, kill: list[int], program: Path) -> list[float]:
    """Seconds from the exit of the process ``kill[0]``, which is killed here, to each waiter's answer.

    Docker's Engine API: the head of the answer comes at once, the body at the exit.
    """
    import os
    import signal

    request = f"POST /containers/{container}/wait HTTP/1.1\r\nHost: bench\r\nContent-Length: 0\r\n\r\n".encode()
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        heard: dict[socket.socket, bytes] = {}
        for _ in range(waiters):
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            sock.settimeout(_PATIENCE)
            sock.connect(path)
            sock.sendall(request)
            heard[sock] = b""
            selector.register(sock, selectors.EVENT_READ)
        _hear_heads(selector, heard)
        watcher = Watcher(program, kill[0])
        os.kill(kill[0], signal.SIGKILL)
        answered = _hear_bodies(selector, heard)
        exited = watcher.exited()
    return [(moment - exited) / 1e9 for moment in answered]


def _hear_heads(selector: selectors.BaseSelector, heard: dict[socket.socket, bytes]) -> None:
    waiting = set(heard)
    while waiting:
        for key, _ in _events(selector):
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            heard[sock] += sock.recv(4096)
            if b"\r\n\r\n" in heard[sock]:
                waiting.discard(sock)


def _hear_bodies(selector: selectors.BaseSelector, heard: dict[socket.socket, bytes]) -> list[int]:
    answered: list[int] = []
    while len(answered) < len(heard):
        for key, _ in _events(selector):
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            found = sock.recv(4096)
            heard[sock] += found
            if b"StatusCode" in heard[sock] or not found:
                answered.append(time.monotonic_ns())
                selector.unregister(sock)
    return answered


def _events(selector: selectors.BaseSelector) -> list[tuple[selectors.SelectorKey, int]]:
    events = selector.select(_PATIENCE)
    if not events:
        raise Failed(f"no answer to a wait within {_PATIENCE:.0f} seconds")
    return events
