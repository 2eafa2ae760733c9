"""The ports: what the core needs of the outside, as Protocols of at most six methods.

Cancellation, for every ``async`` method here unless it says otherwise: either the method had its whole effect or it
had none; what it had half made is undone before ``Cancelled`` leaves it. Errors leave as ``BiremeError`` kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from bireme_actors._model import (
    ContainerConfig,
    ContainerId,
    ContainerRecord,
    ContainerState,
    Event,
    ExitStatus,
    Nanoseconds,
    ProcessSpec,
    VolumeId,
)


class ByteSource(Protocol):
    """Where a process's output comes from (``trio.abc.ReceiveStream`` fits)."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """The next bytes; ``b""`` at the end of the stream."""
        ...

    async def aclose(self) -> None: ...


class OutputSource(ByteSource, Protocol):
    """What a process prints. Most of it is nothing, most of the time: nobody need wait for it."""

    def when_ready(self, wake: Callable[[], object]) -> None:
        """Call ``wake``, once, as soon as there is something to read or the end; never after it has been closed."""
        ...


class ByteSink(Protocol):
    """Where a process's input goes (``trio.abc.SendStream`` fits)."""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None: ...

    async def aclose(self) -> None:
        """Ends the process's input."""
        ...


class Process(Protocol):
    """A process that runs in a container."""

    pid: int
    """In the host's numbering."""
    started: Nanoseconds
    stdin: ByteSink | None
    stdout: OutputSource | None
    """With a terminal: everything the process prints; ``stderr`` is then None."""
    stderr: OutputSource | None

    async def wait(self) -> ExitStatus:
        """The exit, for any number of waiters, before or after it. Cancelling leaves the process as it is."""
        ...

    async def kill(self, signum: int) -> None:
        """Send a signal; nothing happens if the process has ended."""
        ...

    async def resize(self, rows: int, columns: int) -> None:
        """Set the terminal's size in characters; nothing happens without a terminal."""
        ...


class RunningContainer(Process, Protocol):
    """A container's first process, and what only a whole container can do."""

    async def set_frozen(self, frozen: bool) -> None:
        """Stop or resume every process of the container at once (cgroup freezer); nothing happens after the end."""
        ...

    async def exec(self, process: ProcessSpec) -> Process:
        """Add a process. Raises CommandNotFound, CommandNotExecutable, DriverError."""
        ...


class ContainerDriver(Protocol):
    """Makes containers run: the namespaces, the mounts of ``mount_table`` in its order, the process."""

    name: str

    async def start(self, config: ContainerConfig) -> RunningContainer:
        """Returns once the command has been executed. Raises CommandNotFound, CommandNotExecutable, DriverError.

        Cancelled or failed: no process, mount or cgroup of it is left.
        """
        ...

    async def adopt(self, config: ContainerConfig) -> RunningContainer | None:
        """Take over a container that an earlier engine left running; None if it does not run and left no exit."""
        ...

    async def cleanup(self, config: ContainerConfig) -> None:
        """Free what outlives the process (cgroup, bundle) after its exit. Idempotent."""
        ...


class VolumeStore(Protocol):
    """Volumes as directories. A new one is made along with its container (``ContainerStore``)."""

    async def remove(self, volume: VolumeId) -> None:
        """Remove the directory and all it holds. Idempotent. Raises StorageError."""
        ...

    def path(self, volume: VolumeId) -> str:
        """The volume's absolute path on the host."""
        ...

    def list(self) -> Iterable[tuple[VolumeId, Nanoseconds]]:
        """Every volume, with the time it was created."""
        ...


class ContainerStore(Protocol):
    """The containers on disk: the writable layer of each, and its record, which is the source of truth."""

    async def create(self, config: ContainerConfig) -> None:
        """Make all of a container: its writable layer, the volumes it owns, its record. Durable on return.

        Into each volume goes what the image has at its path: owner, mode, times, xattrs and links are kept. None is in
        its place before the record is durable; a start-up after a crash finds all of it or nothing. Raises
        ImageNotFound, InvalidConfig if the image has something else than a directory there, StorageError if the disk
        refuses.
        """
        ...

    async def update(self, config: ContainerConfig) -> None:
        """Replace the configuration (rename, update); atomic, durable on return."""
        ...

    def save_state(self, container: ContainerId, state: ContainerState) -> None:
        """Replace the state; atomic, and at once: nobody waits for the disk. Raises StorageError."""
        ...

    async def remove(self, container: ContainerId) -> None:
        """Remove the writable layer and the record; volumes stay. Idempotent.

        After a crash in the middle the record is whole or gone.
        """
        ...

    def load(self) -> Iterable[ContainerRecord]:
        """Every whole record, at start-up."""
        ...


class OutputLog(Protocol):
    """One container's output. Readers follow at their own pace what is kept, so none can hold the container up; what
    is not kept waits for its readers in memory, of which there is only so much.
    """

    @property
    def full(self) -> bool:
        """Whether readers should be waited for before more is appended; never of a log that is kept."""
        ...

    def append(self, stream: str, data: bytes) -> None:
        """Take ``data`` of ``stdout`` or ``stderr``, stamped now. Never raises: a full disk loses output, not work."""
        ...

    async def wait_room(self) -> None:
        """Wait until it is not full any more, for a bounded time: who reads nothing at all is given up.

        Cancelled: nothing changes, and more may be appended all the same.
        """
        ...

    def end(self) -> None:
        """The process has ended and all of its output is in: followers finish."""
        ...


class LogStore(Protocol):
    """Opens the output logs."""

    def open_log(self, container: ContainerId) -> OutputLog:
        """The container's log, to go on with after what it holds already."""
        ...

    def close_log(self, container: ContainerId) -> None:
        """Close the log and let its followers end; its file goes with the container's directory."""
        ...


class EventSink(Protocol):
    """Where events go."""

    def emit(self, event: Event) -> None:
        """Hand on one event; never blocks, never raises."""
        ...


class Clock(Protocol):
    """Wall-clock time, so that tests can set it."""

    def __call__(self) -> Nanoseconds: ...
