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

CAPACITY = 64
"""Directories that are made next to each other; the files in each are a dozen."""

PREFIX = "berth."


class Berth:
    """Makes directories, for any number of threads."""

    def __init__(self, trash: str) -> None:
        """``trash`` is a directory on the file system of what is to be made, and spreads what is made in it."""
        self._trash = trash
        self._lock = threading.Lock()
        self._path = ""
        self._room = 0

    def make(self, path: str, mode: int) -> None:
        """Make a directory, with a name that there has not been before. Raises OSError."""
        with self._lock:
            beside = f"{self._place()}/{os.path.basename(path)}"
            os.mkdir(beside, mode)
            try:
                os.rename(beside, path)
            except BaseException:
                os.rmdir(beside)
                raise

    def close(self) -> None:
        """Remove it."""
        with self._lock:
            self._leave()

    def _place(self) -> str:
        if not self._room:
            self._leave()
            path = f"{self._trash}/{PREFIX}{secrets.token_hex(4)}"
            os.mkdir(path, 0o700)
            self._path, self._room = path, CAPACITY
        self._room -= 1
        return self._path

    def _leave(self) -> None:
        if self._path:
            with contextlib.suppress(OSError):
                os.rmdir(self._path)
            self._path, self._room = "", 0
