"""The life of a helper: from its clone until it has handed the container's first process over, or undone everything.

It is in the container's cgroup, which is all it sees of cgroups; the runtime and what that starts are in one below,
``payload``. Giving up is killing that one and reaping what falls to the helper: nothing is left to anybody else.
"""

from __future__ import annotations

import os
import signal

from bireme import _syscalls as sys_
from bireme.launcher import _mounts, _program, _protocol, sandbox
from bireme.launcher._protocol import ABORTED, DRIVER, Failure
from bireme.launcher.farm import _run_lxc, _run_oci, _runtime, _stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from bireme.launcher.requests import RuntimeRequest, StartRequest


def start(request: StartRequest, runtime: RuntimeRequest, child: sandbox.Child, host: sandbox.Host) -> NoReturn:
    """Have the runtime make the container, tell who its first process is, and end."""
    sandbox.guarded(child.status, lambda: _start(request, runtime, child, host))


def _start(request: StartRequest, runtime: RuntimeRequest, child: sandbox.Child, host: sandbox.Host) -> NoReturn:
    signal.signal(signal.SIGTERM, _give_up)
    os.setsid()
    os.umask(0o022)
    sys_.prctl(sys_.PR_SET_CHILD_SUBREAPER, 1)
    for fd in child.cgroup_files:
        os.write(fd, b"0")
    stage = _stage.prepare(request, host)
    _program.take_stdio(_stdio(child.stdio), stage.identity.uid)
    payload = _runtime.make_payload()
    try:
        run = _run_lxc.run if runtime["kind"] == "lxc" else _run_oci.run
        pid, terminal = run(request, runtime, stage, payload)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except BaseException:
        _runtime.finish_off(payload)
        raise
    if terminal >= 0:
        _protocol.send(child.status, {sandbox.TERMINAL: True}, (terminal,))
    _protocol.send(child.status, {sandbox.READY: True, sandbox.ADOPT: pid})
    os._exit(0)


def _give_up(signum: int, frame: object) -> NoReturn:
    raise Failure(ABORTED, "the start was given up")


def _stdio(given: tuple[int, int, int]) -> tuple[int, int, int]:
    """The null device in place of what is missing; the runtime opens it once more, in the container."""
    null = os.open("/dev/null", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    if not _mounts.is_null(os.fstat(null)):
        raise Failure(DRIVER, "/dev/null of this host is not the null device")
    stdin, stdout, stderr = (null if fd < 0 else fd for fd in given)
    return stdin, stdout, stderr
