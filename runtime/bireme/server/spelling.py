"""Names of fields as Go's servers take them: in any case (``detachKeys``), the exact one before others. Pure."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec


def spelled(value: Any, kind: Any) -> Any:
    """JSON for ``kind`` (a msgspec struct, or a list of them), its fields' names in the struct's own spelling."""
    fields, items = _fields(kind), _items(kind)
    if isinstance(value, dict) and fields is not None:
        return _members(value, fields)
    if isinstance(value, list) and items is not None:
        return [spelled(item, items) for item in value]
    return value


def _members(value: dict[str, Any], fields: dict[str, tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, item in value.items():
        name, kind = fields.get(key.lower(), (key, None))
        if key == name or (name not in value and name not in found):
            found[name] = spelled(item, kind)
    return found


@cache
def _fields(kind: Any) -> dict[str, tuple[str, Any]] | None:
    """The fields of a struct by their names in lower case: (name, type)."""
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return None
    return {field.encode_name.lower(): (field.encode_name, field.type) for field in msgspec.structs.fields(kind)}


def _items(kind: Any) -> Any:
    """The type of the items of ``list[...]``; None for other types."""
    return kind.__args__[0] if getattr(kind, "__origin__", None) is list else None
