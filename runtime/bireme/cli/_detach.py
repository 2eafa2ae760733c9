"""``--detach-keys``. Pure."""

from __future__ import annotations

from bireme import _keys
from bireme.cli._errors import CliError


def parse_keys(text: str) -> bytes:
    """The keys that the option names, as the bytes a terminal sends. Raises CliError."""
    try:
        return _keys.parse_keys(text)
    except ValueError as error:
        raise CliError(str(error), 125) from None
