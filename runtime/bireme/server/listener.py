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
    """Made beside under a name of its own, given its owner and mode, and only then put in its place."""
    beside = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{os.getpid()}")
    _check_replaceable(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        _bind(sock, beside)
        try:
            os.chmod(beside, 0o600 if gid is None else 0o660)
            if gid is not None:
                os.chown(beside, -1, gid)
            sock.listen(_BACKLOG)
            sock.setblocking(False)
            made = os.lstat(beside).st_ino
            os.rename(beside, path)
        except BaseException:
            os.unlink(beside)
            raise
        try:
            yield sock
        finally:
            with contextlib.suppress(FileNotFoundError):
                if os.lstat(path).st_ino == made:
                    os.unlink(path)


def _check_replaceable(path: str) -> None:
    """Nobody holds the lock, so a socket that is there is a leftover; anything else is not ours."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise Conflict(f"cannot listen at {path}: there is something else than a socket; move it away")


def _bind(sock: socket.socket, path: str) -> None:
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        sock.bind(path)
        return
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sock.bind(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
    finally:
        os.close(directory)
