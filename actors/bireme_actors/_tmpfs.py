"""What a tmpfs may be asked to be: the options of ``--tmpfs PATH:OPTIONS``, in Docker's words and of Docker's meaning.

They are read twice: when a container is created, so that what can never be is refused at once, and whenever it starts.
Sizes are the kernel's to read (tmpfs(5)); here it is made sure that it can.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bireme_actors._errors import InvalidConfig
from bireme_actors._model import Tmpfs
from bireme_actors._plan import clean_destination, shown

DEFAULT_FLAGS = frozenset({"nosuid", "nodev", "noexec"})

_KERNELS_OWN = ("/proc", "/sys")
_FLAGS: Mapping[str, tuple[str, bool]] = {
    "ro": ("ro", True), "rw": ("ro", False), "nosuid": ("nosuid", True), "suid": ("nosuid", False),
    "nodev": ("nodev", True), "dev": ("nodev", False), "noexec": ("noexec", True), "exec": ("noexec", False),
    "noatime": ("noatime", True), "atime": ("noatime", False), "nodiratime": ("nodiratime", True),
    "diratime": ("nodiratime", False), "strictatime": ("strictatime", True), "nostrictatime": ("strictatime", False),
    "sync": ("sync", True), "async": ("sync", False), "dirsync": ("dirsync", True),
}  # fmt: skip
"""What each of the words without a value does to which flag."""
_IDLE = frozenset({"defaults", "relatime", "norelatime", "mand", "nomand", "private", "rprivate", "slave", "rslave"})
"""Words that Docker takes and that make no difference: what they ask for is so anyway, or no more in the kernel."""
_NUMBER = re.compile(r"(?P<digits>0x[0-9a-f]{1,16}|[0-9]{1,20})(?P<unit>[kmgtp]?)", re.IGNORECASE | re.ASCII)
_POLICY = re.compile(r"(default|prefer|bind|interleave|local)(=(static|relative))?(:[0-9-]+)?")
_UNITS = ("", "k", "m", "g", "t", "p")
_MOST = 1 << 63
_NOBODY = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class TmpfsOptions:
    """What the options of a tmpfs say."""

    flags: frozenset[str]
    """Of ``ro``, ``nosuid``, ``nodev``, ``noexec``, ``noatime``, ``nodiratime``, ``strictatime``, ``sync``,
    ``dirsync``."""
    settings: tuple[tuple[str, str], ...]
    """Of ``size``, ``nr_blocks``, ``nr_inodes``, ``mode``, ``uid``, ``gid``, ``mpol``, each at most once."""


def parse_tmpfs(text: str) -> Tmpfs:
    """``PATH[:OPTIONS]``. Raises InvalidConfig, saying why, for anything that cannot be mounted."""
    path, _, options = text.partition(":")
    return checked_tmpfs(Tmpfs(path, options))


def checked_tmpfs(asked: Tmpfs) -> Tmpfs:
    """With a clean path. Raises InvalidConfig for a path or an option that cannot be."""
    path = clean_destination(asked.destination, "tmpfs")
    if path == "/dev" or any(path == top or path.startswith(f"{top}/") for top in _KERNELS_OWN):
        raise InvalidConfig(f"invalid tmpfs path '{shown(path)}': what every container needs is there; name another")
    found = Tmpfs(path, asked.options, asked.listed)
    tmpfs_options(found)
    return found


def tmpfs_options(tmpfs: Tmpfs) -> TmpfsOptions:
    """What its options say; the last of several about the same. Raises InvalidConfig naming the option."""
    flags = DEFAULT_FLAGS
    settings: dict[str, str] = {}
    for word in tmpfs.options.split(",") if tmpfs.options else ():
        name, equals, value = word.partition("=")
        if equals and name in _SETTINGS:
            settings.pop(name, None)
            settings[name] = _checked(tmpfs, name, value)
        elif word in _FLAGS:
            flag, on = _FLAGS[word]
            flags = flags | {flag} if on else flags - {flag}
        elif word not in _IDLE:
            known = ", ".join([*_FLAGS, *(f"{setting}=" for setting in _SETTINGS)])
            raise _invalid(tmpfs, word, f"known are {known}")
    return TmpfsOptions(flags - {"noatime"} if "strictatime" in flags else flags, tuple(settings.items()))


def _invalid(tmpfs: Tmpfs, option: str, why: object) -> InvalidConfig:
    return InvalidConfig(f"invalid tmpfs option '{shown(option)}' for {shown(tmpfs.destination)}: {why}")


def _checked(tmpfs: Tmpfs, name: str, value: str) -> str:
    try:
        return _SETTINGS[name](value)
    except ValueError as error:
        raise _invalid(tmpfs, f"{name}={value}", error) from None


def _size(value: str) -> str:
    if value.endswith("%") and value[:-1].isdecimal() and value.isascii() and len(value) < 6:
        return value
    try:
        return _number(value)
    except ValueError as error:
        raise ValueError(f"{error}, or a part of the memory, size=50%") from None


def _number(value: str) -> str:
    found = _NUMBER.fullmatch(value)
    if found is None:
        raise ValueError("write a whole number, with k, m, g or t for larger units")
    if int(found["digits"], 0 if "x" in value.lower() else 10) << 10 * _UNITS.index(found["unit"].lower()) >= _MOST:
        raise ValueError("that is more than any machine has")
    return value


def _mode(value: str) -> str:
    """As the kernel has it: what goes beyond the permissions and the sticky bit is not looked at."""
    if not re.fullmatch("[0-7]{1,11}", value) or int(value, 8) > _NOBODY:
        raise ValueError("write it in octal digits, mode=1777")
    return f"{int(value, 8) & 0o7777:o}"


def _identity(value: str) -> str:
    if not re.fullmatch("0|[1-9][0-9]{0,9}", value) or int(value) >= _NOBODY:
        raise ValueError(f"write a number in decimal digits, below {_NOBODY}")
    return value


def _policy(value: str) -> str:
    if not _POLICY.fullmatch(value):
        raise ValueError("a policy is default, prefer, bind, interleave or local, as in mpol=bind:0-3")
    return value


_SETTINGS: Mapping[str, Callable[[str], str]] = {
    "size": _size,
    "nr_blocks": _number,
    "nr_inodes": _number,
    "mode": _mode,
    "uid": _identity,
    "gid": _identity,
    "mpol": _policy,
}
