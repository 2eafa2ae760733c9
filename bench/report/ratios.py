"""Where Bireme wants to arrive, and where it is: ratios of figures of the same run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.model import Outcome
from bench.report import figures


@dataclass(frozen=True, slots=True)
class Goal:
    """One line: ``reached`` is None where something was not measured."""

    what: str
    goal: str
    reached: float | None
    bound: float
    at_least: bool
    unit: str = ""

    def row(self) -> str:
        if self.reached is None:
            return f"| {self.what} | {self.goal} | not measured | |"
        met = self.reached >= self.bound if self.at_least else self.reached <= self.bound
        number = f"{self.reached:,.0f}" if self.reached >= 100 else f"{self.reached:.3g}"
        return f"| {self.what} | {self.goal} | {number}{self.unit} | {'yes' if met else 'no'} |"


def table(outcome: Outcome) -> str:
    rows = [goal.row() for goal in goals(outcome)]
    return "\n".join(["## Goals", "", "| | goal | here | reached |", "| --- | --- | --- | --- |", *rows, ""])


def goals(outcome: Outcome) -> Iterator[Goal]:
    """All of them, whether measured or not."""
    yield from _starts(outcome)
    yield from _lives(outcome)
    yield from _waits(outcome)
    yield from _costs(outcome)


def _starts(outcome: Outcome) -> Iterator[Goal]:
    sizes = figures.sizes(outcome)
    size = 300 if 300 in sizes else max(sizes, default=0)
    for peer, bound in (("bound", 0.6), ("crun", 1.5), ("crun-same", 1.5), ("docker", 25.0), ("podman", 15.0)):
        same = figures.comparable(outcome, peer, size)
        ratio = _ratio(figures.rate(outcome, "bireme", same), figures.rate(outcome, peer, same))
        yield Goal(f"start, N = {same}: rate / {peer}", f"≥ {bound:g}", ratio, bound, at_least=True)
    largest = max(sizes, default=0)
    cost = figures.marginal(outcome, "bireme", largest)
    yield Goal(f"cost of the last hundred of {largest} / the first", "≤ 1.2", cost, 1.2, at_least=False)


def _lives(outcome: Outcome) -> Iterator[Goal]:
    library = figures.median(outcome, "exit", "bireme", "library")
    for peer in ("crun-same", "crun"):
        theirs = figures.median(outcome, "exit", peer, "command")
        what = f"run to exit, library, p50 / `crun run` ({peer})"
        yield Goal(what, "≤ 1.2", _ratio(library, theirs), 1.2, at_least=False)
    command = figures.median(outcome, "exit", "bireme", "command")
    for peer, bound in (("docker", 0.4), ("podman", 0.6)):
        theirs = figures.median(outcome, "exit", peer, "command")
        what = f"command `run --rm -v /data busybox true`, p50 / {peer}"
        yield Goal(what, f"≤ {bound:g}", _ratio(command, theirs), bound, at_least=False)


def _waits(outcome: Outcome) -> Iterator[Goal]:
    counts = sorted({sample.size for sample in outcome.of("wait")})
    for waiters, bound in ((counts[0], 1.0), (counts[-1], 10.0)) if counts else ():
        for case in ("library", "api"):
            found = figures.last_answers(outcome, "bireme", case, waiters)
            middle = figures.percentile(found, 50) * 1000 if found else None
            what = f"exit to the last of {waiters} answers, {case}, p50"
            yield Goal(what, f"≤ {bound:g} ms", middle, bound, at_least=False, unit=" ms")


def _costs(outcome: Outcome) -> Iterator[Goal]:
    for size in sorted({sample.size for sample in outcome.of("memory", "bireme")})[-1:]:
        found = figures.memory(outcome, "bireme", size)
        kibibytes, processes = (found[0] / 1024, found[1]) if found else (None, None)
        yield Goal(f"memory a container, {size} running", "≤ 150 KiB", kibibytes, 150, at_least=False, unit=" KiB")
        yield Goal("helper processes a container", "0", processes, 0, at_least=False)
    counts = sorted({sample.size for sample in outcome.of("core", case="starts")})
    if counts:
        few = figures.one(outcome, "core", "bireme", "starts", counts[0])
        many = figures.one(outcome, "core", "bireme", "starts", counts[-1])
        yield Goal("core on fakes, starts a second", "≥ 5,000", few, 5000, at_least=True)
        yield Goal(f"core: rate beside {counts[-1]} actors / alone", "≥ 0.9", _ratio(many, few), 0.9, at_least=True)


def _ratio(first: float | None, second: float | None) -> float | None:
    return first / second if first is not None and second else None
