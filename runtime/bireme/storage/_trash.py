"""Throwing away: a rename, which is instant and whole, then the deleting, which may take as long as it likes.

What is small is deleted at once, in the same pass; a tree with many entries is finished by a thread of its own, so
that nobody else waits for it. What a crash leaves in the trash the next start-up deletes.
"""

from __future__ import annotations

import logging
import os

import trio

from bireme import _files

_log = logging.getLogger("bireme")

_AT_ONCE = 256
"""Entries that are deleted at once."""


def discard(path: str, thrown: str) -> str | None:
    """Move ``path`` to ``thrown`` and delete it; where there is more than a little, the path of the rest.

    Nothing happens if there is no ``path``. Raises OSError if it cannot be moved.
    """
    try:
        _files.rename_any(path, thrown)
    except FileNotFoundError:
        return None
    try:
        return None if _files.remove_tree(thrown, most=_AT_ONCE) else thrown
    except OSError as error:
        _report(thrown, error)
        return None


async def finish(rest: str | None) -> None:
    """Delete what ``discard`` left. Cancelled: it is deleted all the same, but nobody waits for it."""
    if rest is None:
        await trio.lowlevel.checkpoint()
    else:
        await trio.to_thread.run_sync(delete, rest, abandon_on_cancel=True)


def delete(path: str) -> None:
    """Delete what lies in the trash; what cannot be is reported and stays there."""
    try:
        _files.remove_tree(path)
    except OSError as error:
        _report(path, error)


def _report(path: str, error: OSError) -> None:
    _log.warning("cannot delete %s: %s; the next start of the engine tries again", path, error)


def entries(directory: str) -> list[str]:
    """Paths of what lies in a trash directory."""
    return [os.path.join(directory, name) for name in os.listdir(directory)]
