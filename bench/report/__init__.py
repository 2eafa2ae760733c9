"""What came out of a run, for people: ``tables`` and ``ratios`` as Markdown, ``plots`` as PNG and SVG."""

from __future__ import annotations

from pathlib import Path

from bench.model import Outcome
from bench.report import plots, ratios, tables

__all__ = ["write"]


def write(outcome: Outcome, directory: Path) -> list[Path]:
    """``samples.json``, ``report.md`` and the plots. Returns their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    outcome.save(directory / "samples.json")
    text = "\n".join([tables.head(outcome), ratios.table(outcome), tables.all_tables(outcome), tables.tail(outcome)])
    (directory / "report.md").write_text(text)
    return [directory / "samples.json", directory / "report.md", *plots.draw(outcome, directory)]
