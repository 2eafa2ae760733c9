"""What an operating system's error means here: whose fault it is. One table for the package."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from bireme_actors import BiremeError, InvalidConfig, StorageError

_ARCHIVES = frozenset(
    (
        errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.ENOENT, errno.EFBIG,
        errno.ERANGE, errno.EOVERFLOW, errno.EILSEQ, errno.EXDEV, errno.EMLINK, errno.EEXIST, errno.EPERM, errno.E2BIG,
    )
)  # fmt: skip
"""What only an archive's own content can cause; everything else is the disk's refusal."""


def reason(error: OSError) -> str:
    """The system's own words."""
    return os.strerror(error.errno) if error.errno else str(error)


@contextmanager
def storage_faults(doing: str) -> Iterator[None]:
    """An OSError inside becomes a StorageError that says what could not be done."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{doing}: {reason(error)}") from error


def member_fault(name: str, error: OSError) -> BiremeError:
    """Why a member of an archive could not be unpacked."""
    text = f"the archive's member {name!r} cannot be unpacked: {reason(error)}"
    return InvalidConfig(text) if error.errno in _ARCHIVES else StorageError(f"{text}; nothing of it was kept")
