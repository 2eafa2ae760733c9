"""Where everything is: every path below ROOT, and who may write there.

A ``Layout`` gives absolute paths; ``layout.relative`` is the same layout seen from ROOT, for messages to processes
whose working directory is ROOT (so that a ROOT with colons or commas in its name can still be mounted from).
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from dataclasses import dataclass, field, replace
from typing import Self

from bireme import _files
from bireme import _syscalls as sys_
from bireme_actors import Conflict, ContainerId, StorageError, VolumeId

CONFIG, STATE, EXIT, LOG = "config.json", "state.jsonl", "exit.json", "log.jsonl"
NEW = ".new"
"""Suffix of a file that is about to replace the one without it."""

_DIRECTORIES = {
    "": 0o711,
    "volumes": 0o711,
    "volumes/.staging": 0o700,
    "volumes/.trash": 0o700,
    "containers": 0o711,
    "containers/.trash": 0o700,
    "images": 0o700,
    "images/layers": 0o700,
    "cache": 0o700,
}
_ID = re.compile("[0-9a-f]{64}")
_PROBE = ".probe"
_RENAME_WHITEOUT = 4


@dataclass(frozen=True, slots=True)
class Layout:
    """Every path below ``root``, which is absolute and free of links. ``close`` gives up the lock of ``open_root``."""

    root: str
    _lock: int = field(default=-1, compare=False, repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another engine have the root. Once, by whoever called ``open_root``."""
        if self._lock >= 0:
            os.close(self._lock)

    @property
    def relative(self) -> Layout:
        """The same paths relative to ROOT."""
        return Layout("")

    def at(self, path: str) -> str:
        """``ROOT/path``."""
        return f"{self.root}/{path}" if self.root else path

    @property
    def lock(self) -> str:
        return self.at("lock")

    @property
    def cache(self) -> str:
        return self.at("cache")

    @property
    def images(self) -> str:
        return self.at("images")

    @property
    def layers(self) -> str:
        """One directory an unpacked layer."""
        return self.at("images/layers")

    @property
    def volumes(self) -> str:
        return self.at("volumes")

    @property
    def staging(self) -> str:
        """Volumes whose container's record is not yet on disk."""
        return self.at("volumes/.staging")

    @property
    def containers(self) -> str:
        return self.at("containers")

    @property
    def trash(self) -> tuple[str, str]:
        """Directories of what is being deleted, each on the file system of what is thrown into it."""
        return self.at("volumes/.trash"), self.at("containers/.trash")

    def volume(self, volume: VolumeId) -> str:
        """The volume itself."""
        return self.at(f"volumes/{volume}")

    def staged(self, volume: VolumeId) -> str:
        return self.at(f"volumes/.staging/{volume}")

    def volume_trash(self, volume: VolumeId) -> str:
        """A fresh name to throw a volume away under."""
        return self.at(f"volumes/.trash/{volume}.{secrets.token_hex(4)}")

    def container(self, container: ContainerId) -> str:
        return self.at(f"containers/{container}")

    def config(self, container: ContainerId) -> str:
        return self.at(f"containers/{container}/{CONFIG}")

    def state(self, container: ContainerId) -> str:
        return self.at(f"containers/{container}/{STATE}")

    def exit(self, container: ContainerId) -> str:
        return self.at(f"containers/{container}/{EXIT}")

    def log(self, container: ContainerId) -> str:
        return self.at(f"containers/{container}/{LOG}")

    def upper(self, container: ContainerId) -> str:
        return self.at(f"containers/{container}/upper")

    def work(self, container: ContainerId) -> str:
        return self.at(f"containers/{container}/work")

    def hostname(self, container: ContainerId) -> str:
        return self.at(f"containers/{container}/hostname")

    def hosts(self, container: ContainerId) -> str:
        return self.at(f"containers/{container}/hosts")

    def resolv_conf(self, container: ContainerId) -> str:
        return self.at(f"containers/{container}/resolv.conf")

    def container_trash(self, container: ContainerId) -> str:
        """A fresh name to throw a container, or a part of it, away under."""
        return self.at(f"containers/.trash/{container}.{secrets.token_hex(4)}")


def list_ids(directory: str) -> list[str]:
    """Names in a directory that are identifiers; what else lies there (``lost+found``) is none of our business."""
    with os.scandir(directory) as entries:
        return [entry.name for entry in entries if _ID.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)]


def open_root(root: str | os.PathLike[str]) -> Layout:
    """Make ROOT and its directories where they are missing, and lock it until ``Layout.close`` or the process's end.

    Raises Conflict if another engine uses it, StorageError if it cannot be written or its file system cannot hold the
    writable layers of containers.
    """
    path = os.path.abspath(root)
    try:
        os.makedirs(path, mode=0o711, exist_ok=True)
        layout = Layout(os.path.realpath(path))
        lock = _files.try_lock(layout.lock)
    except OSError as error:
        raise _unusable(path, error) from None
    if lock is None:
        raise Conflict(
            f"root {layout.root} is in use by another engine: shut that one down, or choose another with --root or "
            "BIREME_ROOT"
        )
    try:
        _make_directories(layout)
        _probe(layout)
    except OSError as error:
        os.close(lock)
        raise _unusable(layout.root, error) from None
    except BaseException:
        os.close(lock)
        raise
    return replace(layout, _lock=lock)


def _make_directories(layout: Layout) -> None:
    for name, mode in _DIRECTORIES.items():
        path = layout.at(name) if name else layout.root
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, mode)
            os.chmod(path, mode)
            _files.sync_directory(os.path.dirname(path))
    for path in layout.trash:
        _files.spread(path)  # for the berths in it


def _probe(layout: Layout) -> None:
    """Refuse a file system that overlayfs would refuse later, container by container, with a bare EINVAL."""
    path = f"{layout.containers}/{_PROBE}"
    _files.remove_tree(path)
    os.mkdir(path, 0o700)
    try:
        os.close(os.open(f"{path}/a", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        lacking = _lacking(path)
        if lacking:
            raise StorageError(
                f"root {layout.root} is on {_kind_of(layout.root)}, which lacks {lacking}: containers' writable layers "
                "need both; choose a root on ext4, xfs, btrfs or tmpfs with --root or BIREME_ROOT"
            )
    finally:
        _files.remove_tree(path)


def _lacking(path: str) -> str:
    try:
        os.setxattr(path, "trusted.overlay.opaque", b"y")
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EINVAL):
            return "extended attributes (trusted.overlay.*)"
    try:
        sys_.renameat2(f"{path}/a", f"{path}/b", _RENAME_WHITEOUT)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
            return "whiteouts (RENAME_WHITEOUT)"
    return ""


def _kind_of(path: str) -> str:
    """The type of the file system at ``path``, for a message."""
    wanted = os.stat(path).st_dev
    device = f"{os.major(wanted)}:{os.minor(wanted)}"
    with contextlib.suppress(OSError), open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as table:
        for line in table:
            before, _, after = line.partition(" - ")
            if before.split()[2] == device:
                return after.split()[0]
    return "a file system"


def _unusable(path: str, error: OSError) -> StorageError:
    reason = error.strerror or str(error)
    return StorageError(
        f"cannot use root {path}: {reason}; make it writable, or choose another with --root or BIREME_ROOT"
    )
