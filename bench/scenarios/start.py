"""**start**: N containers of one volume and network namespace each, detached, until all run; they sleep until removed.

First each system's best degree of parallelism is looked for with a hundred containers, twice, as a neighbour's work may
spoil one of them; it is used for all sizes then.
Kept is the time at which each container ran, from the beginning: the rate, and what the last hundred cost beside the
first, both follow from it. Removing them is not part of the time.

**shared**: the same, each with ``--volumes-from`` one container that has a volume, all at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from bench.model import Plan, Sample, Skip
from bench.peers.session import Session, Times
from bench.scenarios.turns import attempt, turns

_LARGE = 1000
"""From this size on one round has to do."""

Start = Callable[[int, int], Times]


def measure(sessions: Mapping[str, Session], plan: Plan) -> Iterator[Sample | Skip]:
    starts = {name: session.start for name, session in sessions.items() if session.start is not None}
    chooser = _Chooser(plan.patience)
    for number in range(plan.probes):
        for name, start in starts.items():
            for parallel in sessions[name].parallels:
                yield chooser.measured("start", name, "probe", start, plan.probe, parallel, number)
    for size in plan.sizes:
        for number, name in turns([*starts], plan.rounds if size < _LARGE else 1):
            reason = chooser.too_long(name, size)
            if reason:
                if number == 0:
                    yield Skip(scenario="start", system=name, size=size, reason=reason)
                continue
            yield chooser.measured("start", name, "running", starts[name], size, chooser.best(name), number)


def measure_shared(sessions: Mapping[str, Session], plan: Plan) -> Iterator[Sample | Skip]:
    shares = {name: session.shared for name, session in sessions.items() if session.shared is not None}
    chooser = _Chooser(plan.patience)
    for number in range(plan.probes):
        for name, start in shares.items():
            for parallel in sessions[name].parallels:
                yield chooser.measured("shared", name, "probe", start, min(plan.probe, plan.shared), parallel, number)
    for number, name in turns([*shares], plan.rounds):
        yield chooser.measured("shared", name, "running", shares[name], plan.shared, chooser.best(name), number)


class _Chooser:
    """Remembers each system's rates by parallelism, and how long it takes, removal included."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._rates: dict[str, dict[int, float]] = {}
        self._each: dict[str, float] = {}
        self._failed: dict[str, str] = {}

    def measured(
        self, scenario: str, name: str, case: str, start: Start, count: int, parallel: int, number: int
    ) -> Sample | Skip:
        begin = time.perf_counter()
        found = attempt(scenario, name, count, lambda: Sample(
            scenario=scenario, system=name, case=case, size=count, parallel=parallel, round=number,
            values=start(count, parallel),
        ))  # fmt: skip
        self._each[name] = (time.perf_counter() - begin) / count
        if isinstance(found, Skip):
            self._failed[name] = found.reason
        elif case == "probe":
            rates = self._rates.setdefault(name, {})
            rates[parallel] = max(count / max(found.values), rates.get(parallel, 0.0))
        return found

    def best(self, name: str) -> int:
        rates = self._rates.get(name, {1: 0.0})
        return max(rates, key=rates.__getitem__)

    def too_long(self, name: str, count: int) -> str:
        """Why a size is not measured, "" if it is."""
        if name in self._failed:
            return f"an earlier start failed: {self._failed[name]}"
        seconds = self._each.get(name, 0.0) * count
        if seconds > self._patience:
            return f"would take about {seconds:.0f} s, more than the patience of {self._patience:.0f} s"
        return ""
