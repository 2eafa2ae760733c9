"""The functions that templates can call: Go's own and Docker's. Pure; they raise ValueError with their complaint."""

from __future__ import annotations

from bireme.cli._format._printf import sprint, sprintf, sprintln
from bireme.cli._format._values import MISSING, Struct, text, to_json, truth, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_BASIC = (bool, int, float, str)


def _length(value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, (list, tuple, dict)) and not isinstance(value, Struct):
        return len(value)
    raise ValueError(f"len of type {type_name(value)}")


def _index(value: object, *keys: object) -> object:
    for key in keys:
        value = _item(value, key)
    return value


def _item(value: object, key: object) -> object:
    if isinstance(value, dict):
        if not isinstance(key, str):
            raise ValueError(f"value has type {type_name(key)}; should be string")
        return value[key] if key in value else _zero(value)
    if value is None:
        return ""
    if isinstance(value, (list, tuple, str)):
        if not isinstance(key, int) or isinstance(key, bool):
            raise ValueError(f"cannot index slice/array with type {type_name(key)}")
        if not 0 <= key < len(value):
            raise ValueError(f"index out of range: {key}")
        return value.encode()[key] if isinstance(value, str) else value[key]
    if value is MISSING:
        raise ValueError("index of untyped nil")
    raise ValueError(f"can't index item of type {type_name(value)}")


def _zero(value: dict[str, object]) -> object:
    """What a map answers for a key it lacks: the empty text if texts are what it holds."""
    return "" if all(isinstance(item, str) for item in value.values()) else MISSING


def _slice(value: object, *bounds: object) -> object:
    if not isinstance(value, (list, tuple, str)):
        raise ValueError(f"slice of type {type_name(value)}")
    numbers = [bound for bound in bounds if isinstance(bound, int)]
    if len(numbers) != len(bounds) or any(not 0 <= bound <= len(value) for bound in numbers):
        raise ValueError(f"index out of range: {' '.join(text(bound) for bound in bounds)}")
    return value[slice(*numbers[:2])] if len(numbers) > 1 else value[numbers[0] if numbers else 0 :]


def _equal(first: object, *others: object) -> bool:
    if not others:
        raise ValueError("missing argument for comparison")
    return any(_same(first, other) for other in others)


def _same(left: object, right: object) -> bool:
    for value in (left, right):
        if isinstance(value, (dict, list, tuple)):
            raise ValueError(f"non-comparable type {type_name(value)}")
    if left is None or right is None or MISSING in (left, right):
        return left is right
    if _family(left) != _family(right):
        raise ValueError("incompatible types for comparison")
    return left == right


def _family(value: object) -> str:
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type_name(value)


def _less(left: object, right: object) -> bool:
    if _family(left) != _family(right):
        raise ValueError("incompatible types for comparison")
    if isinstance(left, str) and isinstance(right, str):
        return left < right
    if _family(left) == "number" and isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return left < right
    raise ValueError("invalid type for comparison")


def _words(value: object, what: str) -> list[str]:
    if value is None:
        return []
    if isinstance(value, (list, tuple)):
        return [text(item) for item in value]
    raise ValueError(f"{what} of type {type_name(value)}")


def _title(value: str) -> str:
    result, before = [], ""
    for character in value:
        result.append(character if before.isalnum() or before in ("_", "'") else character.title())
        before = character
    return "".join(result)


def _pad(value: str, before: int, after: int) -> str:
    return " " * before + value + " " * after if value else value


def _string(act: Callable[[str], str]) -> Callable[[object], str]:
    def checked(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError(f"expected string; found {text(value)}")
        return act(value)

    return checked


def _escape_html(*values: object) -> str:
    result = sprint(*values)
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&#34;"), ("'", "&#39;")):
        result = result.replace(character, entity)
    return result


def _query(*values: object) -> str:
    from urllib.parse import quote_plus

    return quote_plus(sprint(*values))


FUNCTIONS: dict[str, Callable[..., object]] = {
    # "and" and "or" are the executor's own: they stop early.
    "and": lambda *values: None,
    "or": lambda *values: None,
    "not": lambda value: not truth(value),
    "eq": _equal,
    "ne": lambda left, right: not _same(left, right),
    "lt": _less,
    "le": lambda left, right: not _less(right, left),
    "gt": lambda left, right: _less(right, left),
    "ge": lambda left, right: not _less(left, right),
    "len": _length,
    "index": _index,
    "slice": _slice,
    "print": sprint,
    "printf": sprintf,
    "println": sprintln,
    "html": _escape_html,
    "urlquery": _query,
    "json": to_json,
    "split": lambda value, separator: value.split(separator) if separator else list(value),
    "join": lambda values, separator: separator.join(_words(values, "join")),
    "title": _string(_title),
    "lower": _string(str.lower),
    "upper": _string(str.upper),
    "pad": _pad,
    "truncate": lambda value, length: value[:length],
}

HEADER_FUNCTIONS: dict[str, Callable[..., object]] = {
    **FUNCTIONS,
    **{name: lambda value, *_: value for name in ("json", "title", "lower", "upper", "truncate", "join")},
    "split": lambda value, *_: [value],
}
"""For the head of a table: what would change a column's value leaves its title alone."""
