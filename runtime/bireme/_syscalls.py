"""The system calls that Python's standard library lacks: with ``_calls`` the only module that touches ``ctypes``.

Each raises OSError with the call's errno. The library is loaded as ``PyDLL``: a call keeps the interpreter lock, so
that ``clone3`` copies a process whose lock is held by the very thread that goes on in the child. Only ``syncfs``,
which waits for the disk, lets other threads run.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_libc = ctypes.PyDLL(None, use_errno=True)
_waiting = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_long = ctypes.c_long

# Numbers from 424 on are the same on every architecture; the older ones that the C library does not wrap are not.
_NAMES = ("pivot_root", "seccomp", "bpf", "capset", "capget", "renameat2", "rt_sigaction")
_GENERIC = dict(zip(_NAMES, (41, 277, 280, 91, 90, 276, 134), strict=True))
_X86_64 = dict(zip(_NAMES, (155, 317, 321, 126, 125, 316, 13), strict=True))
_NUMBERS = _X86_64 if os.uname().machine == "x86_64" else _GENERIC
_OPEN_TREE, _MOVE_MOUNT, _CLONE3, _CLOSE_RANGE, _OPENAT2, _MOUNT_SETATTR = 428, 429, 435, 436, 437, 442
_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
_AT_SYMLINK_NOFOLLOW = 0x100
_STATX_CTIME, _STATX_BTIME = 0x80, 0x800
AT_RECURSIVE = 0x8000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 0x1, 0x2, 0x4, 0x8
MS_REMOUNT, MS_NOSYMFOLLOW, MS_BIND, MS_MOVE, MS_REC = 0x20, 0x100, 0x1000, 0x2000, 0x4000
MS_SILENT, MS_PRIVATE, MS_SLAVE, MS_RELATIME, MS_STRICTATIME = 0x8000, 1 << 18, 1 << 19, 1 << 21, 1 << 24
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8

OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_EMPTY_PATH = 0x40
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC = 0x1, 0x2, 0x4, 0x8
MOUNT_ATTR_NOATIME, MOUNT_ATTR_STRICTATIME, MOUNT_ATTR_NODIRATIME = 0x10, 0x20, 0x80

RESOLVE_NO_XDEV, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS = 0x1, 0x2, 0x4
RESOLVE_BENEATH, RESOLVE_IN_ROOT = 0x8, 0x10

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
CLONE_VM, CLONE_VFORK, CLONE_PIDFD, CLONE_PARENT = 0x100, 0x4000, 0x1000, 0x8000
CLONE_CLEAR_SIGHAND, CLONE_INTO_CGROUP = 0x100000000, 0x200000000
CLONE_ARGUMENTS = 88
"""Bytes of what clone3(2) takes."""
SA_NOCLDSTOP = 1
SIGNALFD_SIGINFO = 128
"""Bytes of what is read from a descriptor of signalfd(2)."""

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_SET_NAME = 1, 4, 8, 15
PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_SECUREBITS = 23, 24, 28
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 36, 38, 47
PR_CAP_AMBIENT_RAISE, PR_CAP_AMBIENT_CLEAR_ALL = 2, 4

CLOSE_RANGE_CLOEXEC = 4
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2

_CLOEXEC, _SET_FLAG, _SET_STRING, _CREATE = 1, 0, 1, 6
"""Of the calls that make a mount step by step: FSOPEN_CLOEXEC and FSMOUNT_CLOEXEC, and what fsconfig(2) is to do."""

SECCOMP_SET_MODE_FILTER = 1
_CAPABILITY_VERSION_3 = 0x20080522
_BPF_PROG_LOAD, _BPF_PROG_ATTACH = 5, 8


def _check(result: int, what: str | bytes | None = None) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def _syscall(number: int, *arguments: object) -> int:
    return int(_libc.syscall(_long(number), *arguments))


def _typed(*kinds: type) -> Callable[..., int]:
    """syscall(2) for arguments of these kinds, which are plain numbers and bytes: what is called often."""
    function = _libc["syscall"]
    function.restype, function.argtypes = _long, (_long, *kinds)
    return function


_text, _struct = ctypes.c_char_p, ctypes.c_char_p
_open_tree = _typed(_long, _text, _long)
_move_mount = _typed(_long, _text, _long, _text, _long)
_mount_setattr = _typed(_long, _text, _long, _struct, _long)
_openat2 = _typed(_long, _text, _struct, _long)
_fsopen = _typed(_text, _long)
_fsconfig = _typed(_long, _long, _text, _text, _long)
_fsmount = _typed(_long, _long, _long)
_FOUR, _THREE = struct.Struct("=4Q"), struct.Struct("=3Q")


def _encoded(value: str | bytes | None) -> bytes | None:
    return os.fsencode(value) if value is not None else None


def mount(source: str | None, target: str, kind: str | None = None, flags: int = 0, data: str | None = None) -> None:
    """mount(2)."""
    arguments = (_encoded(source), os.fsencode(target), _encoded(kind), ctypes.c_ulong(flags), _encoded(data))
    _check(_libc.mount(*arguments), target)


def umount(target: str, flags: int = MNT_DETACH | UMOUNT_NOFOLLOW) -> None:
    """umount2(2); by default detached at once, with all below."""
    _check(_libc.umount2(os.fsencode(target), flags), target)


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2)."""
    _check(_syscall(_NUMBERS["pivot_root"], os.fsencode(new_root), os.fsencode(put_old)), new_root)


