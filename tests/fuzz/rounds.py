"""Rounds of requests: each from a seed of its own, on a world made anew, until the time is over."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

import trio
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz.grammar import Ask, requests
from tests.fuzz.player import play
from tests.fuzz.world import World

EXAMPLES = 60
"""Of a round; each is up to four requests at once."""

_EACH_SECONDS = 100.0


@dataclass
class Played:
    """What has been done."""

    rounds: int = 0
    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    """Of the answers; 0 where the client left before it came."""


def play_round(world: World, number: int, played: Played, *, until: float) -> None:
    """One round. Raises what a check says, with the seed."""

    @seed(number)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(st.lists(requests, min_size=1, max_size=4))
    def examples(asks: list[Ask]) -> None:
        if time.monotonic() < until:
            played.requests += len(asks)
            trio.run(_bounded, world, asks, played.statuses)

    world.renew()
    try:
        examples()
    except BaseException as error:
        error.add_note(f"round {number}; the engine's log ends with:\n{world.engine.log()[-3000:]}")
        raise
    assert world.engine.process.poll() is None, world.engine.log()[-3000:]
    played.rounds += 1


async def _bounded(world: World, asks: list[Ask], statuses: Counter[int]) -> None:
    with trio.fail_after(_EACH_SECONDS):
        await play(world, asks, statuses)


def fuzz(world: World, seconds: float, first: int = 0) -> Played:
    """Rounds from seed ``first`` on until the time is over; at the end nothing of them is left."""
    world.renew()
    world.clean()
    before = world.quiet()
    played, until = Played(), time.monotonic() + seconds
    while time.monotonic() < until:
        play_round(world, first + played.rounds, played, until=until)
    world.clean()
    after = world.settled(before)
    assert all(now <= bound for now, bound in zip(after, before, strict=True)), (before, after)
    assert "Traceback" not in world.engine.log(), world.engine.log()[-5000:]
    return played
