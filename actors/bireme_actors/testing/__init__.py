"""For tests, of this project and of programs that embed it: the ports in memory, and what every implementation does."""

from __future__ import annotations

from bireme_actors.testing._contracts import (
    Check,
    DriverBench,
    DriverContract,
    LogBench,
    LogStoreContract,
    RecordBench,
    RecordStoreContract,
    RootfsBench,
    RootfsStoreContract,
    VolumeBench,
    VolumeStoreContract,
    checks,
    rich_config,
    rich_state,
)
from bireme_actors.testing._fakes import (
    EPOCH,
    EventRecorder,
    FakeDriver,
    Fakes,
    MemoryLog,
    MemoryLogs,
    MemoryRecords,
    MemoryRootfs,
    MemoryVolumes,
    sample_config,
    virtual_time,
)
from bireme_actors.testing._faults import Crash, Faults, Hold
from bireme_actors.testing._process import FakeProcess, FakeSink, FakeSource

__all__ = [
    "EPOCH",
    "Check",
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
    "MemoryLog",
    "MemoryLogs",
    "MemoryRecords",
    "MemoryRootfs",
    "MemoryVolumes",
    "RecordBench",
    "RecordStoreContract",
    "RootfsBench",
    "RootfsStoreContract",
    "VolumeBench",
    "VolumeStoreContract",
    "checks",
    "rich_config",
    "rich_state",
    "sample_config",
    "virtual_time",
]
