"""**memory**: the proportional set size of a system's own processes, none of the containers', while N containers run.

With nothing running first: what N containers cost is the difference, and per container its Nth part. A system without
a process of its own (crun, runc, the bound) has nothing to count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from bench.model import Plan, Sample, Skip
from bench.peers.session import Session
from bench.processes import proportional
from bench.scenarios.turns import attempt


def measure(sessions: Mapping[str, Session], plan: Plan) -> Iterator[Sample | Skip]:
    """In bytes; ``values``: in all, with nothing running, how many processes there are, and were."""
    for size in plan.running:
        for name, session in sessions.items():
            if session.running is not None and session.processes is not None:
                yield attempt("memory", name, size, partial(_count, name, session, size))


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
