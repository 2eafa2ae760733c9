"""What is measured: each scenario takes the opened systems in turns, and gives samples, or why there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from bench.model import Plan, Sample, Skip
from bench.peers.session import Session
from bench.scenarios import commands, core, lives, memory, start, wait

Scenario = Callable[[Mapping[str, Session], Plan], Iterator[Sample | Skip]]

SCENARIOS: Mapping[str, Scenario] = {
    "start": start.measure,
    "exit": lives.measure,
    "shared": start.measure_shared,
    "wait": wait.measure,
    "memory": memory.measure,
    "exec": commands.measure_exec,
    "logs": commands.measure_logs,
    "core": core.measure,
}
