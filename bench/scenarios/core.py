"""**core**: what deciding costs: supervisor, actors, plans and messages on ports in memory, no system call.

*starts*: create with one new volume, and start, a second, 16 at a time, while so many containers exist and run already.
*lives*: the same with the exit waited for, and the removal. *asks*: microseconds for one message to an actor (pause,
unpause) and its answer. With the garbage collector as a plain program has it.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any

import trio

from bench.model import Plan, Sample
from bench.peers.session import Session
from bireme_actors import ContainerActor, Pause, Remove, Start, Supervisor, Unpause, WaitCondition, open_supervisor
from bireme_actors.testing import Fakes, sample_config

_AT_ONCE = 16

Measure = Callable[[int, int], Coroutine[Any, Any, float]]


def measure(sessions: Mapping[str, Session], plan: Plan) -> Iterator[Sample]:
    """Of Bireme alone, whichever systems take part."""
    for number in range(plan.rounds):
        for actors in plan.actors:
            yield _sample("starts", "1/s", starts_per_second, actors, plan.decisions, number)
        yield _sample("lives", "1/s", lives_per_second, 0, plan.decisions, number)
        yield _sample("asks", "µs", ask_microseconds, 0, 10 * plan.decisions, number)


def _sample(case: str, unit: str, measured: Measure, actors: int, count: int, number: int) -> Sample:
    gc.collect()
    value = trio.run(measured, actors, count)
    return Sample(scenario="core", system="bireme", case=case, size=actors, round=number, unit=unit, values=[value])


async def _begin(supervisor: Supervisor) -> ContainerActor:
    actor = await supervisor.create(sample_config("app", volumes=("/data",)))
    await actor.ref.ask(Start())
    return actor


async def _many(count: int, work: Callable[[], Coroutine[Any, Any, object]]) -> float:
    """Seconds for so many, sixteen at a time."""

    async def some(number: int) -> None:
        for _ in range(number):
            await work()

    begin = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for first in range(_AT_ONCE):
            nursery.start_soon(some, len(range(first, count, _AT_ONCE)))
    return time.perf_counter() - begin


async def starts_per_second(actors: int, count: int) -> float:
    async with open_supervisor(Fakes().ports()) as supervisor:
        await _many(actors, lambda: _begin(supervisor))
        return count / await _many(count, lambda: _begin(supervisor))


async def lives_per_second(actors: int, count: int) -> float:
    fakes = Fakes()
    async with open_supervisor(fakes.ports()) as supervisor:

        async def live() -> None:
            actor = await supervisor.create(sample_config("true", volumes=("/data",)))
            await actor.ref.ask(Start())
            await actor.exits.watch(WaitCondition.NOT_RUNNING, actor.state).wait()
            await actor.ref.ask(Remove(volumes=True))

        await _many(actors, lambda: _begin(supervisor))
        return count / await _many(count, live)


async def ask_microseconds(actors: int, count: int) -> float:
    async with open_supervisor(Fakes().ports()) as supervisor:
        await _many(actors, lambda: _begin(supervisor))
        actor = await _begin(supervisor)
        begin = time.perf_counter()
        for _ in range(count // 2):
            await actor.ref.ask(Pause())
            await actor.ref.ask(Unpause())
        return (time.perf_counter() - begin) / (count // 2 * 2) * 1e6
