"""Running an OCI runtime until the container runs: its bundle, its terminal, its note of the first process."""

from __future__ import annotations

import json
import socket
from array import array

from bireme.launcher import _terminal
from bireme.launcher._protocol import DRIVER, Failure
from bireme.launcher.farm import _complaints, _oci, _runtime, _stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bireme.launcher.requests import RuntimeRequest, StartRequest

_CONFIG = f"{_stage.BUNDLE}/config.json"
_LOG, _PID_FILE = f"{_stage.HOME}/log", f"{_stage.HOME}/pid"
_CONSOLE = f"{_stage.HOME}/console"


def run(request: StartRequest, runtime: RuntimeRequest, stage: _stage.Stage, payload: int) -> tuple[int, int]:
    """The pid of the container's first process, and the terminal that the runtime has made for it, else -1."""
    _runtime.write(_CONFIG, json.dumps(_oci.config(request, runtime, stage)))
    arguments = [_runtime.find(runtime), *runtime["options"], "--root", _stage.STATE]
    arguments += ["--log", _LOG, "--log-format", "json", "run", "--detach"]
    arguments += ["--bundle", _stage.BUNDLE, "--pid-file", _PID_FILE]
    if not request["process"]["tty"]:
        return _first_process([*arguments, request["container"]], payload, request, runtime), -1
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as listener:
        listener.bind(_CONSOLE)
        listener.listen(1)
        arguments += ["--console-socket", _CONSOLE, request["container"]]
        return _first_process(arguments, payload, request, runtime), _receive_terminal(listener, request)


def _first_process(arguments: list[str], payload: int, request: StartRequest, runtime: RuntimeRequest) -> int:
    """Run the runtime to its end; the pid that it leaves a note of."""
    code = _runtime.wait(_runtime.spawn(arguments, payload))
    if code:
        said = _complaints.last_of_json(_runtime.read(_LOG)) or f"it ended with {code}"
        raise _complaints.failure(runtime["name"], runtime["program"], request["process"]["args"][0], said)
    note = _runtime.read(_PID_FILE)
    if not note.isdigit():
        raise Failure(DRIVER, f"{runtime['name']} has left no note of the process that it started")
    _runtime.settle(int(note), runtime, host_pid=request["host_pid"])
    return int(note)


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
