"""The vocabulary: identifiers, what a container is asked to be, what it is, and the frozen views of both.

Plain frozen data. A ``ContainerConfig`` is the record that is written to disk: it is the only source of truth about
who holds which volume (Docker's data-volume specification, April 2013).
"""

from __future__ import annotations

import secrets
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType, Self

ContainerId = NewType("ContainerId", str)
"""64 lower-case hexadecimal digits."""

VolumeId = NewType("VolumeId", str)
"""64 lower-case hexadecimal digits; the name of a directory below ``ROOT/volumes``."""

Nanoseconds = int
"""Wall-clock time in nanoseconds since the Unix epoch; 0 where it has not happened."""


def new_id() -> str:
    """A fresh identifier, 64 hexadecimal digits, never all decimal in its first twelve (hostnames are cut there)."""
    while True:
        candidate = secrets.token_hex(32)
        if not candidate[:12].isdigit():
            return candidate


class Status(StrEnum):
    """Where a container stands; the words are the Docker Engine API's where it has them."""

    CREATED = "created"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    RESTARTING = "restarting"
    EXITED = "exited"
    REMOVING = "removing"
    REMOVED = "removed"
    DEAD = "dead"


class WaitCondition(StrEnum):
    """What ``wait`` waits for (Docker Engine API, ``ContainerWait``)."""

    NOT_RUNNING = "not-running"
    NEXT_EXIT = "next-exit"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class VolumesFrom:
    """One ``--volumes-from CONTAINER[:ro|:rw]``. ``read_only`` None inherits each mount's own mode."""

    container: str
    read_only: bool | None = None


@dataclass(frozen=True, slots=True)
class Mount:
    """One volume at one path of one container. ``destination`` is absolute and clean."""

    volume: VolumeId
    destination: str
    read_only: bool = False
    owned: bool = True
    """True if the volume was made for this container; False if it came by ``--volumes-from``."""


@dataclass(frozen=True, slots=True)
class Tmpfs:
    """A file system in memory at one path of one container: a new one at each start, gone with all in it at the end.

    Never shared, not by ``--volumes-from`` either. ``destination`` is absolute and clean.
    """

    destination: str
    options: str = ""
    """As ``--tmpfs PATH:OPTIONS`` has them, between commas; those left out are ``nosuid,nodev,noexec``."""
    listed: bool = False
    """Whether it was asked for as a mount among others (``--mount type=tmpfs``), and is shown among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """``no``, ``always``, ``unless-stopped`` or ``on-failure`` with at most ``maximum_retries`` (0: no bound)."""

    name: str = "no"
    maximum_retries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """What a container's processes may do. Capabilities are names without ``CAP_``; ``ALL`` stands for every one."""

    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    no_new_privileges: bool = False
    seccomp: str = "default"
    """``default``, ``unconfined``, or a seccomp profile as JSON text."""
    privileged: bool = False
    group_add: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Resource bounds; 0 and "" stand for none. Memory in bytes, CPU in billionths of one processor."""

    memory: int = 0
    memory_swap: int = 0
    """Memory and swap together; -1 for as much swap as there is."""
    memory_reservation: int = 0
    nano_cpus: int = 0
    cpu_shares: int = 0
    """Its weight where processors are scarce, 1024 being the usual one."""
    cpuset_cpus: str = ""
    """The processors it may use: ``0-3,7``."""
    cpuset_mems: str = ""
    pids: int = 0
    """-1: explicitly none."""
    rlimits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """``nofile`` → (soft, hard), names as in ``ulimit``s of Docker."""
    shm_size: int = 64 << 20
    oom_score_adj: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """One process inside a container: its first, or one that ``exec`` adds."""

    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    """Whole environment as ``NAME=value``; PATH, HOSTNAME, HOME, TERM are the driver's to add where missing."""
    user: str = ""
    """``""`` (root), ``uid``, ``uid:gid``, ``name`` or ``name:group``, names looked up in the container's files."""
    working_dir: str = "/"
    tty: bool = False
    open_stdin: bool = False
    privileged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerConfig:
    """Everything that defines a container, fixed when it is created; the record in ``ROOT/containers/ID``.

    What the image contributes (environment, command, declared volumes) is merged in already.
    """

    id: ContainerId
    name: str
    created: Nanoseconds
    image: str
    image_id: str
    args: tuple[str, ...]
    """What runs: entrypoint, then command."""
    driver: str = "native"
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = "/"
    hostname: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    stop_signal: int = int(signal.SIGTERM)
    stop_timeout: int | None = None
    """Seconds between the stop signal and SIGKILL; None is ten."""
    volumes: tuple[str, ...] = ()
    """Paths declared by ``-v`` and by the image, clean; those that a source already mounts are among them."""
    volumes_from: tuple[VolumesFrom, ...] = ()
    mounts: tuple[Mount, ...] = ()
    """The volumes themselves: filled in when the container is created, from ``volumes`` and ``volumes_from``."""
    tmpfs: tuple[Tmpfs, ...] = ()
    """What is mounted in memory; of two at the same path the later one."""
    network: str = "none"
    """``none``: a network namespace of its own with loopback only; ``host``: the host's."""
    pid_mode: str = ""
    """``""``: a PID namespace of its own; ``host``: the host's."""
    uts_mode: str = ""
    """``""``: a host name of its own; ``host``: the host's."""
    read_only: bool = False
    init: bool = False
    auto_remove: bool = False
    restart: RestartPolicy = RestartPolicy()
    security: Security = Security()
    limits: Limits = Limits()
    ephemeral: bool = False
    """Made by a program whose runtime removes what it has made (``on_exit="remove"``), also after a crash of it."""
    extra: Mapping[str, object] = field(default_factory=dict)
    """JSON that the API only hands back (attach flags, exposed ports, log configuration)."""

    def process(self) -> ProcessSpec:
        """The first process."""
        return ProcessSpec(
            args=self.args,
            env=self.env,
            user=self.user,
            working_dir=self.working_dir,
            tty=self.tty,
            open_stdin=self.open_stdin,
        )


