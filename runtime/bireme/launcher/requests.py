"""What the engine asks of the launcher and what it hears back: the fields of every message, JSON all of it.

Typed dictionaries rather than dataclasses: they are what travels, both sides are checked against the one definition,
and the launcher, where every import makes every clone dearer, never loads this module (it imports it for the type
checker alone).
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class ProcessRequest(TypedDict):
    """One process: what to execute, as whom, and with which rights."""

    args: list[str]
    env: list[str]
    user: str
    groups: list[str]
    """Supplementary groups besides those of the user, names or numbers."""
    cwd: str
    tty: bool
    stdin: bool
    """Whether there is a pipe to standard input; ``/dev/null`` otherwise."""
    hostname: str
    """For the ``HOSTNAME`` variable."""
    capabilities: int
    """Bit mask of what the process holds and may ever hold."""
    seccomp: str
    """Name of a filter handed over before; "" for none."""
    no_new_privileges: bool
    rlimits: list[tuple[int, int, int]]
    """(resource, soft, hard); cut to what the launcher itself may have. -1 is no limit."""
    oom_score_adj: int
    rows: NotRequired[int]
    columns: NotRequired[int]


class TmpfsRequest(TypedDict):
    """A file system in memory."""

    flags: list[str]
    """Of ``ro``, ``nosuid``, ``nodev``, ``noexec``, ``noatime`` or else ``strictatime``, ``nodiratime``."""
    options: list[tuple[str, str | None]]
    """Of the file system, as tmpfs(5) has them. Without a ``mode`` it has that of the directory it covers."""


class MountRequest(TypedDict):
    """One bind mount of a directory or a file of the host, or a new file system in memory."""

    source: str
    """Absolute, or relative to the engine's ROOT; "" for a tmpfs."""
    target: str
    """Absolute path in the container; links in it are followed inside the container's root."""
    read_only: bool
    tmpfs: NotRequired[TmpfsRequest]


class RootRequest(TypedDict):
    """A root file system: layers, what is written on top of them, and the volumes in it."""

    layers_directory: str
    """Relative to ROOT (or absolute); the layers' names are relative to it."""
    layers: list[str]
    """Names, the lowest first."""
    upper: str
    """Directories for what is written, relative to ``layers_directory``; "" for a view that is only read.

    All names are relative, so that neither the length of ROOT nor a comma or colon in it matters.
    """
    work: str
    volatile: bool
    """Never wait for the disk to have the writable layer: for containers that are removed when they end."""
    mounts: list[MountRequest]
    """Volumes and what is in memory, in the order to mount them."""
    files: list[MountRequest]
    """Single files, mounted after the volumes."""


class LimitsRequest(TypedDict):
    """Resource bounds, 0 for none; ``cpu`` in billionths of a processor."""

    memory: int
    cpu: int
    pids: int
    """-1: explicitly none."""
    memory_swap: NotRequired[int]
    """Memory and swap together; -1 for no bound."""
    memory_reservation: NotRequired[int]
    cpu_shares: NotRequired[int]
    cpuset_cpus: NotRequired[str]
    cpuset_mems: NotRequired[str]


class RuntimeRequest(TypedDict):
    """Another container runtime, which is to make the container instead of the launcher itself."""

    kind: str
    """What it reads: ``oci`` or ``lxc``."""
    name: str
    """For messages."""
    program: str
    """Absolute path on the host."""
    options: list[str]
    """Its global options."""
    capabilities: list[str]
    """Names of the process's capabilities, as in ``NET_RAW``: those of the mask."""
    seccomp: dict[str, Any] | None
    """The process's filter, in the form that the OCI specification gives it."""


