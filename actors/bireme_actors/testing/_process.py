"""A process that is only remembered: it ends when a test says so, by a signal, or when its time is over.

No task stands behind it. An end at a given time is seen by who waits for it, on trio's clock, so thousands of such
processes cost nothing while they "run".
"""

from __future__ import annotations

import math
import signal
from collections.abc import Callable

import trio

from bireme_actors._errors import DriverError
from bireme_actors._model import ExitStatus, Nanoseconds, ProcessSpec
from bireme_actors._ports import ByteSink, OutputSource
from bireme_actors.testing._faults import Faults

EVERY_SIGNAL = frozenset(int(signum) for signum in signal.valid_signals())


async def _happens(event: trio.Event, until: float) -> bool:
    """Wait for the event; False if it has not happened at that time."""
    if until == math.inf:
        await event.wait()
        return True
    with trio.move_on_at(until) as time:
        await event.wait()
    return not time.cancelled_caught


def _nobody() -> None:
    """Nobody sleeps."""


class FakeSource:
    """Output of a fake process: an ``OutputSource`` that a test feeds. It ends by itself at ``ends_at`` of its clock,
    which is seen by who reads.
    """

    def __init__(self) -> None:
        self.ends_at = math.inf
        self._data = bytearray()
        self._ended = False
        self._closed = False
        self._news = trio.Event()
        self._wake: Callable[[], object] = _nobody

    def feed(self, data: bytes) -> None:
        """More output."""
        self._data += data
        self._tell()

    def end(self) -> None:
        """No more output."""
        self._ended = True
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        wake, self._wake = self._wake, _nobody
        wake()

    def reopened(self) -> FakeSource:
        """Another end of the same pipe, with what has not been read."""
        other = FakeSource()
        other.ends_at, other._data, other._ended = self.ends_at, self._data, self._ended
        return other

    def when_ready(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        if self._data or self._ended:
            self._tell()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self._data or self._ended or self._closed:
            await trio.lowlevel.checkpoint()
        while not self._data and not self._ended and not self._closed:
            self._news = trio.Event()
            if not await _happens(self._news, self.ends_at):
                self._ended = True
        if self._closed:
            raise trio.ClosedResourceError("this output is closed")
        taken = bytes(self._data[:max_bytes])
        del self._data[:max_bytes]
        return taken

    async def aclose(self) -> None:
        self._closed = True
        self._wake = _nobody
        self._news.set()
        await trio.lowlevel.checkpoint()

    @property
    def closed(self) -> bool:
        """Whether its reader has closed it."""
        return self._closed


class FakeSink:
    """Input of a fake process: a ``ByteSink`` that keeps what is sent, or hands it on."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.closed = False
        self.full = False
        """While True a ``send_all`` waits for ever, as into a pipe that nobody reads."""
        self._closing = trio.Event()
        self._receiver: Callable[[bytes], object] = self.received.extend
        self._at_end: Callable[[], object] = list

    def connect(self, receiver: Callable[[bytes], object], at_end: Callable[[], object]) -> None:
        """Hand on what is sent, and its end."""
        self._receiver, self._at_end = receiver, at_end

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        if self.full:
            await self._closing.wait()
        if self.closed:
            raise trio.ClosedResourceError("this input is closed")
        self._receiver(bytes(data))

    async def aclose(self) -> None:
        if not self.closed:
            self.closed = True
            self._closing.set()
            self._at_end()
        await trio.lowlevel.checkpoint()


class FakeProcess:
    """A ``RunningContainer`` (or a process that ``exec`` added), told by ``spec`` what streams it has.

    ``obeys``: the signals that end it. ``signals``: those that have reached it, in order. While it is frozen no signal
    reaches it: they come when it is thawed.
    """

    def __init__(self, spec: ProcessSpec, pid: int, clock: Callable[[], Nanoseconds], faults: Faults) -> None:
        self.spec = spec
        self.pid = pid
        self.started = clock()
        self.obeys: frozenset[int] = EVERY_SIGNAL
        self.signals: list[int] = []
        self.frozen = False
        self.size: tuple[int, int] | None = None
        self.added: list[FakeProcess] = []
        self.output = FakeSource()
        self.errors = FakeSource()
        self.input = FakeSink()
        self.stdin: ByteSink | None = self.input if spec.open_stdin else None
        self.stdout: OutputSource | None = self.output
        self.stderr: OutputSource | None = None if spec.tty else self.errors
        self._clock = clock
        self._faults = faults
        self._pending: list[int] = []
        self._ends_at = math.inf
        self._code = 0
        self._exit: ExitStatus | None = None
        self._exited = trio.Event()
        self.when_ended: Callable[[], None] = lambda: None
        self.begin: Callable[[FakeProcess], None] = lambda process: None

    def __repr__(self) -> str:
        state = "runs" if self._exit is None else f"exited {int(self._exit)}"
        return f"<FakeProcess {self.pid} {' '.join(self.spec.args)}: {state}>"

    # For the test.

    @property
    def ended(self) -> bool:
        """Whether it has ended, as far as anybody has looked."""
        return self._exit is not None

    def exit(
        self, code: int = 0, *, signum: int | None = None, oom_killed: bool = False, keep_output: bool = False
    ) -> None:
        """End. With ``keep_output`` its output stays open, as if somebody else had it too. The first end counts."""
        if self._exit is not None:
            return
        self._exit = ExitStatus(
            code, signal=signum, oom_killed=oom_killed, started=self.started, finished=self._clock()
        )
        if not keep_output:
            self.output.end()
            self.errors.end()
        for process in self.added:
            process.exit(128 + signal.SIGKILL, signum=signal.SIGKILL)
        self._exited.set()
        self.when_ended()

    def exit_after(self, seconds: float, code: int = 0) -> None:
        """End by itself after so many seconds on trio's clock."""
        self._ends_at, self._code = trio.current_time() + seconds, code
        self.output.ends_at = self.errors.ends_at = self._ends_at
        if not seconds:
            self.exit(code)

    def hand_over(self) -> None:
        """Another engine gets its output from now on, through ends of its own."""
        self.output, self.errors = self.output.reopened(), self.errors.reopened()
        self.stdout = self.output
        self.stderr = None if self.spec.tty else self.errors

    # The port.

    async def wait(self) -> ExitStatus:
        """See ``Process.wait``."""
        if not await _happens(self._exited, self._ends_at):
            self.exit(self._code)
        assert self._exit is not None
        return self._exit

    async def kill(self, signum: int) -> None:
        """See ``Process.kill``."""
        await self._faults.perform("process.kill", str(self.pid), lambda: self._signal(signum))

    async def resize(self, rows: int, columns: int) -> None:
        """See ``Process.resize``."""
        await self._faults.perform("process.resize", str(self.pid), lambda: self._resize(rows, columns))

    async def set_frozen(self, frozen: bool) -> None:
        """See ``RunningContainer.set_frozen``."""
        await self._faults.perform("process.set_frozen", str(self.pid), lambda: self._set_frozen(frozen))

    async def exec(self, process: ProcessSpec) -> FakeProcess:
        """See ``RunningContainer.exec``."""
        return await self._faults.perform("process.exec", str(self.pid), lambda: self._add(process))

    def _signal(self, signum: int) -> None:
        if self.frozen:
            self._pending.append(signum)
        elif self._exit is None:
            self.signals.append(int(signum))
            if signum in self.obeys or signum == signal.SIGKILL:
                self.exit(128 + signum, signum=int(signum))

    def _resize(self, rows: int, columns: int) -> None:
        if self.spec.tty:
            self.size = rows, columns

    def _set_frozen(self, frozen: bool) -> None:
        self.frozen = frozen and self._exit is None
        if not frozen:
            pending, self._pending = self._pending, []
            for signum in pending:
                self._signal(signum)

    def _add(self, spec: ProcessSpec) -> FakeProcess:
        if self._exit is not None:
            raise DriverError(f"process {self.pid} has ended: nothing can be added to its container")
        added = FakeProcess(spec, self.pid + len(self.added) + 1, self._clock, self._faults)
        added.begin = self.begin
        self.begin(added)
        self.added.append(added)
        return added
