"""From the kernel's exit to whoever waits for it.

The time of the exit is taken by a process of its own (``exits.c``), which waits for the same event in the kernel. Where
a system is asked over its socket, a thousand waiters are a thousand connections in one loop, not a thousand threads.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.processes import Failed

_PATIENCE = 30.0
_CHUNK = 1 << 16


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
    request = f"POST /containers/{container}/wait HTTP/1.1\r\nHost: bench\r\nContent-Length: 0\r\n\r\n".encode()
    with ExitStack() as stack:
        epoll = stack.enter_context(select.epoll())
        connections: list[int] = []
        for _ in range(waiters):
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            sock.settimeout(_PATIENCE)
            sock.connect(path)
            sock.sendall(request)
            connections.append(sock.fileno())
            epoll.register(sock, select.EPOLLIN | select.EPOLLET)
        _hear(epoll, connections, b"\r\n\r\n")
        watcher = Watcher(program, kill[0])
        os.kill(kill[0], signal.SIGKILL)
        answered = _hear(epoll, connections, b"StatusCode")
        exited = watcher.exited()
    return [(moment - exited) / 1e9 for moment in answered]


def _hear(epoll: select.epoll, connections: Sequence[int], words: bytes) -> list[int]:
    """When each has heard ``words``: CLOCK_MONOTONIC, in nanoseconds.

    What hearing costs is measured along with the systems, so it is little: one read, and no call to unregister.
    """
    moments: list[int] = []
    heard = dict.fromkeys(connections, b"")
    while heard:
        events = epoll.poll(_PATIENCE)
        if not events:
            raise Failed(f"no answer to a wait within {_PATIENCE:.0f} seconds")
        for fd, _ in events:
            found = os.read(fd, _CHUNK)
            if fd not in heard:
                continue
            if not found:
                raise Failed("a connection ended before the answer to a wait")
            heard[fd] += found
            if words in heard[fd]:
                moments.append(time.monotonic_ns())
                del heard[fd]
    return moments
