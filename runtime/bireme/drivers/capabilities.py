"""Linux capabilities as Docker hands them out: names, bit masks, the default set, and what is added or dropped."""

from __future__ import annotations

from collections.abc import Iterable

from bireme_actors import InvalidConfig, Security

NAMES = (
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
)
"""All of Linux 5.9 to at least 6.18, without ``CAP_``; a name's place is its number (capabilities(7))."""

NUMBERS = {name: number for number, name in enumerate(NAMES)}

ALL = (1 << len(NAMES)) - 1

_EVERY = "ALL"


def mask(names: Iterable[str]) -> int:
    """The bit mask of plain names (as in ``NAMES``)."""
    bits = 0
    for name in names:
        bits |= 1 << NUMBERS[name]
    return bits


def names(bits: int) -> tuple[str, ...]:
    """The names in a bit mask, in the kernel's order."""
    return tuple(name for name, number in NUMBERS.items() if bits >> number & 1)


DEFAULT = mask(
    (
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "NET_RAW",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    )
)
"""What a container gets where nothing else is said: Docker's fourteen."""


def parse(name: str) -> int:
    """The mask of one name in any case, with or without ``CAP_``; of all for ``ALL``. Raises InvalidConfig."""
    plain = name.upper().removeprefix("CAP_")
    if plain == _EVERY:
        return ALL
    if plain not in NUMBERS:
        raise InvalidConfig(f"unknown capability: {name!r}; see capabilities(7) for the names, or say ALL")
    return 1 << NUMBERS[plain]


def granted(security: Security) -> int:
    """What a container may have at most, as Docker reckons it.

    ``cap_add`` wins over ``cap_drop`` of the same name. ``ALL`` added is everything but what is dropped by name;
    ``ALL`` dropped leaves just what is added. A privileged container has everything. Raises InvalidConfig for an
    unknown name.
    """
    added, adds_all = _sum(security.cap_add)
    dropped, drops_all = _sum(security.cap_drop)
    if security.privileged:
        return ALL
    if adds_all:
        return ALL & ~dropped
    return added if drops_all else DEFAULT & ~dropped | added


def _sum(given: Iterable[str]) -> tuple[int, bool]:
    """The mask of what is named one by one, and whether ``ALL`` is among the names."""
    bits, every = 0, False
    for name in given:
        found = parse(name)
        if found == ALL:
            every = True
        else:
            bits |= found
    return bits, every
