"""Fair turns: in every round each system comes once, another one first each time; one that fails stops nobody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bench.model import Sample, Skip
from bench.processes import Failed


def turns(systems: Sequence[str], rounds: int) -> Iterator[tuple[int, str]]:
    """(round, system)."""
    for number in range(rounds):
        first = number % max(1, len(systems))
        for system in (*systems[first:], *systems[:first]):
            yield number, system


def attempt(scenario: str, system: str, size: int, measure: Callable[[], Sample]) -> Sample | Skip:
    """A sample, or what went wrong."""
    try:
        return measure()
    except (Failed, OSError) as error:
        return Skip(scenario=scenario, system=system, size=size, reason=str(error) or repr(error))
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("docker", "requests", "urllib3"):
            raise
        return Skip(scenario=scenario, system=system, size=size, reason=str(error))
