"""What has become of a container while no engine looked: the state to go on from, by what is on disk and what runs."""

from __future__ import annotations

from dataclasses import replace

from bireme_actors._model import ContainerState, Nanoseconds, Status
from bireme_actors._ports import RunningContainer

LOST_CODE = 255
LOST_ERROR = "it ended together with the engine or the machine that ran it; its exit status is not known"


def is_news(state: ContainerState, process: RunningContainer) -> bool:
    """Whether ``process`` is a run whose end the record does not have: it runs, or its exit is still to be told."""
    return state.status not in _BEING_REMOVED and (state.running or state.started != process.started)


def with_process(state: ContainerState, process: RunningContainer) -> ContainerState:
    """It runs, or has left its exit for whoever watches it next."""
    if state.running:
        status = Status.PAUSED if state.status is Status.PAUSED else Status.RUNNING
        return replace(state, status=status, pid=process.pid)
    return replace(state, status=Status.RUNNING, pid=process.pid, started=process.started, finished=0)


def without_process(state: ContainerState, now: Nanoseconds) -> ContainerState:
    """It does not run. What ran is lost; what was being removed still is; a restart is its restorer's to decide."""
    if state.running:
        return replace(
            state, status=Status.EXITED, pid=0, exit_code=LOST_CODE, exit_signal=None, error=LOST_ERROR, finished=now
        )
    if state.status in _BEING_REMOVED:
        return replace(state, status=Status.REMOVING)
    if state.status is Status.CREATED or not state.finished:
        return replace(state, status=Status.CREATED)
    return replace(state, status=Status.EXITED)


_BEING_REMOVED = frozenset({Status.REMOVING, Status.REMOVED, Status.DEAD})
