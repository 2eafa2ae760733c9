"""The tables of the report, in Markdown: one a scenario, a row a system."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from bench.model import Outcome
from bench.report import figures


def head(outcome: Outcome) -> str:
    host = "\n".join(f"- {name}: {text}" for name, text in outcome.host.items())
    versions = "\n".join(
        f"- **{name}** ({outcome.versions[name]}): {outcome.systems[name]}" for name in outcome.versions
    )
    return f"# Benchmarks\n\n`{outcome.command}`\n\n{host}\n\n{versions}\n"


def tail(outcome: Outcome) -> str:
    if not outcome.skips:
        return ""
    rows = [f"- {skip.scenario}, {skip.system}, {skip.size}: {_line(skip.reason)}" for skip in outcome.skips]
    return "\n".join(["## Not measured", "", *dict.fromkeys(rows), ""])


def _line(text: str) -> str:
    return " ".join(text.split())[:300]


def all_tables(outcome: Outcome) -> str:
    parts = (
        start(outcome), shared(outcome), lives(outcome, "exit"), wait(outcome), memory(outcome),
        lives(outcome, "exec"), logs(outcome), core(outcome),
    )  # fmt: skip
    return "\n".join(part for part in parts if part)


_TITLES = {
    "exit": "Run to exit: milliseconds from before the creation until removed",
    "exec": "Exec of `true`: milliseconds",
}


def start(outcome: Outcome) -> str:
    sizes = figures.sizes(outcome)
    if not sizes:
        return ""
    columns = [*(f"{size}" for size in sizes), "at once", "last hundred / first"]
    rows = []
    for system in _systems(outcome, "start", "running"):
        cells = [_number(figures.rate(outcome, system, size)) for size in sizes]
        ratios = [(size, figures.marginal(outcome, system, size)) for size in sizes]
        last = next((f"{value:.2f} (of {size})" for size, value in reversed(ratios) if value is not None), "")
        rows.append([system, *cells, str(figures.parallel(outcome, system)), last])
    return _table("Start: containers a second until N run", ["system", *columns], rows)


def shared(outcome: Outcome) -> str:
    sizes = figures.sizes(outcome, "shared")
    rows = [
        [system, *(_number(figures.rate(outcome, system, size, "shared")) for size in sizes),
         str(figures.parallel(outcome, system, "shared"))]
        for system in _systems(outcome, "shared", "running")
    ]  # fmt: skip
    columns = ["system", *(f"{size}" for size in sizes), "at once"]
    return _table("Shared: containers a second, each with the volumes of one", columns, rows)


def lives(outcome: Outcome, scenario: str) -> str:
    rows = []
    for system, case in _ways(outcome, scenario):
        found = figures.latencies(outcome, scenario, system, case)
        cells = [_number(figures.percentile(found, percent) * 1000) for percent in (50, 90, 99)]
        rows.append([system, case, *cells, str(len(found))])
    return _table(_TITLES[scenario], ["system", "through", "p50", "p90", "p99", "samples"], rows)


def wait(outcome: Outcome) -> str:
    rows = []
    counts = sorted({sample.size for sample in outcome.of("wait")})
    for system, case in _ways(outcome, "wait"):
        for waiters in counts:
            found = figures.last_answers(outcome, system, case, waiters)
            if found:
                cells = [_number(figures.percentile(found, percent) * 1000) for percent in (50, 90)]
                rows.append([system, case, str(waiters), *cells, str(len(found))])
    columns = ["system", "through", "waiters", "p50", "p90", "samples"]
    return _table("Wait: milliseconds from the kernel's exit to the last answer", columns, rows)


def memory(outcome: Outcome) -> str:
    rows = []
    sizes = sorted({sample.size for sample in outcome.of("memory")})
    for system in _systems(outcome, "memory", "pss"):
        found = [figures.memory(outcome, system, size) for size in sizes]
        processes = next((item[1] for item in reversed(found) if item), 0.0)
        idle = next(sample.values[1] for sample in outcome.of("memory", system)) / (1 << 20)
        cells = [_number(item[0] / 1024) if item else "" for item in found]
        rows.append([system, *cells, f"{processes:.2g}", f"{idle:.1f}"])
    columns = ["system", *(f"{size} running" for size in sizes), "processes each", "idle, MiB"]
    return _table("Memory: KiB (PSS) that each running container adds", columns, rows)


def logs(outcome: Outcome) -> str:
    cases = ("alone", "beside a slow reader")
    rows = []
    for system in _systems(outcome, "logs"):
        values = [figures.latencies(outcome, "logs", system, case) for case in cases]
        rows.append([system, *(_number(figures.percentile(found, 50)) if found else "" for found in values)])
    return _table("Logs: MiB a second through `logs -f`", ["system", *cases], rows)


def core(outcome: Outcome) -> str:
    rows = []
    for case, size in dict.fromkeys((sample.case, sample.size) for sample in outcome.of("core")):
        value = figures.one(outcome, "core", "bireme", case, size)
        unit = next(sample.unit for sample in outcome.of("core", case=case))
        rows.append([case, str(size), f"{_number(value)} {unit}"])
    return _table("Core alone, on ports in memory", ["what", "actors there already", "median"], rows)


def _systems(outcome: Outcome, scenario: str, case: str | None = None) -> Sequence[str]:
    found = {sample.system for sample in outcome.of(scenario, case=case)}
    return [name for name in outcome.versions if name in found]


def _ways(outcome: Outcome, scenario: str) -> Iterator[tuple[str, str]]:
    for system in _systems(outcome, scenario):
        for case in dict.fromkeys(sample.case for sample in outcome.of(scenario, system)):
            yield system, case


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if not lines:
        return ""
    rule = f"| {' | '.join('---' for _ in columns)} |"
    return "\n".join([f"## {title}", "", f"| {' | '.join(columns)} |", rule, *lines, ""])
