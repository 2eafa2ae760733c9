"""The ``filters`` of lists, prunes and events. Pure.

JSON in the query: ``{"name": ["a", "b"]}``, or as old clients write it ``{"name": {"a": true}}``. Values of one name
are alternatives, different names must all fit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from bireme.server.query import Query
from bireme_actors import InvalidConfig

_FLAGS = {"1": True, "true": True, "0": False, "false": False}


class Filters:
    """The values asked for, by name."""

    def __init__(self, values: Mapping[str, tuple[str, ...]]) -> None:
        self._values = values

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def get(self, name: str) -> tuple[str, ...]:
        """The alternatives; none where the name is not filtered by."""
        return self._values.get(name, ())

    def fits(self, name: str, matches: Callable[[str], bool]) -> bool:
        """Whether any alternative matches, or there is none."""
        wanted = self.get(name)
        return not wanted or any(matches(value) for value in wanted)

    def labels_fit(self, labels: Mapping[str, str]) -> bool:
        """For labels all of ``label`` (``NAME`` or ``NAME=value``) must be there, and none of ``label!``."""
        wanted, unwanted = self.get("label"), self.get("label!")
        if any(_has_label(labels, text) for text in unwanted):
            return False
        return all(_has_label(labels, text) for text in wanted)

    def flag(self, name: str, default: bool) -> bool:
        """One yes or no. Raises InvalidConfig."""
        values = {_FLAGS.get(value.lower()) for value in self.get(name)}
        if not values:
            return default
        if len(values) > 1 or None in values:
            raise InvalidConfig(f"invalid filter '{name}={list(self.get(name))}'")
        return values == {True}


def _has_label(labels: Mapping[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def parse_filters(query: Query, known: Iterable[str]) -> Filters:
    """Raises InvalidConfig for what is no filter, and for a name that is not ``known``."""
    text = query.text("filters")
    if not text:
        return Filters({})
    try:
        raw = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidConfig(f"invalid filter: {error}") from None
    if not isinstance(raw, dict):
        raise InvalidConfig("invalid filter: it must be an object of lists")
    found = {name: _values(name, value) for name, value in raw.items()}
    unknown = found.keys() - set(known)
    if unknown:
        raise InvalidConfig(f"invalid filter '{min(unknown)}'")
    return Filters(found)


def _values(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, dict):
        value = [key for key, on in value.items() if on]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidConfig(f"invalid filter '{name}': its values must be a list of texts")
    return tuple(value)


def searches(pattern: str, text: str) -> bool:
    """As a regular expression that is found somewhere in the text.

    What is none, or could take for ever, counts as plain text: repeated groups, more than two open repetitions.
    """
    if pattern in text:
        return True
    if _REPEATED_GROUP.search(pattern) or len(_OPEN_REPETITION.findall(pattern)) > 2:
        return False
    try:
        return re.search(pattern, text[:_LONGEST]) is not None
    except (re.error, RecursionError, OverflowError):
        return False


_REPEATED_GROUP = re.compile(r"\)[*+?{]|\\[0-9]")
_OPEN_REPETITION = re.compile(r"[*+{]")
_LONGEST = 256
