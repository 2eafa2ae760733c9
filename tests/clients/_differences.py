"""What of somebody else's tests does not pass here, and why: the tables of ``docs/clients.md``.

A table stands below a heading that names its suite; each row gives tests (``*`` stands for anything) and a reason. The
tables are held against what happens, both ways: a test that fails and stands in none, and a row that is not needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.clients._outcomes import FAILED, PASSED, Outcomes
from tests.house import PROJECT

DOCUMENT = PROJECT / "docs" / "clients.md"

_HEADING = re.compile(r"#+ (?P<title>.*)")
_ROW = re.compile(r"\| (?P<tests>`.*`) \| (?P<reason>.*) \|")
_TEST = re.compile(r"`([^`]+)`")


@dataclass(frozen=True, slots=True)
class Row:
    """One row: tests that are expected to fail."""

    section: str
    patterns: tuple[str, ...]
    reason: str

    def has(self, test: str) -> bool:
        return any(fits(pattern, test) for pattern in self.patterns)


def fits(pattern: str, test: str) -> bool:
    """Whether a test is meant; only ``*`` is special, for names of tests have brackets."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), test) is not None


def read_rows(text: str, *titles: str) -> list[Row]:
    """The rows below the headings with these titles."""
    return [row for row in _rows(text) if row.section in titles]


def _rows(text: str) -> Iterator[Row]:
    section = ""
    for line in text.splitlines():
        if heading := _HEADING.fullmatch(line):
            section = heading["title"]
        elif row := _ROW.fullmatch(line):
            yield Row(section, tuple(_TEST.findall(row["tests"])), row["reason"])


def complaints(outcomes: Outcomes, rows: Sequence[Row]) -> list[str]:
    """Where the rows and what happened do not agree, a line each."""
    failed = sorted(test for test, outcome in outcomes.items() if outcome == FAILED)
    unexpected = [f"fails, and stands in no table: {test}" for test in failed if not any(row.has(test) for row in rows)]
    passing = [test for test, outcome in outcomes.items() if outcome == PASSED]
    stale = [f"passes, and stands in a table: {test}" for test in passing if any(row.has(test) for row in rows)]
    unused = [
        f"stands in a table, and there is no such failure: {pattern}"
        for row in rows
        for pattern in row.patterns
        if not any(fits(pattern, test) for test in failed)
    ]
    return [*unexpected, *sorted(stale), *unused]
