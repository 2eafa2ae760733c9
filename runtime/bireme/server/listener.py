"""The socket of the API: made so that nobody else can ever connect to it, and owned by one engine at a time.

A lock beside the socket, held as long as the engine lives, tells a socket that is served from one that an engine which
was killed has left behind.
"""

from __future__ import annotations

import contextlib
import grp
import os
import socket
import stat
from collections.abc import Iterator

import trio

from bireme import _files
from bireme_actors import Conflict, InvalidConfig, StorageError

_BACKLOG = 4096
_LONGEST_PATH = 107
"""Bytes of a path in a socket's address."""


@contextlib.contextmanager
def open_listener(path: str, *, group: str = "") -> Iterator[trio.SocketListener]:
    """Listen at ``path``, 0600, or 0660 for a group, named or numbered; the socket is removed at the end.

    Raises Conflict where another engine listens or something else lies there, InvalidConfig for an unknown group.
    """
    gid = _group_id(group) if group else None
    with _reported(path):
        os.makedirs(os.path.dirname(path), mode=0o711, exist_ok=True)
        lock = _files.try_lock(os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.lock"))
    if lock is None:
        raise Conflict(f"another engine listens at {path}; stop it, or choose another run directory")
    try:
        with _reported(path), _bound(path, gid) as sock:
            yield trio.SocketListener(trio.socket.from_stdlib_socket(sock))
    finally:
        os.close(lock)  # its file stays: a lock on a file that is removed would be no lock


def _group_id(group: str) -> int:
    if group.isdecimal():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise InvalidConfig(f"unknown group '{group}' for the socket") from None


@contextlib.contextmanager
def _reported(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot listen at {path}: {error.strerror or error}") from error


@contextlib.contextmanager
def _bound(path: str, gid: int | None) -> Iterator[socket.socket]:
    """The mode is set before the socket has a name (Linux takes it over), so at no moment may others connect."""
    _remove_leftover(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        os.fchmod(sock.fileno(), 0o600)
        _bind(sock, path)
        made = os.lstat(path).st_ino
        try:
            if gid is not None:
                os.chown(path, -1, gid)
                os.chmod(path, 0o660)
            sock.listen(_BACKLOG)
            sock.setblocking(False)
            yield sock
        finally:
            with contextlib.suppress(FileNotFoundError):
                if os.lstat(path).st_ino == made:
                    os.unlink(path)


def _remove_leftover(path: str) -> None:
    """Nobody else holds the lock, so a socket that is there is a leftover; anything else is not ours."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise Conflict(f"cannot listen at {path}: there is something else than a socket; move it away")
        os.unlink(path)


def _bind(sock: socket.socket, path: str) -> None:
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        sock.bind(path)
        return
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sock.bind(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
    finally:
        os.close(directory)
