"""The life of a cloned process until it is the container's command: what ``start`` and ``exec`` do in the child.

Neither function returns: the process either becomes the command, or tells the launcher over the ``status`` socket
what stood in the way, and ends. ``status`` is close-on-exec. The child says READY as its last act, so that end of
file after it means executed, and end of file without it that the child was killed on the way.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct

from bireme import _syscalls as sys_
from bireme.launcher import _mounts, _program, _protocol, _resolve, _terminal
from bireme.launcher._protocol import CONFLICT, DRIVER, INVALID, MISSING, STORAGE, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from bireme.launcher.requests import ExecRequest, ProcessRequest, StartRequest

READY, TERMINAL, ADOPT = "ready", "terminal", "adopt"
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG)
"""Errors of the disk rather than of the kernel."""
_NAMESPACES = sys_.CLONE_NEWPID | sys_.CLONE_NEWNS | sys_.CLONE_NEWIPC | sys_.CLONE_NEWUTS | sys_.CLONE_NEWNET
INIT_PATH = "/sbin/docker-init"
LOOPBACK_SOCKET = (socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 0)
SIOCSIFFLAGS = 0x8914
LOOPBACK_UP = struct.pack("16sh22x", b"lo", 0x41)
"""``struct ifreq`` with IFF_UP and IFF_RUNNING."""


class Host:
    """What every child needs to know of the launcher; made once."""

    __slots__ = (
        *("devices_guarded", "host_pids", "masked_directories", "masked_files", "mount_place", "open_files"),
        "read_only",
    )

    def __init__(
        self, mount_place: str, open_files: tuple[int, int], *, devices_guarded: bool, host_pids: bool = False
    ) -> None:
        self.mount_place = mount_place
        """An absolute directory of the host that root file systems are mounted over, each in its own namespace."""
        self.open_files = open_files
        """What RLIMIT_NOFILE was before the launcher raised it for itself."""
        self.devices_guarded = devices_guarded
        self.host_pids = host_pids
        """Whether every container shares the PIDs of the host, and none otherwise."""
        self.masked_directories = _mounts.present(_mounts.MASKED_DIRECTORIES)
        self.masked_files = _mounts.present(_mounts.MASKED_FILES)
        self.read_only = _mounts.present(_mounts.READ_ONLY)


class Child:
    """What a clone is given besides its request."""

    __slots__ = ("cgroup_files", "seccomp", "status", "stdio")

    def __init__(
        self, status: socket.socket, stdio: tuple[int, int, int], seccomp: bytes | None, cgroup_files: tuple[int, ...]
    ) -> None:
        self.status = status
        self.stdio = stdio
        """Pipe ends, -1 where the null device or the terminal is to be."""
        self.seccomp = seccomp
        self.cgroup_files = cgroup_files
        """``cgroup.procs`` files of v1 hierarchies to enter."""


def start(request: StartRequest, child: Child, host: Host) -> NoReturn:
    """Become the first process of a container."""
    guarded(child.status, lambda: _start(request, child, host))


def join(request: ExecRequest, child: Child, pidfd: int, host: Host) -> NoReturn:
    """Become one more process of the container whose first process is ``pidfd``; its pid namespace is entered."""
    guarded(child.status, lambda: _join(request, child, pidfd, host))


def guarded(status: socket.socket, work: Callable[[], None]) -> NoReturn:
    """Do the work of a clone and end; what goes wrong is told over ``status``."""
    try:
        work()
    except Failure as failure:
        _report(status, failure.kind, failure.message)
    except OSError as error:
        reason = f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror)
        kind = STORAGE if error.errno in _DISK else DRIVER
        _report(status, kind, f"{_where(error)}: {reason}")
    except BaseException as error:  # noqa: BLE001 - nothing may leave a clone: what is above is the launcher's loop
        _report(status, DRIVER, f"{_where(error)}: {error!r}")
    finally:
        os._exit(127)


def _where(error: BaseException) -> str:
    """The step that failed: the function of this project that the error came out of, in words."""
    name, trace = "set-up", error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if "bireme" in code.co_filename and not code.co_filename.endswith("_syscalls.py"):
            name = code.co_name
        trace = trace.tb_next
    return name.strip("_<>").replace("_", " ")


def _report(status: socket.socket, kind: str, message: str) -> None:
    _protocol.send(status, {"error": {"kind": kind, "message": message}})


def _start(request: StartRequest, child: Child, host: Host) -> NoReturn:
    process = request["process"]
    nodev = not host.devices_guarded
    os.setsid()
    os.umask(0)
    for fd in child.cgroup_files:
        os.write(fd, b"0")
    sys_.unshare(sys_.CLONE_NEWCGROUP)
    root = request["root"]
    volumes = _mounts.hold(root["mounts"], nodev=nodev)
    files = _mounts.hold(root["files"], nodev=nodev)
    if request["init"]:
        files.append(_mounts.Held(open_init(request["init"]), INIT_PATH))
    _mounts.enter_root(root, host.mount_place, nodev=nodev)
    taken = frozenset(mount["target"] for mount in root["mounts"])
    _mounts.mount_kernel_file_systems(request["shm_size"], privileged=request["privileged"], taken=taken)
    if child.cgroup_files or host.devices_guarded:
        _mounts.mount_cgroups(privileged=request["privileged"])
    if not request["privileged"]:
        _mounts.mask(host.masked_directories, host.masked_files, host.read_only)
    _mounts.attach(volumes, files)
    _network(request)
    os.umask(0o022)
    stdio = _stdio(process, child, console=True)
    _make_working_directory(process["cwd"])
    _mounts.protect(volumes)
    if request["read_only"]:
        _mounts.make_root_read_only()
    if request["init"]:
        process["args"] = [INIT_PATH, "--", *process["args"]]
    _finish(process, child, stdio, host)


def _make_working_directory(path: str) -> None:
    """Made if it is missing, as Docker does; no link in the image leads to one of the descriptors still open here."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(_resolve.open_directory(root, path))
    except NotADirectoryError:
        raise Failure(INVALID, f"the working directory {path} is a file") from None
    finally:
        os.close(root)