def open_tree(path: str | int, *, recursive: bool = True, clone: bool = True, directory: int = AT_FDCWD) -> int:
    """open_tree(2): a descriptor of a detached copy of the mount at ``path`` (a descriptor, or a path)."""
    flags = OPEN_TREE_CLOEXEC | (OPEN_TREE_CLONE if clone else 0) | (AT_RECURSIVE if recursive and clone else 0)
    if isinstance(path, int):
        return _check(_open_tree(_OPEN_TREE, path, b"", flags | AT_EMPTY_PATH))
    return _check(_open_tree(_OPEN_TREE, directory, os.fsencode(path), flags), path)


def move_mount(mount_fd: int, target_fd: int) -> None:
    """move_mount(2) of a detached mount onto what ``target_fd`` refers to; no path is looked up."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    _check(_move_mount(_MOVE_MOUNT, mount_fd, b"", target_fd, b"", flags))


def mount_setattr(
    mount_fd: int, *, attr_set: int = 0, attr_clr: int = 0, propagation: int = 0, recursive: bool = True
) -> None:
    """mount_setattr(2) on a descriptor (Linux 5.12)."""
    attributes = _FOUR.pack(attr_set, attr_clr, propagation, 0)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    _check(_mount_setattr(_MOUNT_SETATTR, mount_fd, b"", flags, attributes, _FOUR.size))


def detached_mount(kind: str, options: Sequence[tuple[str, str | None]], attributes: int = 0) -> int:
    """fsopen(2), fsconfig(2), fsmount(2): a descriptor of a new mount that is nowhere in the tree yet.

    ``options``: each with its value of at most 255 bytes, or None for one that has none.
    """
    context = _check(_fsopen(_FSOPEN, os.fsencode(kind), _CLOEXEC), kind)
    try:
        for name, value in options:
            how = _SET_FLAG if value is None else _SET_STRING
            _check(_fsconfig(_FSCONFIG, context, how, os.fsencode(name), _encoded(value), 0), name)
        _check(_fsconfig(_FSCONFIG, context, _CREATE, None, None, 0), kind)
        return _check(_fsmount(_FSMOUNT, context, _CLOEXEC, attributes), kind)
    finally:
        os.close(context)


def openat2(directory: int, path: str, flags: int, *, resolve: int, mode: int = 0) -> int:
    """openat2(2) (Linux 5.6), close-on-exec. With RESOLVE_IN_ROOT, EAGAIN (a rename raced) is tried again."""
    how = _THREE.pack(flags | os.O_CLOEXEC, mode, resolve)
    name = os.fsencode(path)
    fd = -1
    for _ in range(64):
        fd = _openat2(_OPENAT2, directory, name, how, _THREE.size)
        if fd >= 0 or ctypes.get_errno() != errno.EAGAIN:
            break
    return _check(fd, path)


def clone3(flags: int, *, cgroup: int | None = None) -> tuple[int, int]:
    """clone3(2) with a pidfd: ``(pid, pidfd)`` in the parent, ``(0, -1)`` in the child. ``cgroup``: where it is born.

    Only for a process with one thread. The child shares no memory; of Python's fork hooks none runs.
    """
    pidfd = ctypes.c_int(-1)
    arguments = ctypes.create_string_buffer(clone_arguments(flags, cgroup, ctypes.addressof(pidfd)), CLONE_ARGUMENTS)
    pid = _check(_syscall(_CLONE3, arguments, _long(CLONE_ARGUMENTS)))
    return pid, pidfd.value if pid else -1


def clone_arguments(flags: int, cgroup: int | None, pidfd: int) -> bytes:
    """``struct clone_args`` of clone3(2); ``pidfd``: the address of an int. Handled signals have default actions."""
    exit_signal = 0 if flags & CLONE_PARENT else 17
    flags |= CLONE_PIDFD | CLONE_CLEAR_SIGHAND | (CLONE_INTO_CGROUP if cgroup is not None else 0)
    return struct.pack("=11Q", flags, pidfd, 0, 0, exit_signal, 0, 0, 0, 0, 0, cgroup or 0)


def setns(fd: int, kinds: int) -> None:
    """setns(2); ``fd`` may be a pidfd (Linux 5.8), ``kinds`` then says which of its namespaces."""
    _check(_libc.setns(fd, kinds))


def unshare(flags: int) -> None:
    """unshare(2)."""
    _check(_libc.unshare(flags))


def prctl(option: int, second: int = 0, third: int = 0) -> int:
    """prctl(2)."""
    return _check(_libc.prctl(option, ctypes.c_ulong(second), ctypes.c_ulong(third), _long(0), _long(0)))


def set_name(name: str) -> None:
    """The process's name as ``ps`` shows it, at most 15 bytes."""
    text = ctypes.create_string_buffer(os.fsencode(name)[:15])
    prctl(PR_SET_NAME, ctypes.addressof(text))


