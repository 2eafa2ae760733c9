"""A request's query string, read with Docker's rules. Pure."""

from __future__ import annotations

from urllib.parse import parse_qsl

from bireme_actors import InvalidConfig

_FALSE = frozenset({"", "0", "no", "false", "none"})
_MOST_FIELDS = 1000


class Query:
    """Decoded fields by name. Reading raises InvalidConfig where a value cannot be what it has to be."""

    def __init__(self, text: str = "") -> None:
        self._fields: dict[str, list[str]] = {}
        try:
            pairs = parse_qsl(text, keep_blank_values=True, errors="surrogateescape", max_num_fields=_MOST_FIELDS)
        except ValueError as error:
            raise InvalidConfig(f"invalid query: {error}") from None
        for name, value in pairs:
            self._fields.setdefault(name, []).append(value)

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def many(self, name: str) -> list[str]:
        """Every value of a field, in order."""
        return [_clean(name, value) for value in self._fields.get(name, ())]

    def text(self, name: str, default: str = "") -> str:
        """The first value, as text."""
        values = self._fields.get(name)
        return _clean(name, values[0]) if values else default

    def path(self, name: str) -> str:
        """The first value, as a path: bytes that are no text are kept (``surrogateescape``)."""
        value = self._fields.get(name, [""])[0]
        if not value:
            raise InvalidConfig(f"bad parameter: '{name}' cannot be empty")
        if "\0" in value:
            raise InvalidConfig(f"bad parameter: '{name}' holds a NUL character")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        """Whether a switch is on; ``0 no false none`` and nothing are off."""
        return self.text(name).strip().lower() not in _FALSE if name in self._fields else default

    def number(self, name: str) -> int | None:
        """A whole number, None where nothing is given."""
        text = self.text(name).strip()
        if not text:
            return None
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
            raise InvalidConfig(f"invalid value {text!r} for '{name}': it must be a whole number")
        return int(text)


def _clean(name: str, value: str) -> str:
    if "\0" in value or (not value.isascii() and any("\udc80" <= char <= "\udcff" for char in value)):
        raise InvalidConfig(f"invalid value for '{name}': it is not text in UTF-8")
    return value
