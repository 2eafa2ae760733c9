"""Running a runtime until the container runs: its files, its terminal, its end, and what it says if it fails."""

from __future__ import annotations

import json
import os
import socket
from array import array

from bireme import _syscalls as sys_
from bireme.launcher import _terminal
from bireme.launcher._protocol import DRIVER, MISSING, Failure
from bireme.launcher.farm import _complaints, _oci, _stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from bireme.launcher.requests import RuntimeRequest, StartRequest

PAYLOAD = f"{_stage.CGROUPS}/payload"

_CONFIG = f"{_stage.BUNDLE}/config.json"
_LOG, _PID_FILE = f"{_stage.HOME}/log", f"{_stage.HOME}/pid"
_CONSOLE = f"{_stage.HOME}/console"
_LONGEST_LOG = 1 << 20
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/"}


def make_payload() -> int:
    """The cgroup that everything the runtime starts is born in: its descriptor."""
    os.mkdir(PAYLOAD)
    if not os.path.exists(f"{PAYLOAD}/cgroup.kill"):
        raise Failure(MISSING, f"other drivers than native need Linux 5.14 or newer, this is {os.uname().release}")
    if not os.path.exists("/proc/thread-self/children"):
        raise Failure(MISSING, "other drivers than native need a kernel with CONFIG_PROC_CHILDREN")
    return os.open(PAYLOAD, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def finish_off(payload: int) -> None:
    """Kill whatever the runtime has started, and reap it."""
    fd = os.open("cgroup.kill", os.O_WRONLY | os.O_CLOEXEC, dir_fd=payload)
    os.write(fd, b"1")
    os.close(fd)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


def run(request: StartRequest, runtime: RuntimeRequest, stage: _stage.Stage, payload: int) -> tuple[int, int]:
    """The pid of the container's first process, and the terminal that the runtime has made for it, else -1."""
    if not os.access(runtime["program"], os.X_OK):
        raise Failure(MISSING, f"{runtime['name']} cannot be executed: there is no program {runtime['program']}")
    name = request["container"][:64]
    write(_CONFIG, json.dumps(_oci.config(request, runtime, stage)))
    arguments = [runtime["program"], *runtime["options"], "--root", _stage.STATE]
    arguments += ["--log", _LOG, "--log-format", "json", "run", "--detach"]
    arguments += ["--bundle", _stage.BUNDLE, "--pid-file", _PID_FILE]
    if not request["process"]["tty"]:
        _check(_wait(_spawn([*arguments, name], payload)), request, runtime)
        return _first_process(runtime), -1
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as listener:
        listener.bind(_CONSOLE)
        listener.listen(1)
        _check(_wait(_spawn([*arguments, "--console-socket", _CONSOLE, name], payload)), request, runtime)
        return _first_process(runtime), _receive_terminal(listener, request)


def _first_process(runtime: RuntimeRequest) -> int:
    """Its pid, of which the runtime has left a note. It is our only child once all of the runtime has ended."""
    try:
        pid = int(read(_PID_FILE))
        while pid not in _children():
            os.wait()
        for other in _children() - {pid}:
            os.waitpid(other, 0)
    except (ValueError, ChildProcessError):
        raise Failure(DRIVER, f"{runtime['name']} has started no process of ours") from None
    return pid


def _children() -> set[int]:
    pid = os.getpid()
    return set(map(int, read(f"/proc/{pid}/task/{pid}/children").split()))


def _spawn(arguments: list[str], payload: int) -> int:
    pid, pidfd = sys_.clone3(0, cgroup=payload)
    if pid == 0:
        _become(arguments)
    os.close(pidfd)
    return pid


def _become(arguments: list[str]) -> NoReturn:
    try:
        sys_.close_range(3, cloexec=True)
        os.execve(arguments[0], arguments, _ENVIRONMENT)
    finally:
        os._exit(127)


def _wait(pid: int) -> int:
    """Its exit code, 128 and more if it was killed."""
    _, status = os.waitpid(pid, 0)
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _check(code: int, request: StartRequest, runtime: RuntimeRequest) -> None:
    if code:
        said = _complaints.last_of_json(read(_LOG))
        command = request["process"]["args"][0]
        raise _complaints.failure(runtime["name"], runtime["program"], command, said or f"it ended with {code}")


def _receive_terminal(listener: socket.socket, request: StartRequest) -> int:
    """The runtime, which has ended well, has connected and sent a descriptor."""
    listener.setblocking(False)
    try:
        connection, _ = listener.accept()
    except BlockingIOError:
        raise Failure(DRIVER, "the runtime has made no terminal") from None
    with connection:
        connection.setblocking(False)
        _, ancillary, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
    descriptors = array("i")
    for _level, _kind, content in ancillary:
        descriptors.frombytes(content)
    rows, columns = request["process"].get("rows", 0), request["process"].get("columns", 0)
    if rows and columns:
        _terminal.set_size(descriptors[0], rows, columns)
    return descriptors[0]


def write(path: str, text: str) -> None:
    """A file of ours."""
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)


def read(path: str) -> str:
    """The end of a file that a runtime has written; nothing if it has not."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LONGEST_LOG))
            return file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
