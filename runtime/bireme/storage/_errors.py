"""Disk errors, translated once: what the operating system says becomes one line with the thing and the way out."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from bireme_actors import StorageError

_WAYS_OUT = {
    errno.ENOSPC: "free some space (volume rm, rmi, rm) or give the root a larger disk",
    errno.EDQUOT: "raise the disk quota or free some space",
    errno.EROFS: "its file system is read-only: look at the kernel's log for the reason and remount it",
    errno.EIO: "the disk fails: look at the kernel's log",
    errno.EACCES: "the engine must be allowed to write below its root",
    errno.EPERM: "the engine must be allowed to write below its root",
    errno.EBUSY: "something is mounted there: unmount it first",
    errno.EMFILE: "raise the limit of open files (ulimit -n) of the engine",
    errno.ENFILE: "raise the system's limit of open files (sysctl fs.file-max)",
    errno.ENOENT: "something else has removed it: restart the engine, which puts its root in order",
}


def storage_error(doing: str, error: OSError) -> StorageError:
    """``doing`` names the thing and what was to be done with it."""
    reason = error.strerror or str(error)
    way_out = _WAYS_OUT.get(error.errno or 0, "")
    return StorageError(f"cannot {doing}: {reason}{'; ' + way_out if way_out else ''}")


@contextlib.contextmanager
def translated(doing: str) -> Iterator[None]:
    """OSError that leaves the block leaves as StorageError."""
    try:
        yield
    except OSError as error:
        raise storage_error(doing, error) from error
