"""What a run consists of: how much is measured (``Plan``), and what came out (``Sample``, ``Skip``, ``Outcome``)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SCENARIOS = ("core", "memory", "start", "exit", "shared", "wait", "exec", "logs")
"""In this order: memory while nothing has run yet that would leave room to be used again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured."""

    sizes: tuple[int, ...] = (100, 300, 1000, 2000)
    """Containers started at once."""
    rounds: int = 3
    """Times that all systems take turns; sizes of 1000 and more are measured once."""
    probe: int = 100
    """Containers with which each system's best degree of parallelism is looked for, before it is measured."""
    probes: int = 2
    """Times that each degree is tried; the best counts."""
    lives: int = 50
    """Containers that each system runs to their exit, or commands it executes, in each round."""
    shared: int = 50
    """Containers that use one container's volumes."""
    waiters: tuple[int, ...] = (1, 1000)
    exits: int = 10
    """Exits waited for in each round."""
    running: tuple[int, ...] = (1, 100, 1000)
    """Containers that run while memory is counted."""
    mebibytes: int = 64
    """Output of the container whose log is followed."""
    actors: tuple[int, ...] = (0, 1000, 3000, 10000)
    """Containers that exist already when the core alone is measured."""
    decisions: int = 3200
    """Starts, and lives, of the core alone."""
    patience: float = 300.0
    """Seconds that one start of many containers may take, their removal included; what would take longer is skipped."""


QUICK = Plan(
    sizes=(20, 100), rounds=1, probe=20, probes=1, lives=10, shared=10, waiters=(1, 100), exits=3, running=(1, 20),
    mebibytes=8, actors=(0, 1000), decisions=800, patience=60.0,
)  # fmt: skip


def smallest(count: int) -> Plan:
    """Only proves that everything works: ``count`` of each."""
    return Plan(
        sizes=(count,), rounds=1, probe=count, probes=1, lives=count, shared=count, waiters=(count,), exits=1,
        running=(count,), mebibytes=1, actors=(0, count), decisions=10 * count, patience=30.0,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One measurement: of one system, in one round."""

    scenario: str
    system: str
    case: str
    """What was varied within the scenario: the way in (``library``, ``command``), or what else went on."""
    size: int
    """Of what the scenario varies: containers, waiters, actors."""
    parallel: int = 1
    round: int = 0
    unit: str = "s"
    values: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """What was not measured, and why."""

    scenario: str
    system: str
    size: int
    reason: str


@dataclass(slots=True, kw_only=True)
class Outcome:
    """All of a run."""

    host: dict[str, str]
    command: str
    plan: Plan
    systems: dict[str, str] = field(default_factory=dict)
    """What each system does and does not do."""
    versions: dict[str, str] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    skips: list[Skip] = field(default_factory=list)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Outcome:
        found: dict[str, Any] = json.loads(path.read_text())
        found["plan"] = Plan(**{key: _tupled(value) for key, value in found["plan"].items()})
        found["samples"] = [Sample(**sample) for sample in found["samples"]]
        found["skips"] = [Skip(**skip) for skip in found["skips"]]
        return cls(**found)

    def of(self, scenario: str, system: str | None = None, case: str | None = None) -> Iterator[Sample]:
        """The samples of a scenario, a system, a case."""
        for sample in self.samples:
            if sample.scenario == scenario and system in (None, sample.system) and case in (None, sample.case):
                yield sample


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
