"""Values as templates see them, and as Go prints them. Pure.

JSON knows objects; Go knows structs, whose fields are fixed, and maps, whose keys are not. A ``Struct`` is the first:
a field it lacks is an error. A plain dict is the second: a key it lacks is ``<no value>``.
"""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Struct(dict[str, "Any"]):
    """An object with fixed fields, in their own order."""

    kind = "struct"


class NilList(list["Any"]):
    """A list that was ``null``: empty, and JSON's null again when written."""


class NilMap(dict[str, "Any"]):
    """A map that was ``null``."""


class Missing:
    """The value of a key that a map lacks."""

    def __repr__(self) -> str:
        return "<no value>"


MISSING = Missing()


def truth(value: object) -> bool:
    """What ``if`` makes of a value: false are false, 0, nil, what is missing, and what is empty."""
    return bool(value) and value is not MISSING


def text(value: object) -> str:
    """A value as Go's ``%v`` prints it."""
    if isinstance(value, str):
        return value
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(text(item) for item in value) + "]"
    if isinstance(value, Struct):
        return "{" + " ".join(text(item) for item in value.values() if not callable(item)) + "}"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{text(value[key])}" for key in sorted(value)) + "]"
    return str(value)


def number(value: float) -> str:
    """A float as Go prints it: the shortest digits, an exponent from 1e+21 on."""
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    return repr(value)


def to_json(value: object) -> str:
    """Compact JSON; the keys of maps sorted, those of structs in their order."""
    return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))


def _plain(value: object) -> object:
    if isinstance(value, (NilList, NilMap)) or value is MISSING:
        return None
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Struct):
        return {key: _plain(item) for key, item in value.items() if not callable(item)}
    if isinstance(value, dict):
        return {key: _plain(value[key]) for key in sorted(value)}
    return value


_TYPES: dict[type, str] = {
    bool: "bool",
    int: "int",
    float: "float64",
    str: "string",
    list: "[]interface {}",
    dict: "map[string]interface {}",
}


def type_name(value: object) -> str:
    """What errors call a value's type."""
    if isinstance(value, Struct):
        return value.kind
    return "nil" if value is None else _TYPES.get(type(value), type(value).__name__)
