"""The catalogue itself: it is whole, and its differences are those that the documentation tells of."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.house import PROJECT
from tests.parity._catalogue import catalogue, scenario

OBSERVED = frozenset({
    "V01", "V02", "V03", "V04", "V05", "V07", "V09", "V10", "V11", "V14", "V15", "V16", "V17", "V19", "V21", "V22",
    "V26", "V29", "V30", "V32", "V33", "V36", "V37", "V38", "V39", "V42", "W01", "W02", "W03", "W05", "E01", "E02",
    "E03", "E04", "E05", "I01", "R01", "R02", "C01",
})  # fmt: skip
"""The scenarios that were observed on Docker before there was a catalogue; the others are their neighbours."""


def documented() -> Iterator[tuple[str, tuple[str, ...]]]:
    """The rows of the table of differences: the first column, and the scenarios of the last."""
    for line in (PROJECT / "docs/differences.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]
        if len(cells) == 4 and re.fullmatch(r"([A-Z]\d+(, )?)+", cells[3]):
            yield cells[0], tuple(cells[3].split(", "))


def test_everything_observed_is_in_it() -> None:
    assert {found.id for found in catalogue()} >= OBSERVED
    assert len(catalogue()) >= 120


def test_no_two_scenarios_say_the_same() -> None:
    titles = [found.title for found in catalogue()]
    assert sorted(set(titles)) == sorted(titles)


def test_a_difference_is_one_and_has_a_reason() -> None:
    for found in catalogue():
        assert found.differs == (found.bireme != found.docker), found.id


def test_the_documentation_tells_of_every_difference_and_of_no_other() -> None:
    rows = [identifier for _, identifiers in documented() for identifier in identifiers]
    assert sorted(rows) == sorted(found.id for found in catalogue() if found.differs)


@pytest.mark.parametrize(("bireme", "why"), [({"bireme": 1}, ""), ({}, "because")])
def test_a_difference_without_a_reason_is_refused_and_the_other_way_round(bireme: dict[str, int], why: str) -> None:
    with pytest.raises(ValueError, match="X01: a difference is"):
        scenario("X01", "a title", 0, why=why, **bireme)


def test_an_id_is_taken_once() -> None:
    found = catalogue()[0]
    with pytest.raises(ValueError, match=f"{found.id} is in the catalogue already"):
        scenario(found.id, "another title", 0)(found.play)
