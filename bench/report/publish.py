"""Puts a run's figures and plots into README.md and docs/performance.md: between two comments of each."""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.model import Outcome
from bench.report import figures, ratios, tables

BEGIN, END = "<!-- figures: written by python -m bench --publish -->", "<!-- end of figures -->"
_PLOTS = ("throughput", "latency", "scale")


def publish(outcome: Outcome, results: Path, project: Path) -> None:
    """``results`` holds the plots of the same run."""
    images = project / "docs" / "images"
    images.mkdir(exist_ok=True)
    for name in _PLOTS:
        if (results / f"{name}.svg").exists():
            shutil.copyfile(results / f"{name}.svg", images / f"{name}.svg")
    _replace(project / "README.md", summary(outcome))
    _replace(project / "docs" / "performance.md", whole(outcome))


def _replace(path: Path, text: str) -> None:
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} lacks the comments {BEGIN!r} and {END!r}")
    path.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}")


def summary(outcome: Outcome) -> str:
    """The machine, the command, one row a system, one plot."""
    sizes = figures.sizes(outcome)
    size = 300 if 300 in sizes else max(sizes, default=0)
    rows = [_row(outcome, system, size) for system in outcome.versions]
    head = f"| | {size} containers, a second until all run | run to exit, p50 / p90 ms | by command, p50 ms |"
    return "\n".join([
        f"`{outcome.command}`: {_machine(outcome)}.", "", "![Containers a second](docs/images/throughput.svg)", "",
        head, "| --- | --- | --- | --- |", *rows, "", ratios.table(outcome).replace("## Goals\n\n", ""),
    ])  # fmt: skip


def _machine(outcome: Outcome) -> str:
    host = outcome.host
    machine = f"{host['processor']}, {host['kernel']}, {host['system']}, Python {host['python']}, {host['files']}"
    return f"{machine}; load {host['load']}, claim to the processors: {host['claim']}"


def _row(outcome: Outcome, system: str, size: int) -> str:
    same = figures.comparable(outcome, system, size)
    rate = _text(figures.rate(outcome, system, same)) + (f" (of {same})" if same != size else "")
    ways = dict.fromkeys(sample.case for sample in outcome.of("exit", system))
    direct = next((way for way in ways if way != "command"), next(iter(ways), ""))
    lives = figures.latencies(outcome, "exit", system, direct)
    command = figures.latencies(outcome, "exit", system, "command") if direct != "command" else []
    version = outcome.versions[system].split(",")[0].replace("version ", "").removeprefix(f"{system} ")
    return f"| {system} ({version}) | {rate} | {_pair(lives)} | {_middle(command)} |"


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _pair(lives: list[float]) -> str:
    return " / ".join(_text(figures.percentile(lives, percent) * 1000) for percent in (50, 90)) if lives else ""


def _middle(lives: list[float]) -> str:
    return _text(figures.percentile(lives, 50) * 1000) if lives else ""


def whole(outcome: Outcome) -> str:
    """Every table."""
    pictures = "\n".join(f"![{name}](images/{name}.svg)\n" for name in _PLOTS)
    versions = "\n".join(f"- {name}: {version}" for name, version in outcome.versions.items())
    host = "\n".join(f"- {name}: {text}" for name, text in outcome.host.items())
    return "\n".join([
        f"`{outcome.command}`", "", host, "", versions, "", pictures,
        _deeper(ratios.table(outcome)), _deeper(tables.all_tables(outcome)), _deeper(tables.tail(outcome)),
    ])  # fmt: skip


def _deeper(text: str) -> str:
    return text.replace("## ", "### ")