class ExitStatus(int):
    """How a process ended: the integer is the exit code, 128+n for a death by signal n (as a shell counts).

    Compares, formats and serialises as that integer.
    """

    signal: int | None
    oom_killed: bool
    started: Nanoseconds
    finished: Nanoseconds
    error: str

    def __new__(
        cls,
        code: int,
        *,
        signal: int | None = None,
        oom_killed: bool = False,
        started: Nanoseconds = 0,
        finished: Nanoseconds = 0,
        error: str = "",
    ) -> Self:
        """``code`` 0 to 255; ``error`` is the reason where the process could not even start."""
        self = super().__new__(cls, code)
        self.signal = signal
        self.oom_killed = oom_killed
        self.started = started
        self.finished = finished
        self.error = error
        return self

    def __repr__(self) -> str:
        detail = f", signal={self.signal}" if self.signal is not None else ""
        return f"ExitStatus({int(self)}{detail}{', oom_killed=True' if self.oom_killed else ''})"

    def __str__(self) -> str:
        return str(int(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """The changing half of a container, as ``inspect`` shows it; written beside the configuration."""

    status: Status = Status.CREATED
    pid: int = 0
    exit_code: int = 0
    exit_signal: int | None = None
    oom_killed: bool = False
    error: str = ""
    started: Nanoseconds = 0
    finished: Nanoseconds = 0
    restart_count: int = 0
    stopped_by_user: bool = False
    removing_volumes: bool = False
    """While removing: whether volumes that nobody else holds go too."""

    @property
    def running(self) -> bool:
        """True while it has processes (also while paused or stopping)."""
        return self.status in _ALIVE

    def exit_status(self) -> ExitStatus:
        """The last exit; code 0 with no times for a container that never ran."""
        return ExitStatus(
            self.exit_code,
            signal=self.exit_signal,
            oom_killed=self.oom_killed,
            started=self.started,
            finished=self.finished,
            error=self.error,
        )


_ALIVE = frozenset({Status.RUNNING, Status.PAUSED, Status.STOPPING})


@dataclass(frozen=True, slots=True)
class ContainerView:
    """A frozen snapshot of one container: what ``ps`` and ``inspect`` read without asking the actor."""

    config: ContainerConfig
    state: ContainerState

    @property
    def id(self) -> ContainerId:
        return self.config.id

    @property
    def name(self) -> str:
        return self.config.name


@dataclass(frozen=True, slots=True)
class ContainerRecord:
    """What the record store keeps of one container."""

    config: ContainerConfig
    state: ContainerState


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeView:
    """A frozen snapshot of one volume. ``holders`` are the containers whose configuration mounts it."""

    id: VolumeId
    path: str
    created: Nanoseconds
    holders: tuple[ContainerId, ...] = ()
    unheld_since: Nanoseconds = 0
    """When the last holder went; 0 while held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened; ``kind`` ``container``, ``volume`` or ``image``, ``action`` as Docker names it."""

    kind: str
    action: str
    id: str
    time: Nanoseconds
    attributes: Mapping[str, str] = field(default_factory=dict)
