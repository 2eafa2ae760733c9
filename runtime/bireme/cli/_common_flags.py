"""The flags that many verbs have: ``--filter NAME=VALUE`` and ``--format TEMPLATE``. Pure."""

from __future__ import annotations

from bireme.cli._flags import STRING, Flag

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


_TEMPLATES = """Format output using a custom template:
{}'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template."""
_TABLES = """'table':            Print output in table format with column headers (default)
'table TEMPLATE':   Print output in table format using the given Go template
"""


def list_format_flag() -> Flag:
    """``--format`` of a list, which can be a table."""
    return Flag("format", "", STRING, _TEMPLATES.format(_TABLES))


def format_flag(letter: str = "") -> Flag:
    """``--format`` of what is no list."""
    return Flag("format", letter, STRING, _TEMPLATES.format(""))
