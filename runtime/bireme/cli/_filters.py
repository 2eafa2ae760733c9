"""``--filter NAME=VALUE``, as lists and prunes and events take it. Pure."""

from __future__ import annotations

from bireme.cli._flags import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def parse_filters(given: Iterable[str]) -> dict[str, dict[str, bool]]:
    """``-f key=value`` as the API has it. Raises ValueError."""
    filters: dict[str, dict[str, bool]] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            raise ValueError("bad format of filter (expected name=value)")
        filters.setdefault(key.strip().lower(), {})[value.strip()] = True
    return filters


def check_filter(text: str) -> None:
    """Raises ValueError for what is no filter."""
    parse_filters([text])


def filter_flag(letter: str = "", summary: str = "Filter output based on conditions provided") -> Flag:
    """The flag, which may be given again: several values of one name are alternatives, several names all hold."""
    return Flag("filter", letter, "filter", summary, repeatable=True, check=check_filter)