def default_signal(number: int, flags: int = 0) -> None:
    """rt_sigaction(2): give a signal its default action, also one that the C library does not let its users name."""
    action = ctypes.create_string_buffer(struct.pack("@PL", 0, flags), 32)
    _check(_syscall(_NUMBERS["rt_sigaction"], _long(number), action, None, _long(8)))


def signalfd(numbers: Iterable[int]) -> int:
    """signalfd(2): a descriptor, which does not block, of signals that this process has blocked."""
    mask = ctypes.create_string_buffer(sum(1 << number - 1 for number in numbers).to_bytes(128, sys.byteorder), 128)
    return _check(_libc.signalfd(-1, mask, os.O_CLOEXEC | os.O_NONBLOCK))


def capget() -> tuple[int, int, int]:
    """This process's effective, permitted and inheritable capabilities, as bit masks."""
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), 8)
    data = ctypes.create_string_buffer(24)
    _check(_syscall(_NUMBERS["capget"], header, data))
    low = struct.unpack("=6I", data.raw)
    return low[0] | low[3] << 32, low[1] | low[4] << 32, low[2] | low[5] << 32


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set this process's capabilities, as bit masks."""
    header, data = capability_words(effective, permitted, inheritable)
    _check(_syscall(_NUMBERS["capset"], ctypes.create_string_buffer(header, 8), ctypes.create_string_buffer(data, 24)))


def capability_words(effective: int, permitted: int, inheritable: int) -> tuple[bytes, bytes]:
    """What capset(2) takes: the header and the data."""
    masks = (effective, permitted, inheritable)
    words = [mask >> shift & 0xFFFFFFFF for shift in (0, 32) for mask in masks]
    return struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), struct.pack("=6I", *words)


def seccomp_filter(program: bytes) -> None:
    """Install a classic BPF program (``struct sock_filter`` after ``struct sock_filter``) as seccomp filter."""
    code = ctypes.create_string_buffer(program, len(program))
    fprog = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(code)), 16)
    _check(_syscall(_NUMBERS["seccomp"], _long(SECCOMP_SET_MODE_FILTER), _long(0), fprog))


def close_range(first: int, last: int = 0x7FFFFFFF, *, cloexec: bool = False) -> None:
    """close_range(2) (Linux 5.9; marking close-on-exec 5.11)."""
    _check(_syscall(_CLOSE_RANGE, _long(first), _long(last), _long(CLOSE_RANGE_CLOEXEC if cloexec else 0)))


def bpf_load(kind: int, program: bytes, license_name: bytes = b"GPL") -> int:
    """Load an eBPF program of ``kind`` and return its descriptor."""
    code = ctypes.create_string_buffer(program, len(program))
    text = ctypes.create_string_buffer(license_name)
    fields = struct.pack(
        "=IIQQIIQII", kind, len(program) // 8, ctypes.addressof(code), ctypes.addressof(text), 0, 0, 0, 0, 0
    )
    attributes = ctypes.create_string_buffer(fields.ljust(128, b"\0"), 128)
    return _check(_syscall(_NUMBERS["bpf"], _long(_BPF_PROG_LOAD), attributes, _long(128)))


def bpf_attach(target_fd: int, program_fd: int, kind: int, flags: int = 0) -> None:
    """Attach a loaded program to a cgroup directory."""
    attributes = ctypes.create_string_buffer(
        struct.pack("=IIII", target_fd, program_fd, kind, flags).ljust(128, b"\0"), 128
    )
    _check(_syscall(_NUMBERS["bpf"], _long(_BPF_PROG_ATTACH), attributes, _long(128)))


def renameat2(source: str, target: str, flags: int) -> None:
    """renameat2(2): rename that never replaces (RENAME_NOREPLACE), or exchanges the two."""
    at = _long(AT_FDCWD)
    arguments = (at, os.fsencode(source), at, os.fsencode(target), ctypes.c_uint(flags))
    _check(_syscall(_NUMBERS["renameat2"], *arguments), target)


def syncfs(fd: int) -> None:
    """Write a whole file system to its disk; other threads go on meanwhile."""
    _check(_waiting.syncfs(fd))


def birth_time(path: str) -> int:
    """statx(2): when a file was made, in nanoseconds since the epoch; where that is not kept, its last change."""
    found = ctypes.create_string_buffer(256)
    _check(_libc.statx(AT_FDCWD, os.fsencode(path), _AT_SYMLINK_NOFOLLOW, _STATX_CTIME | _STATX_BTIME, found), path)
    mask = struct.unpack_from("=I", found)[0]
    seconds, nanoseconds = struct.unpack_from("=qI", found, 80 if mask & _STATX_BTIME else 96)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)
