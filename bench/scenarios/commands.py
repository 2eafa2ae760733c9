"""**exec** and **logs**: what is asked of containers that run.

*exec*: ``true`` in a container that runs, one after the other, until its exit is known. *logs*: MiB a second of lines
of a hundred bytes, from the container's start to the end of its output, through ``logs -f``; once *alone*, once
*beside* a container with as much output whose follower has stopped reading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial

from bench.model import Plan, Sample, Skip
from bench.peers.session import Life, Session
from bench.processes import Failed
from bench.scenarios.lives import measure_lives
from bench.scenarios.turns import attempt, turns


def measure_exec(sessions: Mapping[str, Session], plan: Plan) -> Iterator[Sample | Skip]:
    with ExitStack() as stack:
        ways: dict[str, Mapping[str, Life]] = {}
        for name, session in sessions.items():
            if session.executing is None:
                continue
            try:
                ways[name] = stack.enter_context(session.executing())
            except Failed as error:
                yield Skip(scenario="exec", system=name, size=plan.lives, reason=str(error))
        yield from measure_lives("exec", ways, plan)


def measure_logs(sessions: Mapping[str, Session], plan: Plan) -> Iterator[Sample | Skip]:
    logs = {name: session.logs for name, session in sessions.items() if session.logs is not None}
    for number, name in turns([*logs], plan.rounds):
        for case, stuck in (("alone", False), ("beside a slow reader", True)):
            yield attempt("logs", name, plan.mebibytes, partial(_follow, name, case, stuck, logs[name], plan, number))


def _follow(
    name: str, case: str, stuck: bool, logs: Callable[[int, bool], float], plan: Plan, number: int
) -> Sample:
    rate = logs(plan.mebibytes, stuck)
    return Sample(
        scenario="logs", system=name, case=case, size=plan.mebibytes, round=number, unit="MiB/s", values=[rate]
    )
