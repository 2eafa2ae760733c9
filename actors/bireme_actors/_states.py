"""A container's state after what happened to its process; which of its fields mean what, in one place."""

from __future__ import annotations

from typing import Any

from bireme_actors._errors import BiremeError, CommandNotExecutable, CommandNotFound
from bireme_actors._model import ContainerState, ExitStatus, Nanoseconds
from bireme_actors._ports import Process

NOT_FOUND, NOT_EXECUTABLE, NOT_STARTED = 127, 126, 128
"""Exit codes of what could not be started, as a shell says and as Docker says for all else."""


def started(process: Process) -> dict[str, Any]:
    """The command has been executed: nothing is left of an earlier run."""
    return {
        "pid": process.pid,
        "started": process.started,
        "finished": 0,
        "exit_code": 0,
        "exit_signal": None,
        "oom_killed": False,
        "error": "",
        "stopped_by_user": False,
    }


def not_started(state: ContainerState, error: BiremeError, now: Nanoseconds) -> dict[str, Any]:
    """The command could not be executed; a container that never ran has no time at which it ended."""
    code = NOT_STARTED
    if isinstance(error, CommandNotFound):
        code = NOT_FOUND
    elif isinstance(error, CommandNotExecutable):
        code = NOT_EXECUTABLE
    return {"exit_code": code, "error": str(error), "finished": now if state.finished else 0}


def exited(status: ExitStatus, now: Nanoseconds) -> dict[str, Any]:
    """The first process has ended."""
    return {
        "pid": 0,
        "exit_code": int(status),
        "exit_signal": status.signal,
        "oom_killed": status.oom_killed,
        "finished": status.finished or now,
        "error": status.error,
    }
