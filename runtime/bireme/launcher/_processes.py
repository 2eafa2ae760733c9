"""What the launcher knows of each process it has cloned, and the pipes it gives to it."""

from __future__ import annotations

import contextlib
import os
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bireme.launcher._cgroups import Group
    from bireme.launcher._plain import Attempt
    from bireme.launcher.requests import ExitFacts, ProcessRequest

STREAMS = ("stdin", "stdout", "stderr", "terminal")


class Pipes:
    """Both ends of a process's standard streams."""

    __slots__ = ("inner", "outer")

    def __init__(self, process: ProcessRequest) -> None:
        self.inner = [-1, -1, -1]
        """For the child: standard input, output, error."""
        self.outer: dict[str, int] = {}
        """For the engine, by name."""
        try:
            if process["stdin"] and not process["tty"]:
                self.inner[0], self.outer["stdin"] = os.pipe()
            if not process["tty"]:
                self.outer["stdout"], self.inner[1] = os.pipe()
                self.outer["stderr"], self.inner[2] = os.pipe()
        except OSError:
            self.close_inner()
            close_all(self.outer)
            raise

    def close_inner(self) -> None:
        """The child has its own copies."""
        for fd in self.inner:
            if fd >= 0:
                os.close(fd)
        self.inner = [-1, -1, -1]


class Record:
    """One process, from its clone until its exit has been told."""

    __slots__ = (
        "alive",
        "attempt",
        "container",
        "doomed",
        "exit",
        "exit_file",
        "failure",
        "freeze_id",
        "freezing",
        "frozen",
        "group",
        "heir",
        "helper",
        "host_pid",
        "instead",
        "number",
        "pid",
        "pidfd",
        "plain",
        "ready",
        "request_id",
        "result",
        "started",
        "status",
        "streams",
        "tty",
    )

    def __init__(self, number: int, request_id: int, container: str, pid: int, pidfd: int) -> None:
        self.number = number
        self.request_id = request_id
        """Of the request still to be answered; 0 once it has been."""
        self.container = container
        self.pid = pid
        """In the launcher's own numbering."""
        self.alive = True
        """Not reaped yet."""
        self.pidfd = pidfd
        """While it is being started; -1 afterwards."""
        self.helper = False
        """Whether this is still the helper of another runtime, not yet the container's first process (``farm``)."""
        self.heir = 0
        """That process, once the helper has named it."""
        self.doomed = False
        """Given up before it was started: killed, or to be killed as soon as it is there."""
        self.host_pid = 0
        self.status: socket.socket | None = None
        """Where the child says how far it got; None once it has hung up."""
        self.ready = False
        self.plain = False
        """Whether it was set up as a list of system calls."""
        self.attempt: Attempt | None = None
        """While it is."""
        self.instead: Callable[[], None] | None = None
        """What to do if that fails."""
        self.failure: dict[str, str] | None = None
        self.result: dict[str, object] | None = None
        self.started = 0
        """Nanoseconds since the epoch; 0 until the command has been executed."""
        self.streams: dict[str, int] = {}
        self.tty = False
        self.group: Group | None = None
        """Set for a container's first process."""
        self.exit: ExitFacts | None = None
        self.exit_file = ""
        self.frozen = False
        self.freezing = -1
        """Descriptor of the events file that is watched for the freezer's answer."""
        self.freeze_id = 0
        """Of the request that waits for it."""

    @contextlib.contextmanager
    def opened(self) -> Iterator[int]:
        """A pidfd of it, while it has not been reaped."""
        pidfd = os.pidfd_open(self.pid)
        try:
            yield pidfd
        finally:
            os.close(pidfd)

    def close_pidfd(self) -> None:
        """What is open is copied, and closed again, with every new process."""
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1

    def close_streams(self) -> None:
        """Let go of the launcher's own copies of the engine's ends."""
        close_all(self.streams)


def close_all(descriptors: dict[str, int]) -> None:
    """Close and forget."""
    for fd in descriptors.values():
        os.close(fd)
    descriptors.clear()
