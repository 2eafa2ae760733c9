"""Every message, one frozen class each. A message that is asked for names the type of its reply: ``Ask[Reply]``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from bireme_actors._errors import BiremeError
from bireme_actors._model import ContainerConfig, ContainerId, ExitStatus, ProcessSpec
from bireme_actors._ports import Process, RunningContainer

R = TypeVar("R")


class Ask(Generic[R]):
    """Base of the messages that are answered with an ``R``."""

    __slots__ = ()


# To a container.


@dataclass(frozen=True, slots=True)
class Start(Ask[None]):
    """Run the command. Answered once it has been executed."""


@dataclass(frozen=True, slots=True)
class Stop(Ask[None]):
    """Send ``signum``, SIGKILL after ``timeout`` seconds (None: never). Answered at the exit.

    ``by_user`` False: the engine is ending; the restart policy then holds for the next engine.
    """

    signum: int
    timeout: float | None
    by_user: bool = True


@dataclass(frozen=True, slots=True)
class Kill(Ask[None]):
    """Send a signal. Answered once it is sent."""

    signum: int


@dataclass(frozen=True, slots=True)
class Pause(Ask[None]):
    """Freeze all processes."""


@dataclass(frozen=True, slots=True)
class Unpause(Ask[None]):
    """Thaw all processes."""


@dataclass(frozen=True, slots=True)
class Restart(Ask[None]):
    """Stop as ``Stop`` does, if it runs, and start again. Answered once it runs."""

    signum: int
    timeout: float | None


@dataclass(frozen=True, slots=True)
class Remove(Ask[None]):
    """Remove the container, and with ``volumes`` those of its volumes that nobody else holds."""

    force: bool = False
    volumes: bool = False


@dataclass(frozen=True, slots=True)
class Reconfigure(Ask[None]):
    """Replace the configuration (new name, new restart policy); durable when answered.

    A function is applied to the configuration as it is by then, so that no two changes undo each other.
    """

    config: ContainerConfig | Callable[[ContainerConfig], ContainerConfig]

    def applied_to(self, config: ContainerConfig) -> ContainerConfig:
        """The new configuration."""
        return self.config if isinstance(self.config, ContainerConfig) else self.config(config)


@dataclass(frozen=True, slots=True)
class Exec(Ask[Process]):
    """Add a process."""

    process: ProcessSpec


@dataclass(frozen=True, slots=True)
class Resize(Ask[None]):
    """Set the terminal's size."""

    rows: int
    columns: int


# From a container's own child tasks.


@dataclass(frozen=True, slots=True)
class Started:
    """The command runs."""

    process: RunningContainer


@dataclass(frozen=True, slots=True)
class StartFailed:
    """The command could not be executed."""

    error: BiremeError


@dataclass(frozen=True, slots=True)
class Exited:
    """The first process has ended and its output is in the log."""

    status: ExitStatus


@dataclass(frozen=True, slots=True)
class RestartDue:
    """The delay before an automatic restart is over; ``attempt`` tells which one."""

    attempt: int


@dataclass(frozen=True, slots=True)
class RemoveDone:
    """Removing has ended."""

    error: BiremeError | None


# To a volume.


@dataclass(frozen=True, slots=True)
class Attach(Ask[None]):
    """Hold the volume for a container."""

    container: ContainerId


@dataclass(frozen=True, slots=True)
class Detach(Ask[bool]):
    """Let go; with ``remove`` and no other holder the volume is removed. Answers whether it was."""

    container: ContainerId
    remove: bool


@dataclass(frozen=True, slots=True)
class RemoveVolume(Ask[None]):
    """Remove the volume; refused while it is held."""


# From a volume's own child tasks.


@dataclass(frozen=True, slots=True)
class VolumeRemoved:
    """The directory is gone, or not."""

    error: BiremeError | None
