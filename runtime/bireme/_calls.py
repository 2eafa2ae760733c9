"""System calls as data: a list of them that a new process makes, one after the other, with no interpreter in it.

Theory of operation. To fork an interpreter that then makes a container costs more than the container: its page tables
are copied, and each page that it touches, because it counts references there, is copied too, in the child and again in
the parent. So what a plain container needs is laid out in memory first, as ``Calls``, and ``start`` has a new process
do it in the memory of its parent (CLONE_VM). Nothing is copied. The child runs forty instructions, ``_CODE``: they load
the arguments of the next call, make it, note its result, and go on. Unlike after vfork(2) the parent does not sleep
meanwhile: it lays the next list out, elsewhere. That the child has left the memory is told by a descriptor that closes
when it executes something: the kernel gives the process its new memory first, and closes then.

Rules. The child touches no stack and no library; of the memory it writes the results alone. A result can be an
argument of a later call, of one. The first call that fails without leave ends the child. The list ends with execve(2):
if none of them succeeds, the child ends as well. The parent reads from the results how far it came.

``_CODE`` is for x86-64; elsewhere, and where memory cannot be made executable, ``available`` says no.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct

from bireme import _syscalls as sys_

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_NAMES = (
    "write", "rt_sigprocmask", "socket", "ioctl", "execve", "chdir", "fchdir", "fchown", "umask", "setsid",
    "setgroups", "setresuid", "setresgid", "capset", "pivot_root", "prctl", "mount", "umount2", "sethostname",
    "exit_group", "openat", "mkdirat", "mknodat", "symlinkat", "unshare", "dup3", "prlimit64", "seccomp",
    "move_mount", "close_range", "openat2", "mount_setattr",
)  # fmt: skip
_NUMBERS = (
    1, 14, 41, 16, 59, 80, 81, 93, 95, 112, 116, 117, 119, 126, 155, 157, 165, 166, 170, 231, 257, 258, 259, 266, 272,
    292, 302, 317, 429, 436, 437, 442,
)  # fmt: skip
NUMBERS = dict(zip(_NAMES, _NUMBERS, strict=True))
"""Of x86-64."""

_WORDS = 10
"""Of eight bytes, a call: number, six arguments, result, where else that goes (in bytes), whether it may fail."""
_RESULT, _ALSO = 7, 8
_CALL, _WORD = struct.Struct(f"={_WORDS}q"), 8
_SIZE = _CALL.size
_NO_MORE = tuple((0,) * missing for missing in range(6, -1, -1))
"""What fills up the arguments, by how many there are."""
_PENDING = 1 << 62
"""In place of the result of a call that has not returned; the last one, exit_group, never does."""
_LAST = _CALL.pack(NUMBERS["exit_group"], 127, *_NO_MORE[1], _PENDING, _RESULT * _WORD, False)
_MOST = 512
"""Calls."""
_CLONE = _MOST * _SIZE
_PIDFD = _CLONE + sys_.CLONE_ARGUMENTS
_DATA = _PIDFD + _WORD
_ROOM = 1 << 20
"""Bytes of a list's memory: the calls, the arguments of the clone, where the kernel puts the pidfd, data."""

_CODE = bytes.fromhex(
    "53"  # push rbx
    "4889d3"  # mov rbx, rdx: the list
    "b8b3010000 0f05"  # mov eax, SYS_clone3; syscall, of what rdi and rsi hold
    "4885c0 7402"  # test rax, rax; jz next: the child
    "5b c3"  # pop rbx; ret
    # next:
    "488b03"  # mov rax, [rbx]
    "488b7b08 488b7310 488b5318 4c8b5320 4c8b4328 4c8b4b30"  # mov rdi, rsi, rdx, r10, r8, r9 ...
    "0f05"  # syscall
    "48894338"  # mov [rbx + 56], rax: the result
    "488b4b40 4889040b"  # mov rcx, [rbx + 64]; mov [rbx + rcx], rax: where else it goes
    "4885c0 7907"  # test rax, rax; jns done
    "48837b4800 7406"  # cmp [rbx + 72], 0; je fail
    # done:
    "4883c350 ebc5"  # add rbx, 80; jmp next
    # fail:
    "bf7f000000 b8e7000000 0f05"  # mov edi, 127; mov eax, SYS_exit_group; syscall
)

