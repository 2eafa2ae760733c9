"""The catalogue: what a Docker user knows of data volumes, one scenario a function.

A scenario does something through a command line (``Side``) and returns what was to be seen: texts, numbers, tuples,
dictionaries. The same function runs on Bireme and on Docker. What Docker shows is its ``expected``; where Bireme means
to differ, ``bireme`` is what it shows instead, ``why`` says so in one line, and docs/differences.md has a row with the
scenario's id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules

from tests.parity import scenarios
from tests.parity._side import Side

Play = Callable[[Side], object]

SAME = object()
"""Bireme shows what Docker shows."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the catalogue."""

    id: str
    title: str
    play: Play
    docker: object
    bireme: object
    why: str

    @property
    def area(self) -> str:
        """The first letter of the id."""
        return self.id[0]

    @property
    def differs(self) -> bool:
        return bool(self.why)

    def expected(self, side: str) -> object:
        """What is to be seen on ``bireme`` or ``docker``."""
        return self.docker if side == "docker" else self.bireme


_catalogue: dict[str, Scenario] = {}


def scenario(
    identifier: str, title: str, expected: object, *, bireme: object = SAME, why: str = ""
) -> Callable[[Play], Play]:
    """Enter a function into the catalogue. ``why`` goes with ``bireme``, and only with it."""
    if (bireme is SAME) == bool(why):
        raise ValueError(f"{identifier}: a difference is what Bireme shows and why")

    def enter(play: Play) -> Play:
        if identifier in _catalogue:
            raise ValueError(f"{identifier} is in the catalogue already")
        _catalogue[identifier] = Scenario(
            identifier, title, play, expected, expected if bireme is SAME else bireme, why
        )
        return play

    return enter


def catalogue() -> tuple[Scenario, ...]:
    """All scenarios, in the order of their ids' letters and numbers."""
    for name in _modules():
        import_module(name)
    return tuple(_catalogue[key] for key in sorted(_catalogue, key=_by_number))


def _modules() -> Iterator[str]:
    return (module.name for module in iter_modules(scenarios.__path__, f"{scenarios.__name__}."))


def _by_number(identifier: str) -> tuple[str, int, str]:
    digits = "".join(letter for letter in identifier[1:] if letter.isdigit())
    return identifier[0], int(digits), identifier
