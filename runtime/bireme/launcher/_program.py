"""The last steps of every process in a container, alike for the first one and for those that ``exec`` adds.

The order is runc's: without ``no_new_privs`` the seccomp filter has to be loaded while CAP_SYS_ADMIN is still held,
with it as late as possible. Descriptors are closed before any right is given up, the working directory is proved to
lie inside (CVE-2024-21626), then the command is executed.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat

from bireme import _syscalls as sys_
from bireme.launcher import _identity
from bireme.launcher._protocol import INVALID, MISSING, NOT_EXECUTABLE, NOT_FOUND, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from bireme.launcher.requests import ProcessRequest

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LAST_CAPABILITY = 40
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Prepared:
    """A process that has only to be executed."""

    __slots__ = ("environment", "identity", "process")

    def __init__(self, process: ProcessRequest, identity: _identity.Identity, environment: dict[str, str]) -> None:
        self.process = process
        self.identity = identity
        self.environment = environment


def prepare(process: ProcessRequest, open_files: tuple[int, int]) -> Prepared:
    """Find the user, complete the environment, apply limits. ``/`` is the container's.

    ``open_files``: RLIMIT_NOFILE where the request has none, instead of what the launcher needs for itself.
    """
    identity = _identity.find(process["user"], process["groups"])
    variables = environment(process, identity.home)
    resource.setrlimit(resource.RLIMIT_NOFILE, open_files)
    for which, soft, hard in process["rlimits"]:
        resource.setrlimit(which, possible(which, soft, hard))
    if process["oom_score_adj"]:
        _score(process["oom_score_adj"])
    return Prepared(process, identity, variables)


def _score(value: int) -> None:
    fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.write(fd, b"%d" % value)
    except PermissionError:
        raise Failure(MISSING, f"an OOM score of {value} needs CAP_SYS_RESOURCE, which is not held here") from None
    finally:
        os.close(fd)


def environment(process: ProcessRequest, home: str) -> dict[str, str]:
    """What is asked for, and what every container has."""
    found = {"PATH": DEFAULT_PATH, "HOSTNAME": process["hostname"]}
    if process["tty"]:
        found["TERM"] = "xterm"
    for entry in process["env"]:
        name, _, value = entry.partition("=")
        found[name] = value
    if not found.get("HOME"):
        found["HOME"] = home
    return found


def possible(which: int, soft: int, hard: int) -> tuple[int, int]:
    """A resource limit, cut to the hard limit this process has: raising that is not ours to do."""
    _, most = resource.getrlimit(which)
    return _at_most(soft, most), _at_most(hard, most)


def _at_most(value: int, most: int) -> int:
    if most == resource.RLIM_INFINITY:
        return value
    return most if value == resource.RLIM_INFINITY else min(value, most)


def take_stdio(descriptors: tuple[int, int, int], uid: int) -> None:
    """Make the three descriptors standard input, output and error, owned by the user, so that it may reopen them."""
    for target, fd in enumerate(descriptors):
        os.dup2(fd, target)
        if uid and _is_ours(target):
            os.fchown(target, uid, -1)


def _is_ours(fd: int) -> bool:
    """True for the pipes and the terminal made for this process; the null device belongs to everybody."""
    found = os.fstat(fd)
    return stat.S_ISFIFO(found.st_mode) or (stat.S_ISCHR(found.st_mode) and os.major(found.st_rdev) == 136)


def become(prepared: Prepared, seccomp: bytes | None, keep: int, *, tied: bool) -> None:
    """Close everything but standard input, output, error and ``keep``, and give up all rights not asked for.

    ``tied``: it is to be killed when the launcher ends; a change of rights would undo that.
    """
    process, identity = prepared.process, prepared.identity
    if process["no_new_privileges"]:
        sys_.prctl(sys_.PR_SET_NO_NEW_PRIVS, 1)
    elif seccomp is not None:
        sys_.seccomp_filter(seccomp)
    if keep > 3:
        sys_.close_range(3, keep - 1)
    sys_.close_range(keep + 1)
    entered = _enter_directory(process["cwd"])
    _drop(process["capabilities"], identity)
    if not entered and not _enter_directory(process["cwd"]):
        raise Failure(INVALID, f"chdir to cwd ({process['cwd']!r}) failed: permission denied")
    _check_inside()
    if tied:
        sys_.prctl(sys_.PR_SET_PDEATHSIG, signal.SIGKILL)
    if process["no_new_privileges"] and seccomp is not None:
        sys_.seccomp_filter(seccomp)


def _enter_directory(path: str) -> bool:
    """False if this process may not enter it (a user other than root perhaps may)."""
    try:
        os.chdir(path)
    except PermissionError:
        return False
    return True


def _check_inside() -> None:
    """A working directory that cannot be reached from the root would be one of the host's."""
    try:
        inside = os.getcwd().startswith("/")
    except FileNotFoundError:
        inside = False
    if not inside:
        raise Failure(INVALID, "the working directory lies outside of the container's root")


def _drop(capabilities: int, identity: _identity.Identity) -> None:
    prctl = sys_.prctl
    for number in range(LAST_CAPABILITY + 1):
        if not capabilities >> number & 1 and prctl(sys_.PR_CAPBSET_READ, number):
            prctl(sys_.PR_CAPBSET_DROP, number)
    os.setgroups(identity.groups)
    os.setresgid(identity.gid, identity.gid, identity.gid)
    if identity.uid:
        os.setresuid(identity.uid, identity.uid, identity.uid)
    held = 0 if identity.uid else capabilities & sys_.capget()[1]
    sys_.capset(held, held, 0)


def execute(prepared: Prepared) -> NoReturn:
    """Search the container's PATH, as execvp does, and execute. Raises Failure if there is nothing to execute."""
    arguments = prepared.process["args"]
    if not arguments or not arguments[0]:
        raise Failure(INVALID, "no command specified")
    name = arguments[0]
    if "/" in name:
        _execute_at(name, name, prepared)
    denied = False
    for directory in prepared.environment["PATH"].split(":"):
        try:
            _execute_at(f"{directory or '.'}/{name}", name, prepared)
        except Failure as failure:
            if failure.kind == NOT_EXECUTABLE and not failure.message.endswith("permission denied"):
                raise
            denied = denied or failure.kind == NOT_EXECUTABLE
    if denied:
        raise Failure(NOT_EXECUTABLE, f'exec: "{name}": permission denied')
    raise Failure(NOT_FOUND, f'exec: "{name}": executable file not found in $PATH')


def _execute_at(path: str, name: str, prepared: Prepared) -> NoReturn:
    try:
        os.execve(path, prepared.process["args"], prepared.environment)
    except OSError as error:
        if error.errno in _ABSENT:
            raise Failure(NOT_FOUND, f'exec: "{name}": no such file or directory') from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EISDIR):
            raise Failure(NOT_EXECUTABLE, f'exec: "{name}": permission denied') from None
        raise Failure(NOT_EXECUTABLE, f'exec: "{name}": {os.strerror(error.errno or 0).lower()}') from None
