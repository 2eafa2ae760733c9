"""Values as people type them: sizes, durations, times, limits, environments. Pure, but for reading named files."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST_NANOSECOND = 9


def parse_bytes(text: str) -> int:
    """``512m`` → bytes; units k, m, g, t, p, each also with ``b`` or ``ib``. Raises ValueError."""
    lowered = text.strip().lower()
    digits = lowered.rstrip("bikmgtp ")
    unit = lowered[len(digits) :].strip().removesuffix("b").removesuffix("i")
    if unit not in _UNITS:
        raise ValueError(f"invalid size: '{text}'")
    try:
        return int(float(digits) * _UNITS[unit])
    except (ValueError, OverflowError):
        raise ValueError(f"invalid size: '{text}'") from None


def parse_swap(text: str) -> int:
    """As ``parse_bytes``; -1 for no bound."""
    return -1 if text.strip() == "-1" else parse_bytes(text)


def parse_cpus(text: str) -> int:
    """``1.5`` processors → billionths of one. Raises ValueError."""
    from fractions import Fraction

    try:
        nanos = Fraction(text) * 10**9
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{text!r} is not a number of processors") from None
    if nanos.denominator != 1:
        raise ValueError("value is too precise")
    return int(nanos)


def parse_duration(text: str) -> float:
    """``1h30m``, ``10s``, ``250ms`` → seconds. Raises ValueError."""
    rest, total = text.lstrip("+-"), 0.0
    if not rest:
        raise ValueError(f"invalid duration {text!r}")
    while rest:
        number = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        rest = rest[len(number) :]
        unit = next((unit for unit in ("ns", "us", "µs", "ms", "s", "m", "h") if rest.startswith(unit)), None)
        if not number or unit is None:
            raise ValueError(f"invalid duration {text!r}: say 10s, 5m, 1h30m")
        total += float(number) * _SECONDS[unit]
        rest = rest[len(unit) :]
    return -total if text.startswith("-") else total


def parse_time(text: str, now: float) -> str:
    """A point in time as the API takes it, ``seconds.nanoseconds`` since 1970.

    ``text`` is that already, a duration back from ``now``, or a date and time of ISO 8601 (local time where it names
    no zone). Raises ValueError.
    """
    seconds, _, fraction = text.partition(".")
    if seconds.lstrip("-").isdigit() and (not fraction or fraction.isdigit()):
        return f"{seconds}.{fraction[:_LONGEST_NANOSECOND]:0<9}" if fraction else seconds
    try:
        return _stamp(now - parse_duration(text))
    except ValueError:
        return _iso_time(text)


def _stamp(moment: float) -> str:
    return f"{moment:.9f}"


def _iso_time(text: str) -> str:
    from datetime import datetime

    head, _, fraction = text.replace("Z", "+00:00").partition(".")
    digits = fraction[: len(fraction) - len(fraction.lstrip("0123456789"))]
    try:
        moment = datetime.fromisoformat(head + fraction[len(digits) :])
    except ValueError:
        raise ValueError(f'failed to parse value as time or duration: "{text}"') from None
    return f"{int(moment.timestamp())}.{digits[:_LONGEST_NANOSECOND]:0<9}"


def parse_ulimit(text: str) -> dict[str, object]:
    """``nofile=1024:2048`` as the API has it. Raises ValueError."""
    name, equals, values = text.partition("=")
    soft, colon, hard = values.partition(":")
    try:
        if not name or not equals:
            raise ValueError
        least, most = int(soft), int(hard if colon else soft)
    except ValueError:
        raise ValueError(f"invalid ulimit argument: {text}") from None
    if most != -1 and (least == -1 or least > most):
        raise ValueError(f"ulimit soft limit must be less than or equal to hard limit: {least} > {most}")
    return {"Name": name, "Soft": least, "Hard": most}


def parse_restart(text: str) -> dict[str, object]:
    """``on-failure:3`` as the API has it. Raises ValueError."""
    name, colon, count = text.partition(":")
    if name not in ("", "no", "always", "unless-stopped", "on-failure"):
        raise ValueError(
            f"invalid restart policy: unknown policy '{name}'; "
            "use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        )
    if colon and name != "on-failure":
        raise ValueError("invalid restart policy: maximum retry count can only be used with 'on-failure'")
    if colon and not count.isdigit():
        raise ValueError("invalid restart policy: maximum retry count must be an integer")
    return {"Name": name or "no", **({"MaximumRetryCount": int(count)} if colon else {})}


def environment(files: Iterable[str], given: Iterable[str], environ: Mapping[str, str]) -> list[str]:
    """``NAME=value`` lines of files, then of options; a bare NAME takes its value from ``environ``.

    Where that has none, a file's NAME goes, and an option's is left bare: it takes the image's variable away.
    Raises OSError, ValueError.
    """
    lines = [line for path in files for line in read_lines(path)]
    kept = [line for line in lines if "=" in line or line in environ]
    return [f"{line}={environ[line]}" if line in environ else line for line in [*kept, *given]]


def read_lines(path: str) -> list[str]:
    """The lines of an environment or label file, without comments. Raises OSError, ValueError naming the file."""
    with open(path, "rb") as file:
        content = file.read()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"env file {path} contains invalid utf8 bytes") from None
    lines = [line.lstrip() for line in text.splitlines()]
    kept = [line for line in lines if line and not line.startswith("#")]
    for line in kept:
        name = line.partition("=")[0]
        if not name or any(space in name for space in " \t"):
            raise ValueError(f"poorly formatted environment file {path}: invalid variable name {name!r}")
    return kept


def check_environment(text: str) -> None:
    """Raises ValueError for a variable without a name."""
    if not text.partition("=")[0]:
        raise ValueError(f"invalid environment variable: {text}")


def check_label(text: str) -> None:
    """Raises ValueError for a label without a name."""
    if not text.partition("=")[0]:
        raise ValueError(f"invalid label '{text}': empty name")


def labels(files: Iterable[str], given: Iterable[str]) -> dict[str, str]:
    """``NAME=value`` or ``NAME``, the files' first. Raises OSError, ValueError."""
    lines = [*(line for path in files for line in read_lines(path)), *given]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def check_address(text: str) -> None:
    """Raises ValueError for what is no IP address."""
    from ipaddress import ip_address

    try:
        ip_address(text)
    except ValueError:
        raise ValueError(f"{text} is not an ip address") from None


def check_hardware_address(text: str) -> None:
    """Raises ValueError for what is not written as 92:d0:c6:0a:29:33."""
    pairs = text.replace("-", ":").split(":")
    if len(pairs) != 6 or not all(len(pair) == 2 and set(pair) <= set("0123456789abcdefABCDEF") for pair in pairs):
        raise ValueError(f"{text} is not a valid mac address")


def check_host(text: str) -> None:
    """Raises ValueError for what is not written as NAME:ADDRESS."""
    name, _, address = host_entry(text).partition(":")
    if not name or not address:
        raise ValueError(f"bad format for add-host: {text!r}: write it as host:ip")
    if address != "host-gateway":
        try:
            check_address(address)
        except ValueError:
            raise ValueError(f"invalid IP address in add-host: {address!r}") from None


def host_entry(text: str) -> str:
    """``name=address``, ``name:[address]`` and ``name:address`` as the API has it, which is the last."""
    cut = min((text.find(mark) for mark in "=:" if mark in text), default=len(text))
    name, address = text[:cut], text[cut + 1 :]
    return f"{name}:{address[1:-1] if address[:1] == '[' and address[-1:] == ']' else address}"
