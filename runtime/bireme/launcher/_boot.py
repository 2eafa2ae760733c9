"""How the launcher comes to life, in two stages, each a Python of its own.

``prepare`` makes what a process cannot give to itself, clones it and ends:

- a mount namespace, a slave of the host's: nothing mounted here is seen there, but what the host unmounts is let go
  here too, so that no disk is kept busy;
- a PID namespace in which the launcher is process 1. Whatever kills the launcher, SIGKILL among it, the kernel then
  kills all containers with it. Of signals other than that one, process 1 has no default action: a terminal's
  interrupt or an administrator's mistaken TERM does not end the containers. A launcher whose containers share the PIDs
  of the host goes without, and ``_host_pids`` has to do instead;
- a copy of the interpreter's file on a read-only mount, which is then executed. A container that makes us execute
  ``/proc/self/exe`` in it gets at that copy, and the kernel refuses to write to it (CVE-2019-5736).

``serve`` is the launcher. It is never dumpable, and so is no clone of it before it has executed something else: what a
container sees of a process that joins it is neither its memory nor its files. ``sweep`` removes the cgroups that a
launcher which was killed has left, and ends what is in them where the kernel has not.

Embedded, the launcher is its engine's child (CLONE_PARENT); detached it belongs to init.
"""

from __future__ import annotations

import fcntl
import gc
import os
import resource
import signal
import socket
import sys
import time

from bireme import _syscalls as sys_
from bireme.launcher import _protocol
from bireme.launcher._protocol import CONFLICT, DRIVER, MISSING, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from bireme.launcher._cgroups import Cgroups
    from bireme.launcher.requests import Facts, Settings

_KERNEL = "Linux 5.12 or newer is needed"
_RIGHTS = "root is needed, with CAP_SYS_ADMIN: run as root, or in a privileged container"

_C_LIBRARY_SIGNALS = (32, 33)
"""Which the C library keeps for itself and hides: what is inherited of them can only be undone past it."""

_PATIENCE = 10.0
"""Seconds."""


def run(stage: str, settings: Settings, descriptor: int) -> NoReturn:
    """Do one stage; ``descriptor`` is the socket to the engine. What goes wrong is told there."""
    stages = {"prepare": _prepare, "serve": _serve, "sweep": _sweep}
    engine = socket.socket(fileno=descriptor)
    engine.set_inheritable(False)
    try:
        stages[stage](settings, engine)
    except Failure as failure:
        _report(engine, failure.kind, failure.message)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        _report(engine, DRIVER, f"the launcher cannot {stage}: {error.strerror}{where}")
    else:
        os._exit(0)
    os._exit(1)


def _report(engine: socket.socket, kind: str, message: str) -> None:
    _protocol.send(engine, {"event": "failed", "error": {"kind": kind, "message": message}})


# The first stage


def _prepare(settings: Settings, engine: socket.socket) -> None:
    _leave_host_mounts()
    interpreter = _read_only_interpreter()
    namespace = 0 if settings.get("host_pids") else sys_.CLONE_NEWPID
    pid, _ = sys_.clone3(namespace | (0 if settings["socket"] else sys_.CLONE_PARENT))
    if pid == 0:
        options = sys.orig_argv[1 : sys.orig_argv.index(sys.argv[0]) + 1]
        engine.set_inheritable(True)
        arguments = [sys.executable, *options, "serve", sys.argv[2], str(engine.fileno())]
        os.execve(f"/proc/self/fd/{interpreter}", arguments, os.environ)


def _leave_host_mounts() -> None:
    """A mount namespace of our own."""
    try:
        sys_.unshare(sys_.CLONE_NEWNS)
        sys_.mount(None, "/", None, sys_.MS_SLAVE | sys_.MS_REC)
    except PermissionError:
        raise Failure(MISSING, _RIGHTS) from None


def _read_only_interpreter() -> int:
    tree = sys_.open_tree(os.path.realpath(sys.executable), recursive=False)
    try:
        sys_.mount_setattr(tree, attr_set=sys_.MOUNT_ATTR_RDONLY, recursive=False)
    except OSError:
        raise Failure(MISSING, f"{_KERNEL}, this is {os.uname().release}") from None
    return tree


# The launcher


