"""The wire between engine and launcher: JSON messages over a SOCK_SEQPACKET socket, descriptors beside them.

A message too long for one packet travels in an anonymous file, whose descriptor is then the last one.
A request is ``{"id", "op", "request"}``, its answer ``{"id", "ok"}`` or ``{"id", "error": {"kind", "message"}}``;
what nobody asked for is ``{"event", ...}``.
"""

from __future__ import annotations

import json
import os
import socket
from array import array
from collections.abc import Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bireme.launcher.requests import Message

LONGEST = 64 << 10
"""Bytes of one packet."""
MOST_DESCRIPTORS = 16

HOST_PIDS_NUMBERS = 1 << 32
"""Beyond this are the numbers that a launcher gives to processes if it shares the PIDs of the host: an engine talks to
that one and to another one at the same time."""

NOT_FOUND, NOT_EXECUTABLE, INVALID, MISSING = "not-found", "not-executable", "invalid", "missing"
NO_PATH, CONFLICT, DRIVER, ABORTED, STORAGE = "no-path", "conflict", "driver", "aborted", "storage"
"""Kinds of error, as they travel."""

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_decode = json.JSONDecoder().decode


class Disconnected(Exception):
    """The other side is gone."""


def send(sock: socket.socket, message: Message, descriptors: Sequence[int] = ()) -> None:
    """Send one message; the caller keeps its own copies of the descriptors.

    Raises BlockingIOError if the socket would wait and is not to, Disconnected if nobody is there to receive.
    """
    send_encoded(sock, encode(message), descriptors)


def encode(message: Message) -> bytes:
    """A message as it travels, whatever texts are in it: names that are not UTF-8 have lone surrogates in them."""
    return _encode(message).encode()


def send_encoded(sock: socket.socket, data: bytes, descriptors: Sequence[int] = ()) -> None:
    """As ``send``, of a message that is JSON already."""
    if len(data) <= LONGEST:
        return _send(sock, data, descriptors)
    spill = os.memfd_create("bireme-message")
    try:
        with open(spill, "wb", closefd=False) as file:
            file.write(data)
        return _send(sock, b'{"spill":%d}' % len(data), (*descriptors, spill))
    finally:
        os.close(spill)


def _send(sock: socket.socket, data: bytes, descriptors: Sequence[int]) -> None:
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))] if descriptors else []
    try:
        sock.sendmsg([data], ancillary, socket.MSG_NOSIGNAL)
    except (BrokenPipeError, ConnectionResetError):
        raise Disconnected from None


def receive(sock: socket.socket) -> tuple[Message, list[int]]:
    """Receive one message and the descriptors that came with it, all close-on-exec.

    Raises BlockingIOError if there is none yet, Disconnected at the end of file.
    """
    try:
        data, ancillary, _flags, _address = sock.recvmsg(
            LONGEST, socket.CMSG_SPACE(MOST_DESCRIPTORS * 4), socket.MSG_CMSG_CLOEXEC
        )
    except ConnectionResetError:
        raise Disconnected from None
    if not data:
        raise Disconnected
    descriptors = array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(content)
    received = descriptors.tolist()
    message: Message = _decode(data.decode())
    if "spill" in message:
        message = _read_spilled(received.pop(), message["spill"])
    return message, received


def _read_spilled(fd: int, size: int) -> Message:
    with open(fd, "rb") as file:
        file.seek(0)
        message: Message = _decode(file.read(size).decode())
    return message


class Address:
    """The address of a socket's file, however long its path is: the kernel takes 107 bytes."""

    def __init__(self, path: str) -> None:
        self._directory, self._name = os.path.split(path)
        self._fd = -1

    def __enter__(self) -> str:
        self._fd = os.open(self._directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._fd}/{self._name}"

    def __exit__(self, *exc_info: object) -> None:
        os.close(self._fd)


class Failure(Exception):
    """Something that goes back to the engine as an error of one of the kinds above."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