_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
_libc = ctypes.PyDLL(None, use_errno=True)


class Result:
    """Stands for the result of an earlier call, as an argument of one later call."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index


class Own:
    """Stands for an argument that every list has of its own, in calls that are made a ``Block``."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number
        """Which of the values that ``add_block`` is given."""


class Block:
    """Calls that are the same for many lists, but for some arguments; what the others refer to stays where it is."""

    __slots__ = ("calls", "count", "places")

    def __init__(self, calls: bytes, places: list[tuple[int, int]]) -> None:
        self.calls = calls
        self.count = len(calls) // _SIZE
        self.places = places
        """Words to fill in, each with the number of its value."""


class _Memory:
    """What a process reads its calls from, and what these refer to."""

    __slots__ = ("address", "bytes", "words")

    def __init__(self) -> None:
        self.bytes = mmap.mmap(-1, _ROOM, flags=_PRIVATE)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.bytes))
        self.words = memoryview(self.bytes)[:_DATA].cast("q")


class Run:
    """A process that makes the calls of a list, or has made them."""

    __slots__ = ("count", "memory", "pid", "pidfd")

    def __init__(self, pid: int, pidfd: int, memory: _Memory, count: int) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.memory = memory
        self.count = count


class Calls:
    """One list after the other, each for one process; any number of those may be on their way."""

    def __init__(self) -> None:
        """Raises OSError where memory cannot be made executable."""
        self._free: list[_Memory] = []
        self._memory = _Memory()
        self._given = False
        """Whether a process has it."""
        self._count = 0
        self._end = _DATA
        """Of the data so far."""
        self._own: list[tuple[int, int]] = []
        self._constants: dict[bytes, int] = {}
        self._constant_buffers: list[object] = []
        self._code = _executable(_CODE)
        self._run = ctypes.PYFUNCTYPE(ctypes.c_long, ctypes.c_void_p, ctypes.c_long, ctypes.c_void_p)(
            ctypes.addressof(ctypes.c_char.from_buffer(self._code))
        )

    def __len__(self) -> int:
        return self._count

    def clear(self) -> None:
        """Begin anew."""
        if self._given:
            self._memory = self._free.pop() if self._free else _Memory()
            self._given = False
        self._count = 0
        self._end = _DATA
        self._own.clear()

    # What calls refer to

    def constant(self, text: str | bytes) -> int:
        """The address of a string that is kept for good."""
        data = os.fsencode(text)
        found = self._constants.get(data)
        if found is None:
            buffer = ctypes.create_string_buffer(data)
            self._constant_buffers.append(buffer)
            found = self._constants[data] = ctypes.addressof(buffer)
        return found

    def data(self, data: bytes) -> int:
        """The address of bytes, with a NUL behind them, for this list. Raises ValueError if it is all too much."""
        first, end = self._end, self._end + len(data)
        if end >= _ROOM:
            raise ValueError(f"too much data for system calls: at most {_ROOM - _DATA - 1} bytes are possible")
        memory = self._memory
        memory.bytes[first : end + 1] = data + b"\0"
        self._end = end + 8 & ~7
        return memory.address + first

    def text(self, text: str) -> int:
        """The address of a string. Raises ValueError for one with a NUL in it."""
        return self.texts([text])[0]

    def texts(self, texts: Sequence[str]) -> list[int]:
        """The addresses of strings. Raises ValueError for a NUL in one."""
        encoded = os.fsencode("\0".join(texts)) + b"\0"
        if encoded.count(0) > max(1, len(texts)):
            raise ValueError("embedded null byte")
        address = self.data(encoded)
        addresses = []
        for text in encoded.split(b"\0", len(texts))[: len(texts)]:
            addresses.append(address)
            address += len(text) + 1
        return addresses

    def vector(self, texts: Sequence[str]) -> int:
        """The address of an array of strings, as execve(2) takes it. Raises ValueError for a NUL in one."""
        return self.data(struct.pack(f"={len(texts) + 1}q", *self.texts(texts), 0))

    # The list

    def add(self, name: str, *arguments: int | Result | Own, may_fail: bool = False) -> Result:
        """One more call. ``may_fail``: the next one is made whatever becomes of it. Raises ValueError for too many."""
        index = self._take(1)
        words = [NUMBERS[name], *arguments, *_NO_MORE[len(arguments)], _PENDING, _RESULT * _WORD, may_fail]
        for position, word in enumerate(words):
            if isinstance(word, Result):
                words[position] = 0
                self._pass_on(word.index, (index - word.index) * _SIZE + position * _WORD)
            elif isinstance(word, Own):
                words[position] = 0
                self._own.append((index * _WORDS + position, word.number))
        self._memory.bytes[index * _SIZE : (index + 1) * _SIZE] = _CALL.pack(*words)
        return Result(index)

    def _take(self, count: int) -> int:
        """Room for more calls: the number of the first; one stays for ``exit_group``."""
        first = self._count
        if first + count >= _MOST:
            raise ValueError(f"at most {_MOST} system calls are possible")
        self._count = first + count
        return first

    def _pass_on(self, index: int, offset: int) -> None:
        words, also = self._memory.words, index * _WORDS + _ALSO
        assert words[also] == _RESULT * _WORD, "a result can be passed on once"
        words[also] = offset

    def block(self, first: int) -> Block:
        """What has been added since there were ``first`` calls, to be added again to other lists.

        It is not part of this one any more.
        """
        calls = self._memory.bytes[first * _SIZE : self._count * _SIZE]
        places = [(word - first * _WORDS, number) for word, number in self._own]
        self._count = first
        self._own.clear()
        return Block(calls, places)

    def add_block(self, block: Block, own: Sequence[int] = ()) -> None:
        """Everything in it, with this list's ``own`` arguments."""
        first, memory = self._take(block.count), self._memory
        memory.bytes[first * _SIZE : first * _SIZE + len(block.calls)] = block.calls
        words, base = memory.words, first * _WORDS
        for place, number in block.places:
            words[base + place] = own[number]

    # Running

    def start(self, flags: int, *, cgroup: int | None = None) -> Run:
        """Have a new process make the calls, beside this one or, with CLONE_VFORK, before this returns.

        For a process with one thread that handles no signals. Raises OSError of clone3(2).
        """
        memory, count = self._memory, self._count + 1
        self._count = count
        memory.bytes[(count - 1) * _SIZE : count * _SIZE] = _LAST
        pidfd = memory.address + _PIDFD
        arguments = sys_.clone_arguments(flags | sys_.CLONE_VM, cgroup, pidfd)
        memory.bytes[_CLONE : _CLONE + len(arguments)] = arguments
        pid = self._run(memory.address + _CLONE, len(arguments), memory.address)
        if pid < 0:
            raise OSError(-pid, os.strerror(-pid))
        self._given = True
        return Run(pid, memory.words[_PIDFD // _WORD], memory, count)

    def finish(self, run: Run) -> int:
        """Of a process that has executed something or ended, once: the first call that did not return."""
        results = run.memory.words[_RESULT : run.count * _WORDS : _WORDS].tolist()
        self._free.append(run.memory)
        return results.index(_PENDING)


def _executable(code: bytes) -> mmap.mmap:
    memory = mmap.mmap(-1, mmap.PAGESIZE, flags=_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    memory.write(code)
    address = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
    if _libc.mprotect(address, ctypes.c_size_t(mmap.PAGESIZE), mmap.PROT_READ | mmap.PROT_EXEC):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return memory


def open_calls() -> Calls | None:
    """A list for this machine; None where there can be none."""
    if os.uname().machine != "x86_64":
        return None
    try:
        return Calls()
    except OSError:
        return None
