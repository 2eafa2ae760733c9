"""Figures from samples: rates, percentiles, what the last containers cost beside the first."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from bench.model import Outcome

HUNDRED = 100


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100).__int__() - 1)]


def rates(outcome: Outcome, system: str, size: int, scenario: str = "start") -> list[float]:
    """Containers a second until all ran, in each round."""
    return [size / max(s.values) for s in outcome.of(scenario, system, "running") if s.size == size]


def rate(outcome: Outcome, system: str, size: int, scenario: str = "start") -> float | None:
    """The median of the rounds."""
    found = rates(outcome, system, size, scenario)
    return statistics.median(found) if found else None


def comparable(outcome: Outcome, system: str, size: int) -> int:
    """The largest number of containers up to ``size`` of which a system was measured; ``size`` if there is none."""
    measured = {s.size for s in outcome.of("start", system, "running") if s.size <= size}
    return max(measured, default=size)


def parallel(outcome: Outcome, system: str, scenario: str = "start") -> int | None:
    """The degree of parallelism that was best for a system."""
    return next((s.parallel for s in outcome.of(scenario, system, "running")), None)


def sizes(outcome: Outcome, scenario: str = "start") -> list[int]:
    return sorted({s.size for s in outcome.of(scenario, case="running")})


def marginal(outcome: Outcome, system: str, size: int) -> float | None:
    """What a container among the last hundred costs, divided by one among the first hundred; medians.

    The first hundred are those of all starts of that system, whatever their size: one slow beginning would flatter it.
    """
    every = [sorted(s.values) for s in outcome.of("start", system, "running") if s.size >= HUNDRED]
    last = [times[-1] - times[-1 - HUNDRED] for times in every if len(times) == size >= 2 * HUNDRED]
    if not last:
        return None
    return statistics.median(last) / statistics.median(times[HUNDRED - 1] for times in every)


def latencies(outcome: Outcome, scenario: str, system: str, case: str) -> list[float]:
    """Every value of all rounds, seconds."""
    return [value for sample in outcome.of(scenario, system, case) for value in sample.values]


def median(outcome: Outcome, scenario: str, system: str, case: str) -> float | None:
    found = latencies(outcome, scenario, system, case)
    return statistics.median(found) if found else None


def last_answers(outcome: Outcome, system: str, case: str, waiters: int) -> list[float]:
    """Seconds from an exit until the last of so many waiters had its answer."""
    return [max(s.values) for s in outcome.of("wait", system, case) if s.size == waiters]


def memory(outcome: Outcome, system: str, size: int) -> tuple[float, float] | None:
    """Bytes, and processes, that each of so many running containers adds to what there was before any of them ran."""
    samples = list(outcome.of("memory", system))
    for sample in samples:
        if sample.size == size:
            busy, _, many, _ = sample.values
            _, idle, _, few = samples[0].values
            return (busy - idle) / size, (many - few) / size
    return None


def one(outcome: Outcome, scenario: str, system: str, case: str, size: int) -> float | None:
    """The median over the rounds of what is one value a round."""
    found = [s.values[0] for s in outcome.of(scenario, system, case) if s.size == size]
    return statistics.median(found) if found else None