def _serve(settings: Settings, engine: socket.socket) -> None:
    sys_.prctl(sys_.PR_SET_DUMPABLE, 0)
    sys_.set_name("bireme-launcher")
    from bireme.launcher import _cgroups, _hierarchies, _plain, sandbox
    from bireme.launcher._server import Server

    os.setsid()
    os.umask(0o077)
    _reset_signals()
    open_files = _raise_open_files()
    host_pids = settings.get("host_pids", False)
    _own_root(settings)
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    v2, v1 = _hierarchies.open_all(settings["root"])
    cgroups = _cgroups.Cgroups(v2, v1, settings["cgroup"], host_pids=host_pids)
    host = sandbox.Host(
        settings["root"], open_files, devices_guarded=cgroups.devices_guarded, host_pids=host_pids
    )
    guard = _stand_in_for_init(engine, cgroups) if host_pids else 0
    facts: Facts = {
        "root": settings["root"],
        "pid": int(os.readlink("self", dir_fd=proc)),
        "capabilities": sys_.capget()[1],
        "devices": cgroups.devices_guarded,
        "cgroups": cgroups.features(),
        "seccomp": [],
        "kernel": os.uname().release,
    }
    listener = _listen(settings["socket"]) if settings["socket"] else None
    setup = None if settings.get("stepwise") else _plain.open_setup(host, proc)
    server = Server(facts, host, cgroups, proc, setup)
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        server.run(engine, listener)
    finally:
        if listener is not None:
            os.unlink(settings["socket"])
    if guard:
        _leave(guard, cgroups, settings)


def _stand_in_for_init(engine: socket.socket, cgroups: Cgroups) -> int:
    """Do what process 1 of a PID namespace has from the kernel; the PID of the guard."""
    from bireme.launcher import _host_pids

    _host_pids.take_orphans()
    return _host_pids.start_guard(engine, cgroups)


def _leave(guard: int, cgroups: Cgroups, settings: Settings) -> None:
    """Let go of the guard and, if nothing is left that somebody has to end, of the lock that says so."""
    from bireme.launcher import _host_pids

    _host_pids.end_guard(guard)
    if cgroups.end_all():
        os.unlink(settings["lock"])


def _own_root(settings: Settings) -> None:
    """Enter ROOT, which has one launcher of a kind. One that is ending, since its engine was killed, is waited for."""
    os.chdir(settings["root"])
    deadline = time.monotonic() + settings.get("patience", _PATIENCE)
    while not _lock(settings["lock"]):
        if time.monotonic() > deadline:
            raise Failure(
                CONFLICT,
                f"another launcher still runs containers of {settings['root']}: take them over (on_exit='detach', the"
                " same run directory), or end them with 'bireme shutdown'",
            )
        time.sleep(0.01)


def _lock(path: str) -> bool:
    """Whether the file is locked now, until this process ends; it is made if it is missing."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(fd), os.stat(path)):
            return True
    except (BlockingIOError, FileNotFoundError):  # somebody has it, or had it and has removed it
        pass
    os.close(fd)
    return False


def _reset_signals() -> None:
    """Default actions and nothing blocked, whatever the engine has: what runs in the containers inherits it."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) is not signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
    for hidden in _C_LIBRARY_SIGNALS:
        sys_.default_signal(hidden)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _raise_open_files() -> tuple[int, int]:
    """As many descriptors as we may have; the limits before."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft, hard


def _listen(path: str) -> socket.socket:
    """A socket that only our own user can connect to; one that a dead launcher has left is replaced."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.path.lexists(path):
        os.unlink(path)
    before = os.umask(0o177)
    with _protocol.Address(path) as address:
        listener.bind(address)
    os.umask(before)
    listener.listen(8)
    return listener


# Afterwards


def _sweep(settings: Settings, engine: socket.socket) -> None:
    from bireme.launcher import _cgroups, _hierarchies

    _leave_host_mounts()
    v2, v1 = _hierarchies.open_all(settings["root"])
    if settings.get("host_pids"):
        _end_what_is_left(v2, settings)
    _cgroups.remove_all([v2, *v1.values()], settings["cgroup"])


def _end_what_is_left(v2: int, settings: Settings) -> None:
    """No kernel has done it. The lock's file is there as long as there may be something."""
    from bireme.launcher import _rest

    _own_root(settings)
    if v2 < 0 or _rest.end_all(v2, settings["cgroup"]):
        os.unlink(settings["lock"])
