"""The life of a container and of a volume, each in one table.

Two rules. A transition that the table lacks is an error that names the state and the trigger, and it changes nothing.
Whatever is not in a table cannot happen: actors ask ``step`` before they act, never after.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from bireme_actors._errors import Conflict
from bireme_actors._model import Status


class Trigger(StrEnum):
    """What can happen to a container."""

    START = "start"
    STARTED = "started"
    NEVER_STARTED = "never started"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    STOP = "stop"
    EXITED = "exited"
    RESTART_LATER = "restart later"
    REMOVE = "remove"
    REMOVED = "removed"
    REMOVE_FAILED = "remove failed"


class VolumeStatus(StrEnum):
    """Where a volume stands."""

    READY = "ready"
    REMOVING = "removing"
    REMOVED = "removed"


class VolumeTrigger(StrEnum):
    """What can happen to a volume."""

    REMOVE = "remove"
    REMOVED = "removed"
    REMOVE_FAILED = "remove failed"


CONTAINER: Mapping[tuple[Status, Trigger], Status] = {
    (Status.CREATED, Trigger.START): Status.STARTING,
    (Status.CREATED, Trigger.REMOVE): Status.REMOVING,
    (Status.STARTING, Trigger.STARTED): Status.RUNNING,
    (Status.STARTING, Trigger.NEVER_STARTED): Status.CREATED,
    (Status.STARTING, Trigger.EXITED): Status.EXITED,
    (Status.RUNNING, Trigger.PAUSE): Status.PAUSED,
    (Status.RUNNING, Trigger.STOP): Status.STOPPING,
    (Status.RUNNING, Trigger.EXITED): Status.EXITED,
    (Status.PAUSED, Trigger.UNPAUSE): Status.RUNNING,
    (Status.PAUSED, Trigger.STOP): Status.STOPPING,
    (Status.PAUSED, Trigger.EXITED): Status.EXITED,
    (Status.STOPPING, Trigger.EXITED): Status.EXITED,
    (Status.EXITED, Trigger.START): Status.STARTING,
    (Status.EXITED, Trigger.RESTART_LATER): Status.RESTARTING,
    (Status.EXITED, Trigger.REMOVE): Status.REMOVING,
    (Status.RESTARTING, Trigger.START): Status.STARTING,
    (Status.RESTARTING, Trigger.STOP): Status.EXITED,
    (Status.RESTARTING, Trigger.REMOVE): Status.REMOVING,
    (Status.REMOVING, Trigger.REMOVED): Status.REMOVED,
    (Status.REMOVING, Trigger.REMOVE_FAILED): Status.DEAD,
    (Status.DEAD, Trigger.REMOVE): Status.REMOVING,
}

VOLUME: Mapping[tuple[VolumeStatus, VolumeTrigger], VolumeStatus] = {
    (VolumeStatus.READY, VolumeTrigger.REMOVE): VolumeStatus.REMOVING,
    (VolumeStatus.REMOVING, VolumeTrigger.REMOVED): VolumeStatus.REMOVED,
    (VolumeStatus.REMOVING, VolumeTrigger.REMOVE_FAILED): VolumeStatus.READY,
}


class IllegalTransition(Conflict):
    """The present state rules this out; the state is unchanged. ``state`` and ``trigger`` tell which pair."""

    def __init__(self, what: str, state: StrEnum, trigger: StrEnum) -> None:
        super().__init__(f"{what} is {state}: cannot {trigger} it")
        self.state = state
        self.trigger = trigger


S = TypeVar("S", bound=StrEnum)
T = TypeVar("T", bound=StrEnum)


def step(table: Mapping[tuple[S, T], S], what: str, state: S, trigger: T) -> S:
    """The state after ``trigger``. Raises IllegalTransition, naming ``what``, where the table has none."""
    try:
        return table[state, trigger]
    except KeyError:
        raise IllegalTransition(what, state, trigger) from None


def allows(table: Mapping[tuple[S, T], S], state: S, trigger: T) -> bool:
    """Whether ``step`` would succeed."""
    return (state, trigger) in table


def diagram(table: Mapping[tuple[S, T], S]) -> str:
    """The table as a Mermaid state diagram, for the documentation."""
    lines = [f"    {before} --> {after}: {trigger}" for (before, trigger), after in table.items()]
    return "\n".join(["stateDiagram-v2", *lines])
