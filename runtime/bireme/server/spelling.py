"""Names of fields as Go's servers take them: in any case (``detachKeys``), the exact one before others. Pure.

Keys of maps (labels, names of networks) are no fields' names and stay as they are.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec


def spelled(value: Any, kind: Any) -> Any:
    """JSON for ``kind`` (a msgspec struct, a list or a map of them), its fields' names in the struct's own spelling."""
    fields, items = _fields(kind), _items(kind)
    if isinstance(value, dict):
        if fields is not None:
            return _members(value, fields)
        return {key: spelled(item, items) for key, item in value.items()} if items is not None else value
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
    """The type of the items of ``list[...]`` or ``dict[str, ...]``; None for other types."""
    return kind.__args__[-1] if getattr(kind, "__origin__", None) in (list, dict) else None
