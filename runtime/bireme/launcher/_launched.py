"""What the engine holds of a process that the launcher has started, and of a request under way."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

import trio

from bireme.launcher.requests import ExitFacts
from bireme_actors import BiremeError

_KILLED = 9


class Launched:
    """A process that has been started, a container's first or an exec. Its streams belong to whoever started it."""

    def __init__(self, process: int, pid: int, started: int, streams: Mapping[str, int]) -> None:
        self.process = process
        self.pid = pid
        """In the host's numbering."""
        self.started = started
        """Nanoseconds since the epoch."""
        self.plain = False
        """Whether it was set up the fast way (``_plain``); not told of what ran before."""
        opened = {name: trio.lowlevel.FdStream(fd) for name, fd in streams.items()}
        self.stdin = opened.get("stdin")
        self.stdout = opened.get("stdout")
        self.stderr = opened.get("stderr")
        self.terminal = opened.get("terminal")
        self._exit: ExitFacts | None = None
        self._ended = trio.Event()

    def __repr__(self) -> str:
        state = "runs" if self._exit is None else f"exited {self._exit['code']}"
        return f"<Launched {self.process}, pid {self.pid}: {state}>"

    @property
    def exit(self) -> ExitFacts | None:
        """None as long as it runs."""
        return self._exit

    async def wait(self) -> ExitFacts:
        """The exit, for any number of waiters, before or after it. Cancelling leaves the process as it is."""
        await self._ended.wait()
        assert self._exit is not None
        return self._exit

    def note_exit(self, facts: ExitFacts) -> None:
        """The process has ended; the first note counts."""
        if self._exit is None:
            self._exit = facts
            self._ended.set()

    def note_death(self, container: str) -> None:
        """The launcher has ended, and the kernel has killed the process along with it."""
        self.note_exit(
            {
                "process": self.process,
                "container": container,
                "code": 128 + _KILLED,
                "signal": _KILLED,
                "oom_killed": False,
                "started": self.started,
                "finished": time.time_ns(),
            }
        )

    async def aclose(self) -> None:
        """Close its streams."""
        for stream in (self.stdin, self.stdout, self.stderr, self.terminal):
            if stream is not None:
                await stream.aclose()


class Ask:
    """A request under way."""

    __slots__ = ("container", "done", "failure", "number", "operation", "result", "wanted")

    def __init__(self, number: int, operation: str, container: str = "") -> None:
        self.number = number
        self.operation = operation
        self.container = container
        """Of a ``start`` or ``exec``: where the process is to run."""
        self.done = trio.Event()
        self.result: Any = None
        """For a ``start`` or ``exec`` the Launched."""
        self.failure: BiremeError | None = None
        self.wanted = True
        """False once nobody waits for the answer any more."""

    def succeed(self, result: Any) -> None:
        """The answer is here."""
        self.result = result
        self.done.set()

    def fail(self, failure: BiremeError) -> None:
        """The launcher refused, or is gone."""
        self.failure = failure
        self.done.set()

    def outcome(self) -> Any:
        """The answer. Raises what the launcher refused with."""
        if self.failure is not None:
            raise self.failure
        return self.result


def close_descriptors(descriptors: list[int]) -> None:
    """Close what came with a message that nobody wants."""
    for fd in descriptors:
        os.close(fd)
    descriptors.clear()
