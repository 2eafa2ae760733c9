"""File operations as data: laid out first, then done in one go, without the interpreter and without its lock.

Theory of operation. A thread that makes a dozen files gives Python's lock away for each system call and has to get it
back from an event loop that has work to do: both lose more by that than the disk takes. So a ``Batch`` lays the calls
out in memory, and thirty instructions of machine code, ``_CODE``, make them one after the other, up to the first that
fails; the lock is given away once. On other machines than x86-64, where memory cannot be made executable, and where the
files are too large for it, each operation is done by itself.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from bireme import _files
from bireme._calls import executable

_WRITE, _OPEN, _CLOSE, _RENAME, _MKDIR, _NONE = 1, 2, 3, 82, 83, -1
"""Numbers of x86-64, and what ends the list."""

_CALL, _WORD = struct.Struct("=10q"), 8
"""Number, six arguments, result, and two places, in bytes from the call's own, where that goes as well."""
_SIZE, _WORDS, _RESULT = _CALL.size, 10, 7
_OWN = _RESULT * _WORD
_MOST, _BYTES = 64, 1 << 16
"""Calls; all that is laid out, texts included."""
_PENDING = -1 << 62
"""In place of the result of a call that has not been made."""

_CODE = bytes.fromhex(
    "53 4889fb"  # push rbx; mov rbx, rdi: the list
    # next:
    "488b03 4885c0 7837"  # mov rax, [rbx]; test rax, rax; js done
    "488b7b08 488b7310 488b5318 4c8b5320 4c8b4328 4c8b4b30"  # mov rdi, rsi, rdx, r10, r8, r9 ...
    "0f05"  # syscall
    "48894338"  # mov [rbx + 56], rax: the result
    "488b4b40 4889040b"  # mov rcx, [rbx + 64]; mov [rbx + rcx], rax: where else it goes
    "488b4b48 4889040b"  # mov rcx, [rbx + 72]; mov [rbx + rcx], rax
    "4883c350"  # add rbx, 80
    "4885c0 79c1"  # test rax, rax; jns next
    # done:
    "5b c3"  # pop rbx; ret
)

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class _NoRoom(Exception):
    """More calls, or longer texts, than a list takes."""


class _Operation(Protocol):
    def do(self) -> int | None:
        """Do it by itself; the descriptor that stays open, if one does. Raises OSError."""
        ...

    def lay_out(self, calls: _Calls) -> None:
        """Raises _NoRoom, ValueError."""
        ...


@dataclass(frozen=True, slots=True)
class _Mkdir:
    path: str
    mode: int

    def do(self) -> None:
        os.mkdir(self.path, self.mode)

    def lay_out(self, calls: _Calls) -> None:
        calls.add(self.path, _MKDIR, calls.path(self.path), self.mode)


@dataclass(frozen=True, slots=True)
class _Rename:
    source: str
    target: str

    def do(self) -> None:
        os.rename(self.source, self.target)

    def lay_out(self, calls: _Calls) -> None:
        calls.add(self.source, _RENAME, calls.path(self.source), calls.path(self.target))


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    data: bytes
    mode: int
    flags: int
    stays_open: bool

    def do(self) -> int | None:
        fd = os.open(self.path, self.flags, self.mode)
        try:
            _files.write_all(fd, self.data)
        except BaseException:
            os.close(fd)
            raise
        if self.stays_open:
            return fd
        os.close(fd)
        return None

    def lay_out(self, calls: _Calls) -> None:
        calls.open(self.path, self.flags, self.mode, stays_open=self.stays_open)
        calls.add(self.path, _WRITE, 0, calls.text(self.data), len(self.data), least=len(self.data))
        if not self.stays_open:
            calls.add(self.path, _CLOSE, 0)


class Batch:
    """Directories, renames and files, in their order; to be ``run`` once."""

    def __init__(self) -> None:
        self._operations: list[_Operation] = []

    def mkdir(self, path: str, mode: int) -> None:
        """mkdir(2)."""
        self._operations.append(_Mkdir(path, mode))

    def rename(self, source: str, target: str) -> None:
        """rename(2)."""
        self._operations.append(_Rename(source, target))

    def write(self, path: str, data: bytes, mode: int) -> None:
        """A file that there must not be yet."""
        self._operations.append(_File(path, data, mode, _NEW, stays_open=False))

    def write_open(self, path: str, data: bytes, mode: int, flags: int) -> None:
        """A file that stays open afterwards; ``flags`` are those of open(2)."""
        self._operations.append(_File(path, data, mode, flags, stays_open=True))

    def run(self) -> list[int]:
        """Do it all, in this thread; the descriptors of the files that stay open.

        Raises OSError of the first operation that fails, with its path, and ValueError for a NUL in a path: what was
        done before it stays, but nothing stays open.
        """
        if _machine is None:
            return _one_by_one(self._operations)
        try:
            return _machine.run(self._operations)
        except _NoRoom:
            return _one_by_one(self._operations)


