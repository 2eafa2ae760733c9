"""**memory**: the proportional set size of a system's own processes, none of the containers', while N containers run.

What N containers cost is the difference to what there was before any of them ran, and per container its Nth part; so
this comes first, the smallest N first: room that an earlier container has left would be used again and hide it. A
system without a process of its own (crun, runc, the bound) has nothing to count.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from functools import partial

from bench.model import Plan, Sample, Skip
from bench.peers.session import Session
from bench.processes import proportional
from bench.scenarios.turns import attempt


def measure(sessions: Mapping[str, Session], plan: Plan) -> Iterator[Sample | Skip]:
    """In bytes; ``values``: in all, with nothing running, how many processes there are, and were."""
    able = {name: session for name, session in sessions.items() if session.running and session.processes}
    each = dict.fromkeys(able, 0.0)
    for size in plan.running:
        for name, session in able.items():
            if each[name] * size > plan.patience:
                reason = f"would take about {each[name] * size:.0f} s, more than the patience of {plan.patience:.0f} s"
                yield Skip(scenario="memory", system=name, size=size, reason=reason)
                continue
            begin = time.perf_counter()
            yield attempt("memory", name, size, partial(_count, name, session, size))
            each[name] = (time.perf_counter() - begin) / size


def _count(name: str, session: Session, size: int) -> Sample:
    assert session.running is not None
    assert session.processes is not None
    idle, few = _sum(session)
    with session.running(size):
        busy, many = _sum(session)
    values = [float(busy), float(idle), float(many), float(few)]
    return Sample(scenario="memory", system=name, case="pss", size=size, unit="bytes", values=values)


def _sum(session: Session) -> tuple[int, int]:
    assert session.processes is not None
    pids = session.processes()
    return sum(proportional(pid) for pid in pids), len(pids)
