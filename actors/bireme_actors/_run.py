"""One run of a container: its process, from the moment the command has been executed to the exit.

Theory of operation. A frozen process hears no signal until it is thawed, so whoever ends one thaws it; and freezing
takes time, in which the container may be stopped. So freezing and thawing follow one another (``freezing``), and each
looks at the state when its turn has come and again when it is done.
"""

from __future__ import annotations

import signal

import trio

from bireme_actors import _messages as m
from bireme_actors._actor import protected
from bireme_actors._errors import BiremeError
from bireme_actors._mailbox import Reply
from bireme_actors._ports import Process, RunningContainer
from bireme_actors._streams import close


class Run:
    """A container's process, and whether it is frozen."""

    __slots__ = ("freezing", "frozen", "process")

    def __init__(self, process: RunningContainer, *, frozen: bool = False) -> None:
        self.process = process
        self.frozen = frozen
        self.freezing = trio.Lock()

    async def set_frozen(self, frozen: bool) -> None:
        """Freeze or thaw; ``freezing`` is held by the caller. Raises DriverError."""
        await self.process.set_frozen(frozen)
        self.frozen = frozen

    async def thaw(self) -> bool:
        """Thaw it if it is frozen, or about to be. Returns whether it was. Raises DriverError."""
        async with self.freezing:
            was_frozen = self.frozen
            if was_frozen:
                await self.set_frozen(False)
            return was_frozen

    @protected
    async def exec(self, message: m.Exec, reply: Reply[Process]) -> None:
        """Add a process and answer with it; ended at once if nobody waits for it any more."""
        try:
            process = await self.process.exec(message.process)
        except BiremeError as error:
            reply.fail(error)
            return
        if reply.wanted:
            reply.set(process)
        else:
            await _discard(process)

    @protected
    async def resize(self, message: m.Resize, reply: Reply[None]) -> None:
        """Set the terminal's size and answer."""
        try:
            await self.process.resize(message.rows, message.columns)
        except BiremeError as error:
            reply.fail(error)
        else:
            reply.set(None)


async def _discard(process: Process) -> None:
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            await close(stream)
    try:
        await process.kill(signal.SIGKILL)
    except BiremeError:
        return  # then it ends with the container
