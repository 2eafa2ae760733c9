"""What a container's log is to be, in Docker's words (``LogConfig``). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bireme.storage import LogOptions, Rotation
from bireme_actors import InvalidConfig

_KNOWN = frozenset({"max-size", "max-file", "compress", "labels", "labels-regex", "env", "env-regex", "tag", "mode"})
_KNOWN |= {"max-buffer-size"}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?) ?([kmgtp]?)i?b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15}
_MOST_FILES = 100
_LOCAL = Rotation(20_000_000, 5)
"""Of Docker's driver ``local``, where nothing is said."""
_DRIVERS = ("", "json-file", "local", "none")


def read_log_options(extra: Mapping[str, object]) -> LogOptions:
    """What becomes of the output, of what is kept of a container. Raises InvalidConfig."""
    host = extra.get("HostConfig")
    log = host.get("LogConfig") if isinstance(host, Mapping) else None
    if not isinstance(log, Mapping):
        return LogOptions()
    kind, given = log.get("Type") or "", log.get("Config")
    if kind not in _DRIVERS:
        raise InvalidConfig(f"logger: no log driver named '{kind}' is registered")
    if kind == "none":
        return LogOptions(kept=False)
    return LogOptions(rotation=_rotation(str(kind), given if isinstance(given, Mapping) else {}))


def _rotation(kind: str, options: Mapping[str, object]) -> Rotation | None:
    for name in options:
        if name not in _KNOWN:
            raise InvalidConfig(f"unknown log opt '{name}' for {kind or 'json-file'} log driver")
    usual = _LOCAL if kind == "local" else None
    files = _files(str(options["max-file"])) if "max-file" in options else usual.most_files if usual else 1
    size = _size(str(options["max-size"])) if "max-size" in options else usual.most_bytes if usual else 0
    return Rotation(size, files) if size else None


def _size(text: str) -> int:
    """Bytes; 0 for no bound. Docker counts in thousands here."""
    if text.strip() == "-1":
        return 0
    found = _SIZE.fullmatch(text.strip())
    if found is None or not float(found[1]):
        raise InvalidConfig(f"invalid value for max-size: '{text}': write it as 10m")
    return max(1, int(float(found[1]) * _UNITS[found[2].lower()]))


def _files(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= _MOST_FILES):
        raise InvalidConfig(f"invalid value for max-file: '{text}': a number from 1 to {_MOST_FILES}")
    return int(text)


def checked(extra: Mapping[str, object]) -> Mapping[str, object]:
    """The same. Raises InvalidConfig for a log that cannot be."""
    read_log_options(extra)
    return extra
