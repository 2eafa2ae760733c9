"""The ports in memory: what the core needs of the outside, without an outside.

All of them meet the same ``Faults``, so that a test says in one place what goes wrong, how long things take, and where
the machine stops. They outlive a supervisor, as disks and detached launchers do: open another one on the same fakes
and adopt what they hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import trio

from bireme_actors._errors import DriverError, NotFound, StorageError
from bireme_actors._model import (
    ContainerConfig,
    ContainerId,
    ContainerRecord,
    ContainerState,
    Event,
    Nanoseconds,
    VolumeId,
)
from bireme_actors._supervisor import Ports
from bireme_actors.testing._faults import Faults
from bireme_actors.testing._process import FakeProcess
from bireme_actors.testing._programs import begin
from bireme_actors.testing._samples import virtual_time


class FakeDriver:
    """A ``ContainerDriver``. ``processes`` has the newest one of each container until ``cleanup``.

    Containers that ``refuse`` says do not start.
    """

    def __init__(self, faults: Faults, name: str = "native") -> None:
        self.name = name
        self.processes: dict[ContainerId, FakeProcess] = {}
        self.refuse: Callable[[ContainerConfig], bool] = lambda config: False
        self._faults = faults
        self._pid = 1000

    async def start(self, config: ContainerConfig) -> FakeProcess:
        """See ``ContainerDriver.start``."""
        return await self._faults.perform("driver.start", config.id, lambda: self._start(config))

    async def adopt(self, config: ContainerConfig) -> FakeProcess | None:
        """See ``ContainerDriver.adopt``."""
        return await self._faults.perform("driver.adopt", config.id, lambda: self._adopt(config))

    async def cleanup(self, config: ContainerConfig) -> None:
        """See ``ContainerDriver.cleanup``."""
        await self._faults.perform("driver.cleanup", config.id, lambda: self.processes.pop(config.id, None))

    def lose_all(self) -> None:
        """The host has been restarted: nothing runs, and how it ended nobody knows."""
        self.processes.clear()

    def _adopt(self, config: ContainerConfig) -> FakeProcess | None:
        process = self.processes.get(config.id)
        if process is not None:
            process.hand_over()
        return process

    def _start(self, config: ContainerConfig) -> FakeProcess:
        if self.refuse(config):
            raise DriverError(f"container {config.name} was refused")
        self._pid += 100
        process = FakeProcess(config.process(), self._pid, virtual_time, self._faults)
        process.begin = begin
        begin(process)
        self.processes[config.id] = process
        return process


class MemoryVolumes:
    """A ``VolumeStore``. ``placed`` maps each volume to the time it was made at."""

    def __init__(self, faults: Faults) -> None:
        self.placed: dict[VolumeId, Nanoseconds] = {}
        self._faults = faults

    async def remove(self, volume: VolumeId) -> None:
        """See ``VolumeStore.remove``."""
        await self._faults.perform("volumes.remove", volume, lambda: self.placed.pop(volume, None))

    def path(self, volume: VolumeId) -> str:
        """See ``VolumeStore.path``."""
        return f"/memory/volumes/{volume}"

    def list(self) -> Iterable[tuple[VolumeId, Nanoseconds]]:
        """See ``VolumeStore.list``."""
        return list(self.placed.items())


class MemoryContainers:
    """A ``ContainerStore``. Writing what is not there is a StorageError, so that nothing removed can come back."""

    def __init__(self, faults: Faults, volumes: MemoryVolumes) -> None:
        """``volumes``: where those are that containers are made with."""
        self.records: dict[ContainerId, ContainerRecord] = {}
        self._volumes = volumes
        self._faults = faults

    async def create(self, config: ContainerConfig) -> None:
        """See ``ContainerStore.create``."""
        await self._faults.perform("containers.create", config.id, lambda: self._create(config))

    async def update(self, config: ContainerConfig) -> None:
        """See ``ContainerStore.update``."""
        await self._faults.perform("containers.update", config.id, lambda: self._replace(config.id, config=config))

    def save_state(self, container: ContainerId, state: ContainerState) -> None:
        """See ``ContainerStore.save_state``."""
        self._faults.perform_now("containers.save_state", container, lambda: self._replace(container, state=state))

    async def remove(self, container: ContainerId) -> None:
        """See ``ContainerStore.remove``."""
        await self._faults.perform("containers.remove", container, lambda: self.records.pop(container, None))

    def load(self) -> Iterable[ContainerRecord]:
        """See ``ContainerStore.load``."""
        return list(self.records.values())

    def _create(self, config: ContainerConfig) -> None:
        self.records[config.id] = ContainerRecord(config, ContainerState())
        for mount in config.mounts:
            if mount.owned:
                self._volumes.placed[mount.volume] = virtual_time()

    def _replace(self, container: ContainerId, **changes: ContainerConfig | ContainerState) -> None:
        if container not in self.records:
            raise StorageError(f"container {container} has no record: nothing can be written to it")
        self.records[container] = replace(self.records[container], **changes)  # type: ignore[arg-type]  # by field name


class MemoryLog:
    """An ``OutputLog``: ``entries`` are (stream, data), ``runs`` counts the ends; ``full`` is for the test to say."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, bytes]] = []
        self.runs = 0
        self.full = False
        self.room = trio.Event()
        """To be set by the test that has said ``full``."""

    def append(self, stream: str, data: bytes) -> None:
        """See ``OutputLog.append``."""
        self.entries.append((stream, data))

    async def wait_room(self) -> None:
        """See ``OutputLog.wait_room``."""
        await self.room.wait()

    def end(self) -> None:
        """See ``OutputLog.end``."""
        self.runs += 1

    def output(self, stream: str = "stdout") -> bytes:
        """All of one stream."""
        return b"".join(data for name, data in self.entries if name == stream)


