"""Restart policies: whether a container that has exited runs again, and after how long."""

from __future__ import annotations

from bireme_actors._model import ContainerState, RestartPolicy

RESTART_FIRST, RESTART_MOST, RESTART_CALM = 0.1, 60.0, 10.0
"""Seconds before the first automatic restart, doubled at each up to the most; a run of the calm length resets it."""


def wants_restart(policy: RestartPolicy, state: ContainerState) -> bool:
    """Whether ``policy`` has a container run again that exited as ``state`` says; never after the user stopped it."""
    if state.stopped_by_user:
        return False
    if policy.name == "on-failure":
        tries_left = policy.maximum_retries == 0 or state.restart_count < policy.maximum_retries
        return state.exit_code != 0 and tries_left
    return policy.name in ("always", "unless-stopped")


def restart_attempt(state: ContainerState) -> int:
    """The number of the restart that follows the exit in ``state``: 1 after a calm run."""
    calm = state.finished - state.started >= RESTART_CALM * 1e9
    return 1 if calm else state.restart_count + 1


def restart_delay(attempt: int) -> float:
    """Seconds before the restart of that number."""
    return min(RESTART_MOST, RESTART_FIRST * 2.0 ** min(attempt - 1, 30))
