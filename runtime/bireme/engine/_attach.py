"""Taking part in a container's streams: its output from this very moment on, its input while the attachment lasts.

Output comes out of the container's log, so a reader who is slow, or gone, holds up neither the container nor anybody
else. Where no log is kept (``storage.LiveOutput``) a reader may hold it up, within bounds.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Self

import trio

from bireme.storage import ContainerLog, LiveOutput, LogEntry
from bireme_actors import ContainerActor, WaitCondition

_LEAVE_SECONDS = 1.0
"""How long leaving waits for another writer to the same input."""


class Attachment:
    """An ``async with`` block, registered when it is made; iterating gives what comes out until the run ends."""

    def __init__(
        self,
        actor: ContainerActor,
        log: ContainerLog | LiveOutput,
        *,
        stdin: bool,
        stdout: bool,
        stderr: bool,
        logs: bool,
        stream: bool,
    ) -> None:
        self._actor = actor
        self._wanted = {name for name, wanted in (("stdout", stdout), ("stderr", stderr)) if wanted}
        self._output = log.attach(logs=logs, follow=stream) if self._wanted else None
        self._follow = stream
        self._stdin = stdin and actor.config.open_stdin
        self._entries: AsyncGenerator[LogEntry] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leaving ends the input of a container that was made for one client only (``stdin_once``)."""
        if self._actor.process is not None:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _LEAVE_SECONDS):
                await self.send_eof()
        if self._entries is not None:
            await self._entries.aclose()
        if self._output is not None:
            await self._output.aclose()

    async def send(self, data: bytes) -> None:
        """Write to the container's standard input, once it runs; waits while it does not read.

        Without an open standard input, what is sent is dropped. Cancelled: some of it may be in.
        """
        if self._stdin:
            await self._actor.stdin.send(data)

    async def send_eof(self) -> None:
        """No more input from here; ends the container's input if it was made for one client (``stdin_once``).

        Cancelled before the container runs: leaving does it.
        """
        if self._stdin and self._actor.config.stdin_once and not self._actor.config.tty:
            await self._actor.stdin.send_eof()
        self._stdin = False

    def __aiter__(self) -> AsyncGenerator[LogEntry]:
        """What comes out, to one reader; ends with the run.

        Raises OutputLost where nothing is kept (log driver ``none``), for a reader that has held the container up.
        """
        self._entries = self._read()
        return self._entries

    async def _read(self) -> AsyncGenerator[LogEntry]:
        if self._output is None:
            if self._follow:
                await self._actor.exits.watch(WaitCondition.NEXT_EXIT, self._actor.state).wait()
            return
        async for entry in self._output:
            if entry.stream in self._wanted:
                yield entry
