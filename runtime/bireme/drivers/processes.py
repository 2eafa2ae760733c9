"""What runs, as the core sees it: processes over what the launcher has answered, and containers that have ended.

The launcher remembers a container that has ended, with copies of its streams, so that an engine which dies loses
neither exit nor output. It is told to forget once the exit has been told here and the output is closed; beside, so that
nobody who waits for the exit waits for that.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import trio

from bireme.drivers.plan import Requests
from bireme.drivers.readiness import Readiness
from bireme.drivers.streams import Input, Output, Terminal
from bireme_actors import (
    ByteSink,
    Conflict,
    ContainerConfig,
    DriverError,
    ExitStatus,
    InvalidConfig,
    OutputSource,
    Process,
    ProcessSpec,
)

if TYPE_CHECKING:
    from bireme.launcher.client import Launched
    from bireme.launcher.launchers import Launchers
    from bireme.launcher.requests import ExitFacts

_LAST_SECONDS = 10.0
"""The longest a request may take that ends something and is not to be cancelled."""

_LARGEST_SIZE = (1 << 16) - 1


class NativeProcess:
    """``bireme_actors.Process``: one process that the launcher has started."""

    stdin: ByteSink | None
    stdout: OutputSource | None
    stderr: OutputSource | None

    def __init__(self, launcher: Launchers, readiness: Readiness, launched: Launched, *, open_stdin: bool) -> None:
        """``open_stdin``: whether a terminal is to be written to; for pipes the launcher knows."""
        self._launcher = launcher
        self._readiness = readiness
        self._launched = launched
        self.pid = launched.pid
        self.started = launched.started
        self._pipe = Input(launched.stdin, self._input_closed) if launched.stdin is not None else None
        self._terminal: Terminal | None = None
        self._outputs: list[Output] = []
        if launched.terminal is not None:
            self._terminal = Terminal(launched.terminal, self._output_closed, readiness)
            self._outputs = [self._terminal]
            self.stdin = self._terminal.input if open_stdin else None
        else:
            streams = (launched.stdout, launched.stderr)
            self._outputs = [Output(stream, self._output_closed, readiness) for stream in streams if stream is not None]
            self.stdin = self._pipe
        self.stdout, self.stderr = (*self._outputs, None, None)[:2]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._launched!r}>"

    async def wait(self) -> ExitStatus:
        """The exit, for any number of waiters, before or after it. Cancelling leaves the process as it is."""
        status = _exit_status(await self._launched.wait())
        if self._pipe is not None:
            self._pipe.close()
        return status

    async def kill(self, signum: int) -> None:
        """Send a signal; nothing happens if the process has ended. Cancelled: it may have been sent."""
        await self._launcher.kill(self._launched.process, signum)

    async def resize(self, rows: int, columns: int) -> None:
        """Set the terminal's size in characters; nothing happens without a terminal. Raises InvalidConfig."""
        await trio.lowlevel.checkpoint()
        if not (0 <= rows <= _LARGEST_SIZE and 0 <= columns <= _LARGEST_SIZE):
            raise InvalidConfig(f"invalid terminal size {rows}x{columns}: 0 to {_LARGEST_SIZE} each")
        if self._terminal is not None:
            self._terminal.resize(rows, columns)

    async def _input_closed(self) -> None:
        """The launcher keeps no copy of the input of a process that was added."""

    async def _output_closed(self) -> None:
        """Nor of its output."""


class NativeContainer(NativeProcess):
    """``bireme_actors.RunningContainer``: a container's first process."""

    def __init__(
        self,
        launcher: Launchers,
        readiness: Readiness,
        requests: Requests,
        config: ContainerConfig,
        launched: Launched,
    ) -> None:
        super().__init__(launcher, readiness, launched, open_stdin=config.open_stdin)
        self._requests = requests
        self._config = config
        self.forgotten = False
        """Whether the launcher has been told to forget it."""
        self._exit_told = False

    async def wait(self) -> ExitStatus:
        """As of any process."""
        status = await super().wait()
        self._exit_told = True
        self._forget_if_done()
        return status

    async def set_frozen(self, frozen: bool) -> None:
        """Stop or resume every process of the container at once; returns when they have.

        What has ended counts as resumed. Raises Conflict, DriverError. Cancelled: it may have had its effect.
        """
        try:
            await self._launcher.freeze(self._config.id, frozen)
        except Conflict:
            if frozen:
                raise

    async def exec(self, process: ProcessSpec) -> NativeProcess:
        """Add a process. Raises CommandNotFound, CommandNotExecutable, InvalidConfig, DriverError.

        Cancelled: it is not there.
        """
        request = await self._requests.exec(self._config, process)
        try:
            launched = await self._launcher.exec(request)
        except Conflict as error:
            raise DriverError(str(error)) from None
        return NativeProcess(self._launcher, self._readiness, launched, open_stdin=process.open_stdin)

    async def forget(self) -> None:
        """Have the launcher forget it, and close what is left of its output. Idempotent.

        Raises Conflict while it runs.
        """
        if not self.forgotten:
            self.forgotten = True  # from now on: whoever starts it next is heard after this
            try:
                await self._launcher.cleanup(self._config.id)
            except BaseException:
                self.forgotten = False
                raise
        for output in self._outputs:
            output.close()

    async def _input_closed(self) -> None:
        with trio.move_on_after(_LAST_SECONDS, shield=True), contextlib.suppress(DriverError):
            await self._launcher.close_stdin(self._launched.process)

    async def _output_closed(self) -> None:
        self._forget_if_done()

    def _forget_if_done(self) -> None:
        if self._exit_told and not self.forgotten and all(output.closed for output in self._outputs):
            self._launcher.later(self._forget)

    async def _forget(self) -> None:
        with trio.move_on_after(_LAST_SECONDS, shield=True), contextlib.suppress(DriverError):
            await trio.lowlevel.checkpoint()  # those who have just been told of the exit go first
            await self.forget()


class EndedContainer:
    """``bireme_actors.RunningContainer`` that has ended while no engine ran; only its exit is left of it."""

    stdin: ByteSink | None = None
    stdout: OutputSource | None = None
    stderr: OutputSource | None = None
    pid = 0

    def __init__(self, facts: ExitFacts) -> None:
        self._facts = facts
        self.started = facts["started"]

    async def wait(self) -> ExitStatus:
        """The exit."""
        await trio.lowlevel.checkpoint()
        return _exit_status(self._facts)

    async def kill(self, signum: int) -> None:
        """Nothing is there to get it."""
        await trio.lowlevel.checkpoint()

    async def resize(self, rows: int, columns: int) -> None:
        """Nothing is there to see it."""
        await trio.lowlevel.checkpoint()

    async def set_frozen(self, frozen: bool) -> None:
        """Raises Conflict for stopping what does not run."""
        await trio.lowlevel.checkpoint()
        if frozen:
            raise Conflict(self._not_running())

    async def exec(self, process: ProcessSpec) -> Process:
        """Raises DriverError."""
        await trio.lowlevel.checkpoint()
        raise DriverError(self._not_running())

    def _not_running(self) -> str:
        return f"container {self._facts['container'][:12]} is not running"


def _exit_status(facts: ExitFacts) -> ExitStatus:
    return ExitStatus(
        facts["code"],
        signal=facts["signal"] or None,
        oom_killed=facts["oom_killed"],
        started=facts["started"],
        finished=facts["finished"],
    )
