"""What deciding costs: the whole core on ports in memory, so that nothing but actors, plans and messages is measured.

*Lives*: create with one new volume, start, wait for the exit, remove with the volume; 16 at a time.
*Asks*: one message to an actor (pause, unpause) and its answer, one after the other.

What a container costs on the host has to be compared with this: it is the share that Python's deciding takes.
"""

from __future__ import annotations

import argparse
import time

import trio

from bireme_actors import Pause, Remove, Start, Supervisor, Unpause, WaitCondition, open_supervisor
from bireme_actors.testing import Fakes, sample_config

AT_ONCE = 16


async def live(supervisor: Supervisor, count: int) -> None:
    for _ in range(count):
        actor = await supervisor.create(sample_config("true", volumes=("/data",)))
        await actor.ref.ask(Start())
        status = await actor.exits.watch(WaitCondition.NOT_RUNNING, actor.state).wait()
        assert status == 0
        await actor.ref.ask(Remove(volumes=True))


async def lives_per_second(count: int) -> float:
    fakes = Fakes()
    async with open_supervisor(fakes.ports()) as supervisor:
        begin = time.perf_counter()
        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(live, supervisor, count // AT_ONCE)
        seconds = time.perf_counter() - begin
        assert fakes.leftovers() == []
    return count // AT_ONCE * AT_ONCE / seconds


async def ask_microseconds(count: int) -> float:
    async with open_supervisor(Fakes().ports()) as supervisor:
        actor = await supervisor.create(sample_config("app"))
        await actor.ref.ask(Start())
        begin = time.perf_counter()
        for _ in range(count // 2):
            await actor.ref.ask(Pause())
            await actor.ref.ask(Unpause())
        return (time.perf_counter() - begin) / count * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description="the core alone, on ports in memory")
    parser.add_argument("--lives", type=int, default=4000)
    parser.add_argument("--asks", type=int, default=20000)
    options = parser.parse_args()
    print(f"{trio.run(lives_per_second, options.lives):.0f} lives a second")
    print(f"{trio.run(ask_microseconds, options.asks):.0f} microseconds an ask")


if __name__ == "__main__":
    main()
