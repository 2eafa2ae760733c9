"""**exit** (run to exit): one container after the other: create, start, wait for the exit, remove; one volume each.

Through the library or the API of a system (``library``, ``api``), and through its command (``command``:
``run --rm -v /data busybox true``, or ``crun run`` of a bundle laid out before). Milliseconds from the beginning until
it has been removed again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from bench.model import Plan, Sample, Skip
from bench.peers.session import Life, Session
from bench.scenarios.turns import attempt, turns


def measure(sessions: Mapping[str, Session], plan: Plan) -> Iterator[Sample | Skip]:
    yield from measure_lives("exit", {name: session.run for name, session in sessions.items()}, plan)


def measure_lives(
    scenario: str, systems: Mapping[str, Mapping[str, Life]], plan: Plan
) -> Iterator[Sample | Skip]:
    """Every way of every system in turns, ``plan.lives`` one after the other; the first one, unmeasured, warms up."""
    ways = [(name, way, life) for name, lives in systems.items() for way, life in lives.items()]
    for number, key in turns([str(index) for index in range(len(ways))], plan.rounds):
        name, way, life = ways[int(key)]
        yield attempt(scenario, name, plan.lives, partial(_lives, scenario, name, way, life, plan.lives, number))


def _lives(scenario: str, name: str, way: str, life: Life, count: int, number: int) -> Sample:
    life()
    values = [life() for _ in range(count)]
    return Sample(scenario=scenario, system=name, case=way, size=count, round=number, values=values)
