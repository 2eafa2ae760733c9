"""Directories that lie apart on the disk, without a search for each.

Where containers come and go ext4 looks, for each new file, at every one that was deleted nearby within the last
minutes; so directories have to lie far from each other (``_files.spread``). But to find such a place costs it 0.13 ms,
five times what a directory costs. So the place is sought for a *berth*; the next directories are made in it, and moved
to where they belong.

A berth lies in the trash: what a crash leaves of it goes the way of the rest.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from collections.abc import Iterator

CAPACITY = 64
"""Directories that are made next to each other; the files in each are a dozen."""

PREFIX = "berth."


class _Place:
    """A directory to make others in."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.room = CAPACITY
        self.users = 0


class Berth:
    """Says where to make directories, to any number of threads."""

    def __init__(self, trash: str) -> None:
        """``trash`` is a directory on the file system of what is to be made, and spreads what is made in it."""
        self._trash = trash
        self._lock = threading.Lock()
        self._place: _Place | None = None

    @contextlib.contextmanager
    def beside(self, path: str) -> Iterator[str]:
        """Where to make ``path``, a name that there has not been before, which is to be renamed within the block.

        If the block is left by an exception, what is empty there is removed. Raises OSError.
        """
        with self._lock:
            place = self._enter()
        made = f"{place.path}/{os.path.basename(path)}"
        try:
            yield made
        except BaseException:
            with contextlib.suppress(OSError):
                os.rmdir(made)
            raise
        finally:
            with self._lock:
                self._leave(place)

    def close(self) -> None:
        """Remove it, once nobody is in it."""
        with self._lock:
            place, self._place = self._place, None
            if place is not None:
                _remove(place)

    def _enter(self) -> _Place:
        place = self._place
        if place is None:
            path = f"{self._trash}/{PREFIX}{secrets.token_hex(4)}"
            os.mkdir(path, 0o700)
            place = self._place = _Place(path)
        place.users += 1
        place.room -= 1
        if not place.room:
            self._place = None
        return place

    def _leave(self, place: _Place) -> None:
        place.users -= 1
        if place is not self._place:
            _remove(place)


def _remove(place: _Place) -> None:
    if not place.users:
        with contextlib.suppress(OSError):
            os.rmdir(place.path)
