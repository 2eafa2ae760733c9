"""The plots, each as PNG and SVG: throughput, latency, cost against scale."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.model import Outcome
from bench.report import figures

_COLOURS = {
    "bireme": "#0b6e8e", "bound": "#555555", "crun": "#d98c21", "crun-same": "#b35806", "runc": "#c04848",
    "bubblewrap": "#7a9a3a", "docker": "#2f6fd0", "podman": "#8a3ffc",
}  # fmt: skip
_WINDOW = 50
"""Containers over which the cost of one is taken."""


def draw(outcome: Outcome, directory: Path) -> list[Path]:
    """What there are samples for; the files written."""
    written = []
    plots: tuple[tuple[str, str, Callable[[Axes, Outcome], None]], ...] = (
        ("throughput", "start", _throughput), ("latency", "exit", _latency), ("scale", "start", _scale),
    )  # fmt: skip
    style = {"svg.hashsalt": "bench", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    with mpl.rc_context(cast("Any", style)):
        for name, scenario, plot in plots:
            if any(outcome.of(scenario)):
                written += _save(outcome, directory, name, plot)
    return written


def _save(outcome: Outcome, directory: Path, name: str, plot: Callable[[Axes, Outcome], None]) -> list[Path]:
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    plot(figure.add_subplot(), outcome)
    paths = [directory / f"{name}.{kind}" for kind in ("png", "svg")]
    for path in paths:
        figure.savefig(path, dpi=130)
    return paths


def _colour(system: str) -> str:
    return _COLOURS.get(system, "#999999")


def _throughput(axes: Axes, outcome: Outcome) -> None:
    """Bars: containers a second, a group a size."""
    sizes = figures.sizes(outcome)
    systems = [name for name in outcome.versions if any(outcome.of("start", name, "running"))]
    width = 0.85 / max(1, len(systems))
    for place, system in enumerate(systems):
        rates = [figures.rate(outcome, system, size) or 0.0 for size in sizes]
        lefts = [group - 0.425 + (place + 0.5) * width for group in range(len(sizes))]
        bars = axes.bar(lefts, rates, width, label=system, color=_colour(system))
        axes.bar_label(bars, [f"{rate:.0f}" if rate else "" for rate in rates], fontsize=6.5, padding=1)
    axes.set_xticks(range(len(sizes)), [f"N = {size}" for size in sizes])
    axes.set_ylabel("containers a second until all run")
    axes.set_title("Start: one volume and own namespaces each, best parallelism of each system")
    axes.legend(fontsize=7, frameon=False)


def _latency(axes: Axes, outcome: Outcome) -> None:
    """Bars for the median, whiskers to the 90th and 99th percentile; the axis is logarithmic."""
    ways = list(dict.fromkeys((s.system, s.case) for s in outcome.of("exit")))
    order = [name for name in outcome.versions for way in ways if way[0] == name]
    ways.sort(key=lambda way: order.index(way[0]))
    for place, (system, case) in enumerate(ways):
        found = figures.latencies(outcome, "exit", system, case)
        p50, p90, p99 = (figures.percentile(found, percent) * 1000 for percent in (50, 90, 99))
        axes.barh(place, p50, color=_colour(system))
        axes.plot([p50, p99], [place, place], color="black", linewidth=0.8)
        axes.plot([p90, p99], [place, place], "|", color="black", markersize=7)
        axes.text(p99 * 1.07, place, f"{p50:.1f} / {p90:.1f} / {p99:.1f}", va="center", fontsize=7)
    axes.set_yticks(range(len(ways)), [f"{system}, {case}" for system, case in ways])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.set_xlabel("milliseconds; bar: p50, marks: p90 and p99")
    axes.set_title("Run to exit: create, start, wait, remove")


def _scale(axes: Axes, outcome: Outcome) -> None:
    """Lines: what one container costs while so many run, of the largest start of each system."""
    for system in outcome.versions:
        samples = list(outcome.of("start", system, "running"))
        if not samples:
            continue
        times = [0.0, *sorted(max(samples, key=lambda sample: sample.size).values)]
        window = min(_WINDOW, len(times) - 1)
        counts = range(window, len(times), max(1, window // 2))
        costs = [(times[count] - times[count - window]) / window * 1000 for count in counts]
        axes.plot(counts, costs, label=system, color=_colour(system), linewidth=1.3, marker="." if window < 2 else "")
    axes.set_yscale("log")
    axes.set_xlabel("containers that run")
    axes.set_ylabel(f"milliseconds a container (mean of {_WINDOW})")
    axes.set_title("Cost against scale")
    axes.legend(fontsize=7, frameon=False)
