"""Filling a volume with what the image has at its place: everything a file has goes along.

The source is looked at from inside the view; the target, a directory of the host, is held by descriptor since before
the view was entered, and nothing but its own new names is looked up in it.
"""

from __future__ import annotations

import os
import stat

from bireme.launcher import _tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bireme.launcher._tree import Entry


def contents(source: int, target: int) -> int:
    """Copy what the directory ``source`` holds, and its own owner, mode, times and attributes; the number of entries.

    Raises OSError; what has been copied so far is then left for the caller to remove.
    """
    copying = _Copying(target)
    for entry, after in _tree.walk(source, lambda _: True):
        if after >= 0:
            copying.leave(entry, after)
        else:
            copying.copy(entry)
    _describe(os.fstat(source), _tree.attributes(source), target)
    return copying.entries


class _Copying:
    def __init__(self, target: int) -> None:
        self.entries = 0
        self._top = target
        self._into = [target]
        """Directories of the target on the way down to where the walk is."""
        self._links: dict[tuple[int, int], str] = {}
        """Where a file with several names has been copied to."""

    def copy(self, entry: Entry) -> None:
        """Make one name; a directory is left open, to be filled."""
        found, mode = entry.found, entry.found.st_mode
        into = self._into[-1]
        if stat.S_ISDIR(mode):
            os.mkdir(entry.name, 0o700, dir_fd=into)
            self._into.append(os.open(entry.name, _tree.DIRECTORY, dir_fd=into))
        elif (found.st_dev, found.st_ino) in self._links:
            os.link(self._links[found.st_dev, found.st_ino], entry.name, src_dir_fd=self._top, dst_dir_fd=into)
        elif not self._copy_plain(entry, into):
            return
        elif found.st_nlink > 1:
            self._links[found.st_dev, found.st_ino] = entry.path
        self.entries += 1

    def leave(self, entry: Entry, source: int) -> None:
        """A directory is complete: its times can be set."""
        into = self._into.pop()
        _describe(entry.found, _tree.attributes(source), into)
        os.close(into)

    def _copy_plain(self, entry: Entry, into: int) -> bool:
        if stat.S_ISREG(entry.found.st_mode):
            return _copy_file(entry, into)
        if stat.S_ISLNK(entry.found.st_mode):
            os.symlink(os.readlink(entry.name, dir_fd=entry.parent), entry.name, dir_fd=into)
        else:
            os.mknod(entry.name, entry.found.st_mode, entry.found.st_rdev, dir_fd=into)
        _describe_name(entry, into)
        return True


def _copy_file(entry: Entry, into: int) -> bool:
    source = _tree.open_same(entry, _tree.FILE)
    if source < 0:
        return False
    try:
        target = os.open(entry.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=into)
        try:
            _copy_data(source, target, entry.found.st_size)
            _describe(entry.found, _tree.attributes(source), target)
        finally:
            os.close(target)
    finally:
        os.close(source)
    return True


def _copy_data(source: int, target: int, size: int) -> None:
    """Copy the bytes; holes stay holes."""
    position = 0
    while position < size:
        try:
            start = os.lseek(source, position, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing but a hole is left
            break
        end = min(size, os.lseek(source, start, os.SEEK_HOLE))
        _copy_range(source, target, start, end)
        position = max(end, start + 1)
    os.ftruncate(target, size)


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    os.lseek(target, start, os.SEEK_SET)
    while start < end:
        sent = os.sendfile(target, source, start, min(end - start, 1 << 30))
        if sent == 0:
            return  # the file has been cut short meanwhile
        start += sent


def _describe(found: os.stat_result, attributes: dict[str, bytes], target: int) -> None:
    """Owner first, which takes set-user-ID bits and capabilities away; times last."""
    os.fchown(target, found.st_uid, found.st_gid)
    _tree.set_attributes(target, attributes)
    os.fchmod(target, stat.S_IMODE(found.st_mode))
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))


def _describe_name(entry: Entry, into: int) -> None:
    """The same for what cannot be opened: a link, a device, a pipe, a socket."""
    found = entry.found
    os.fchdir(entry.parent)
    attributes = _tree.attributes(entry.name)
    os.chown(entry.name, found.st_uid, found.st_gid, dir_fd=into, follow_symlinks=False)
    os.fchdir(into)
    _tree.set_attributes(entry.name, attributes)
    if not stat.S_ISLNK(found.st_mode):
        os.chmod(entry.name, stat.S_IMODE(found.st_mode), dir_fd=into)
    os.utime(entry.name, ns=(found.st_atime_ns, found.st_mtime_ns), dir_fd=into, follow_symlinks=False)
