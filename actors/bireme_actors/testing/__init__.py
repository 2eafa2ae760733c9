"""For tests, of this project and of programs that embed it: the ports in memory, and what every implementation does."""

from __future__ import annotations

from bireme_actors.testing._contracts import Check, checks
from bireme_actors.testing._driver_contract import DriverBench, DriverContract
from bireme_actors.testing._fakes import (
    EventRecorder,
    FakeDriver,
    Fakes,
    MemoryContainers,
    MemoryLog,
    MemoryLogs,
    MemoryVolumes,
)
from bireme_actors.testing._faults import Crash, Faults, Hold
from bireme_actors.testing._process import FakeProcess, FakeSink, FakeSource
from bireme_actors.testing._samples import EPOCH, rich_config, rich_state, sample_config, virtual_time
from bireme_actors.testing._store_contracts import (
    ContainerStoreBench,
    ContainerStoreContract,
    LogBench,
    LogStoreContract,
    VolumeBench,
    VolumeStoreContract,
)

__all__ = [
    "EPOCH",
    "Check",
    "ContainerStoreBench",
    "ContainerStoreContract",
    "Crash",
    "DriverBench",
    "DriverContract",
    "EventRecorder",
    "FakeDriver",
    "FakeProcess",
    "FakeSink",
    "FakeSource",
    "Fakes",
    "Faults",
    "Hold",
    "LogBench",
    "LogStoreContract",
    "MemoryContainers",
    "MemoryLog",
    "MemoryLogs",
    "MemoryVolumes",
    "VolumeBench",
    "VolumeStoreContract",
    "checks",
    "rich_config",
    "rich_state",
    "sample_config",
    "virtual_time",
]