def check_init(path: str) -> None:
    """The init program is there."""
    if not os.path.exists(path):
        raise Failure(MISSING, f"--init needs {path}, which is missing: install the Debian package tini")


def open_init(path: str) -> int:
    """The init program as a detached mount."""
    check_init(path)
    tree = sys_.open_tree(path)
    sys_.mount_setattr(tree, attr_set=sys_.MOUNT_ATTR_RDONLY)
    return tree


def namespaces(request: StartRequest, host: Host) -> int:
    """The flags of the clone that is to become the container's first process. Raises Failure for another launcher's."""
    if request["host_pid"] is not host.host_pids:
        raise Failure(DRIVER, "this launcher is for other containers: host_pid is all of its containers', or none's")
    shared = (sys_.CLONE_NEWNET if request["host_network"] else 0) | (sys_.CLONE_NEWUTS if request["host_uts"] else 0)
    return _NAMESPACES & ~(shared | (sys_.CLONE_NEWPID if host.host_pids else 0))


def _network(request: StartRequest) -> None:
    if not request["host_uts"]:
        socket.sethostname(request["hostname"])
    if not request["host_network"]:
        bring_up_loopback()


def bring_up_loopback() -> None:
    """Of the network namespace this process is in."""
    with socket.socket(*LOOPBACK_SOCKET) as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, LOOPBACK_UP)


def _stdio(process: ProcessRequest, child: Child, *, console: bool) -> tuple[int, int, int]:
    if not process["tty"]:
        if -1 not in child.stdio:
            return child.stdio
        null = _open_null()
        stdin, stdout, stderr = (null if fd < 0 else fd for fd in child.stdio)
        return stdin, stdout, stderr
    master, slave = _terminal.open_pair(process.get("rows", 0), process.get("columns", 0))
    _protocol.send(child.status, {TERMINAL: True}, (master,))
    os.close(master)
    if console:
        _terminal.bind_console(slave)
    _terminal.adopt(slave)
    return slave, slave, slave


def _open_null() -> int:
    """The container's null device, whatever has taken its place since (CVE-2025-31133)."""
    fd = os.open("/dev/null", os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    if not _mounts.is_null(os.fstat(fd)):
        raise Failure(INVALID, "/dev/null of the container is not the null device")
    os.set_blocking(fd, True)
    return fd


def _join(request: ExecRequest, child: Child, pidfd: int, host: Host) -> NoReturn:
    process = request["process"]
    namespaces = sys_.CLONE_NEWNS | sys_.CLONE_NEWNET | sys_.CLONE_NEWIPC | sys_.CLONE_NEWUTS | sys_.CLONE_NEWCGROUP
    os.setsid()
    for fd in child.cgroup_files:
        os.write(fd, b"0")
    try:
        sys_.setns(pidfd, namespaces)
    except ProcessLookupError:
        raise Failure(CONFLICT, f"container {request['container'][:12]} is not running") from None
    os.umask(0o022)
    stdio = _stdio(process, child, console=False)
    if not os.path.isdir(process["cwd"]):
        raise Failure(INVALID, f"the working directory {process['cwd']} does not exist in the container")
    _finish(process, child, stdio, host)


def _finish(process: ProcessRequest, child: Child, stdio: tuple[int, int, int], host: Host) -> NoReturn:
    prepared = _program.prepare(process, host.open_files)
    _program.take_stdio(stdio, prepared.identity.uid)
    _program.become(prepared, child.seccomp, child.status.fileno(), tied=host.host_pids)
    _protocol.send(child.status, {READY: True})
    _program.execute(prepared)
