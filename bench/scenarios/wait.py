"""**wait**: from the kernel's exit to the answer to ``wait``, with one waiter and with a thousand on one container.

The container's process is killed from outside; a small process of its own learns of the exit from the kernel (a pidfd)
and takes the time. Per sample the values are the seconds until each waiter had its answer, in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from bench.model import Plan, Sample, Skip
from bench.peers.session import Session, Times
from bench.scenarios.turns import attempt, turns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def measure(sessions: Mapping[str, Session], plan: Plan) -> Iterator[Sample | Skip]:
    ways = [(name, way, wait) for name, session in sessions.items() for way, wait in session.wait.items()]
    for waiters in plan.waiters:
        for number, key in turns([str(index) for index in range(len(ways))], plan.rounds * plan.exits):
            name, way, wait = ways[int(key)]
            yield attempt("wait", name, waiters, partial(_exit, name, way, wait, waiters, number))


def _exit(name: str, way: str, wait: Callable[[int], Times], waiters: int, number: int) -> Sample:
    values = sorted(wait(waiters))
    return Sample(scenario="wait", system=name, case=way, size=waiters, round=number, values=values)