class StartRequest(TypedDict):
    """A whole container."""

    container: str
    root: RootRequest
    read_only: bool
    hostname: str
    host_network: bool
    host_pid: bool
    """Whether the host's PIDs are the container's: the work of a launcher that gives all of its containers those."""
    host_uts: bool
    """Whether the host's name is the container's; ``hostname`` then is what its process is told alone."""
    privileged: bool
    shm_size: int
    limits: LimitsRequest
    init: str
    """A static init program on the host to run in front; "" for none."""
    exit_file: str
    """Where to note the exit before it is reported, relative to ROOT; "" for nowhere."""
    process: ProcessRequest
    runtime: NotRequired[RuntimeRequest]
    """Whom to farm it out to; nobody if missing."""


class ExecRequest(TypedDict):
    """One more process in a container that runs."""

    container: str
    process: ProcessRequest


class ArchiveRequest(TypedDict):
    """Work on the files of a container, or of an image's layers alone.

    If ``container`` runs, the work is done in its own view; else in a fresh view of ``root``.
    """

    action: str
    """``stat``, ``pack``, ``unpack`` or ``copy``."""
    container: str
    root: RootRequest
    path: str
    target: NotRequired[str]
    """``copy``: the host's directory to fill, absolute or relative to ROOT."""
    working_dir: NotRequired[str]
    """``copy``: a directory to make first, so that it is in the volume from its beginning."""
    contents: NotRequired[bool]
    """``pack``: the entries of the directory itself, without its own name (``export``)."""
    layer: NotRequired[list[str]]
    """``pack``: the root is a writable layer by itself, to become an image's: whiteouts, and without these places."""
    no_overwrite_dir_non_dir: NotRequired[bool]
    """``unpack``: a directory is never replaced by something else, nor the other way round."""
    copy_uid_gid: NotRequired[bool]
    """``unpack``: everything is to belong to ``user`` rather than to whom the archive says."""
    user: NotRequired[str]
    """The container's, looked up in its own files."""


class Settings(TypedDict):
    """What the launcher is told once, on its command line."""

    root: str
    """ROOT, absolute and free of links."""
    cgroup: str
    """Name of the top cgroup directory, the same for every launcher of a ROOT."""
    lock: str
    """Name of the file in ROOT that it locks. That of one which shares the PIDs of the host is there for as long as
    something may be left of its containers, and removed at its end."""
    socket: str
    """Where to listen, for a launcher that outlives its engine; "" for one that ends with it."""
    source: str
    """The source root the launcher's modules are imported from."""
    stepwise: NotRequired[bool]
    """Whether every container is to be set up step by step, also where a list of system calls would do."""
    host_pids: NotRequired[bool]
    """Whether its containers share the PIDs of the host, which it then shares itself."""
    patience: NotRequired[float]
    """Seconds to wait for a launcher of the same ROOT that is ending."""


class Facts(TypedDict):
    """What the launcher says first to an engine that connects."""

    root: str
    """The ROOT it belongs to."""
    pid: int
    """In the host's numbering."""
    capabilities: int
    """The bit mask it can give away at most."""
    devices: bool
    """Whether device nodes are guarded by a cgroup program; if not, CAP_MKNOD is withheld and mounts get ``nodev``."""
    cgroups: list[str]
    """What can be limited: some of ``freeze``, ``memory``, ``cpu``, ``pids``."""
    seccomp: list[str]
    """Names of the filters it holds."""
    kernel: str


class ProcessFacts(TypedDict):
    """A process that has been started."""

    process: int
    """The launcher's number for it."""
    pid: int
    started: int
    plain: bool
    """Whether it was set up as a list of system calls."""


class ExitFacts(TypedDict):
    """A process that has ended."""

    process: int
    container: str
    code: int
    signal: int
    """0 if it ended by itself."""
    oom_killed: bool
    started: int
    finished: int


class ContainerFacts(TypedDict):
    """A container as a new engine finds it."""

    container: str
    process: int
    pid: int
    started: int
    tty: bool
    frozen: bool
    streams: list[str]
    """Which descriptors come along, in order: of ``stdin``, ``stdout``, ``stderr``, ``terminal``."""
    exit: ExitFacts | None


Message = dict[str, Any]
"""A decoded message: ``{"id", "op", ...}``, ``{"id", "ok"}``, ``{"id", "error"}`` or ``{"event", ...}``."""