def _one_by_one(operations: Sequence[_Operation]) -> list[int]:
    left_open: list[int] = []
    try:
        for operation in operations:
            fd = operation.do()
            if fd is not None:
                left_open.append(fd)
    except BaseException:
        _close(left_open)
        raise
    return left_open


class _Calls:
    """A list of system calls, with all that they refer to."""

    def __init__(self, run: Callable[[int], None]) -> None:
        self._run = run
        self._bytes = mmap.mmap(-1, _BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._bytes))
        self._results = memoryview(self._bytes).cast("q")
        self._end = 0
        """Where there is room for a text."""
        self._expected: list[tuple[str, int]] = []
        """Of each call the path, and the least that it gives if it succeeds."""
        self._opened: dict[int, bool] = {}
        """Calls that open a file; whether it stays open."""

    def lay_out(self, operations: Sequence[_Operation]) -> None:
        """Raises _NoRoom, ValueError."""
        self._end = (_MOST + 1) * _SIZE
        self._expected.clear()
        self._opened.clear()
        for operation in operations:
            operation.lay_out(self)
        _CALL.pack_into(self._bytes, len(self._expected) * _SIZE, _NONE, *(0,) * 9)

    def path(self, path: str) -> int:
        """The address of a path."""
        data = os.fsencode(path)
        if b"\0" in data:
            raise ValueError("embedded null byte")
        return self.text(data + b"\0")

    def text(self, data: bytes) -> int:
        """The address of some bytes."""
        start = self._end
        self._end += len(data)
        if self._end > _BYTES:
            raise _NoRoom
        self._bytes[start : self._end] = data
        return self._address + start

    def add(
        self, path: str, number: int, *arguments: int, least: int = 0, also: tuple[int, int] = (_OWN, _OWN)
    ) -> None:
        """One more call; ``least``: if it gives less it has failed."""
        count = len(self._expected)
        if count == _MOST:
            raise _NoRoom
        padding = (0,) * (6 - len(arguments))
        _CALL.pack_into(self._bytes, count * _SIZE, number, *arguments, *padding, _PENDING, *also)
        self._expected.append((path, least))

    def open(self, path: str, flags: int, mode: int, *, stays_open: bool) -> None:
        """The next call, and if it does not stay open the one after that, is made with the descriptor of this one."""
        self._opened[len(self._expected)] = stays_open
        also = (_SIZE + _WORD, _OWN if stays_open else 2 * _SIZE + _WORD)
        self.add(path, _OPEN, self.path(path), flags, mode, also=also)

    def make(self) -> list[int]:
        """Make them; the descriptors of the files that stay open. Raises OSError."""
        self._run(self._address)
        results: list[int] = self._results[_RESULT : len(self._expected) * _WORDS : _WORDS].tolist()
        for (path, least), result in zip(self._expected, results, strict=True):
            if result < least:
                files = self._files(results)
                _close([fd for index, fd in files if self._opened[index] or results[index + 2] == _PENDING])
                number = -result if result < 0 else errno.ENOSPC
                raise OSError(number, os.strerror(number), path)
        return [fd for index, fd in self._files(results) if self._opened[index]]

    def _files(self, results: list[int]) -> list[tuple[int, int]]:
        """The calls that opened one, with its descriptor."""
        return [(index, results[index]) for index in self._opened if results[index] >= 0]


def _close(descriptors: Sequence[int]) -> None:
    for fd in descriptors:
        os.close(fd)


class _Machine:
    """Runs lists of calls, for any number of threads. Raises OSError where memory cannot be made executable."""

    def __init__(self) -> None:
        self._code = executable(_CODE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._code))
        self._run: Callable[[int], None] = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)
        self._free: list[_Calls] = []

    def run(self, operations: Sequence[_Operation]) -> list[int]:
        """Raises OSError of the first that fails, ValueError, _NoRoom."""
        calls = self._free.pop() if self._free else _Calls(self._run)
        try:
            calls.lay_out(operations)
            return calls.make()
        finally:
            self._free.append(calls)


def _open_machine() -> _Machine | None:
    if os.uname().machine != "x86_64":
        return None
    try:
        return _Machine()
    except OSError:
        return None


_machine = _open_machine()