class MemoryLogs:
    """A ``LogStore``. ``opened`` are the logs that have not been closed."""

    def __init__(self) -> None:
        self.opened: dict[ContainerId, MemoryLog] = {}

    def open_log(self, container: ContainerId) -> MemoryLog:
        """See ``LogStore.open_log``."""
        return self.opened.setdefault(container, MemoryLog())

    def close_log(self, container: ContainerId) -> None:
        """See ``LogStore.close_log``."""
        self.opened.pop(container, None)


class EventRecorder:
    """An ``EventSink`` that keeps everything."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        """See ``EventSink.emit``."""
        self.events.append(event)

    def actions(self, subject: str) -> list[str]:
        """What has happened to one container or volume, in order."""
        return [event.action for event in self.events if event.id == subject]


@dataclass
class Fakes:
    """One of each, on the same faults."""

    faults: Faults = field(default_factory=Faults)

    def __post_init__(self) -> None:
        self.driver = FakeDriver(self.faults)
        self.volumes = MemoryVolumes(self.faults)
        self.containers = MemoryContainers(self.faults, self.volumes)
        self.logs = MemoryLogs()
        self.events = EventRecorder()

    def ports(self) -> Ports:
        """For ``open_supervisor``."""
        return Ports(
            drivers={self.driver.name: self.driver},
            volumes=self.volumes,
            containers=self.containers,
            logs=self.logs,
            events=self.events,
            clock=virtual_time,
        )

    def process(self, container: str) -> FakeProcess:
        """The newest process of a container. Raises NotFound."""
        try:
            return self.driver.processes[ContainerId(container)]
        except KeyError:
            raise NotFound(f"container {container} has no process") from None

    def leftovers(self) -> list[str]:
        """What is still there: processes, volumes, records, logs; a line each."""
        return [
            *(f"process of {container}: {process}" for container, process in self.driver.processes.items()),
            *(f"volume {volume}" for volume in self.volumes.placed),
            *(f"record of {container}" for container in self.containers.records),
            *(f"log of {container}" for container in self.logs.opened),
        ]
