"""Who a container's process is: users and groups read from the container's own files.

The files are parsed here, never asked for through the C library, which would load name services from the container
into a process that still has the host's rights (CVE-2019-14271).
"""

from __future__ import annotations

import os
import stat

from bireme import _syscalls as sys_
from bireme.launcher._protocol import INVALID, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_LARGEST = 1 << 20
"""Bytes read of a passwd or group file."""
_MOST = (1 << 32) - 2
_IN_ROOT = sys_.RESOLVE_IN_ROOT | sys_.RESOLVE_NO_MAGICLINKS


class Identity:
    """Numbers, supplementary groups and home directory of a user."""

    __slots__ = ("gid", "groups", "home", "uid")

    def __init__(self, uid: int, gid: int, groups: list[int], home: str) -> None:
        self.uid = uid
        self.gid = gid
        self.groups = groups
        self.home = home


def find(user: str, extra_groups: Sequence[str], root: int = -1) -> Identity:
    """Look up ``""`` (root), ``uid``, ``name``, each with ``:gid`` or ``:group``, as Docker does.

    ``root``: descriptor of the directory whose ``/etc`` counts; -1 for ``/``. Raises Failure if a name is unknown.
    """
    name, _, group = user.partition(":")
    users = _rows(root, "/etc/passwd", 7)
    row = _user_row(users, name or "0")
    if row is None:
        uid = _number(name, f"unable to find user {name}: no matching entries in passwd file")
        row = ["", "", str(uid), "0", "", "/"]
    login = row[0]
    rows = _rows(root, "/etc/group", 4) if group or login or extra_groups else []
    return _with_groups(Identity(int(row[2]), int(row[3]), [], row[5] or "/"), rows, login, group, extra_groups)


def _with_groups(found: Identity, rows: list[list[str]], login: str, group: str, extra: Sequence[str]) -> Identity:
    gid = found.gid
    groups: list[int] = []
    if group:
        gid = _group_number(rows, group)
    elif login:
        groups = [int(row[2]) for row in rows if row[2].isdigit() and login in row[3].split(",")]
    for name in extra:
        groups.append(_group_number(rows, name))
    return Identity(found.uid, gid, list(dict.fromkeys([gid, *groups])), found.home)


def _user_row(rows: list[list[str]], name: str) -> list[str] | None:
    for row in rows:
        if name == row[0] and row[2].isdigit() and row[3].isdigit():
            return row
    for row in rows:
        if name == row[2] and row[3].isdigit():
            return row
    return None


def _group_number(rows: list[list[str]], name: str) -> int:
    for row in rows:
        if name == row[0] and row[2].isdigit():
            return int(row[2])
    return _number(name, f"unable to find group {name}: no matching entries in group file")


def _number(text: str, complaint: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()):
        raise Failure(INVALID, complaint)
    if int(text) > _MOST:
        raise Failure(INVALID, f"uids and gids must be in range 0-{_MOST}: {text}")
    return int(text)


def _rows(root: int, path: str, fields: int) -> list[list[str]]:
    """The rows of a passwd or group file that have all their fields; none if there is no such regular file."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    try:
        fd = os.open(path, flags) if root < 0 else sys_.openat2(root, path, flags, resolve=_IN_ROOT)
    except OSError:
        return []
    try:
        found = os.fstat(fd)
        data = os.read(fd, min(found.st_size, _LARGEST)) if stat.S_ISREG(found.st_mode) else b""
    finally:
        os.close(fd)
    rows = [line.split(":") for line in data.decode("utf-8", "replace").splitlines()]
    return [row for row in rows if len(row) >= fields]
