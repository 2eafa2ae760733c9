"""Local files as a tar archive, piece by piece: PAX, owners by number, times to the nanosecond, hard links once."""

from __future__ import annotations

import os
import stat
import tarfile

from bireme.cli._copy.plan import CONTENTS
from bireme.cli._errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 1 << 18
_BLOCK = 512
_XATTR = "SCHILY.xattr."
_TYPES = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
}


def pack(path: str, name: str) -> Iterator[bytes]:
    """``path`` and all below it; the archive calls it ``name``. Sockets are left out. Raises CliError."""
    links: dict[tuple[int, int], str] = {}
    waiting = [(path, name)]
    try:
        while waiting:
            here, known_as = waiting.pop()
            facts = os.lstat(here)
            kind = _TYPES.get(stat.S_IFMT(facts.st_mode))
            if kind is None:
                continue
            yield from _entry(here, known_as, facts, kind, links)
            if kind == tarfile.DIRTYPE:
                below = sorted(os.listdir(here), reverse=True)
                waiting += [(os.path.join(here, child), f"{known_as}/{child}") for child in below]
    except OSError as error:
        raise CliError(f"cannot read {error.filename}: {(error.strerror or str(error)).lower()}") from None
    yield bytes(2 * _BLOCK)


def _entry(
    path: str, name: str, facts: os.stat_result, kind: bytes, links: dict[tuple[int, int], str]
) -> Iterator[bytes]:
    info = _header(path, name, facts, kind)
    first = links.setdefault((facts.st_dev, facts.st_ino), name) if facts.st_nlink > 1 else name
    if kind == tarfile.REGTYPE and first != name:
        info.type, info.linkname = tarfile.LNKTYPE, first
    elif kind == tarfile.REGTYPE:
        info.size = facts.st_size
    yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    if info.size:
        yield from _content(path, info.size)


def _header(path: str, name: str, facts: os.stat_result, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(f"{CONTENTS}/" if name == CONTENTS else name)
    info.type = kind
    info.mode = stat.S_IMODE(facts.st_mode)
    info.uid, info.gid = facts.st_uid, facts.st_gid
    seconds, nanos = divmod(facts.st_mtime_ns, 10**9)
    info.mtime = seconds
    moment = {"mtime": f"{seconds}.{nanos:09d}"} if nanos and seconds >= 0 else {}
    info.pax_headers = {**moment, **_xattrs(path)}
    if kind == tarfile.SYMTYPE:
        info.linkname = os.readlink(path)
    if kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        info.devmajor, info.devminor = os.major(facts.st_rdev), os.minor(facts.st_rdev)
    return info


def _xattrs(path: str) -> dict[str, str]:
    """A user's own, and what a file may do; the rest is the host's."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return {}
    wanted = [name for name in names if name.startswith("user.") or name == "security.capability"]
    values = {name: os.getxattr(path, name, follow_symlinks=False) for name in wanted}
    return {_XATTR + name: value.decode("utf-8", "surrogateescape") for name, value in values.items()}


def _content(path: str, size: int) -> Iterator[bytes]:
    left = size
    with open(path, "rb", buffering=0, opener=_open_as_it_is) as file:
        while left:
            data = file.read(min(left, _CHUNK))
            if not data:
                raise CliError(f"{path} became shorter while it was read")
            left -= len(data)
            yield data
    yield bytes(-size % _BLOCK)


def _open_as_it_is(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
