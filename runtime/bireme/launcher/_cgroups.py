"""The containers' cgroups: a top directory of our own, one directory below it for each container.

Facts that shape this:

- On the v2 hierarchy, even where it has no controllers (the "hybrid" layout), a clone is born in its group
  (CLONE_INTO_CGROUP), it can be frozen there, and a device program guards all of it. Where no v2 hierarchy is mounted,
  one is mounted in the launcher's own mount namespace. Confined and privileged containers have a parent each, and only
  the confined one carries the device program.
- A v1 controller has to be entered by writing to ``cgroup.procs``, which waits for every processor (half a
  millisecond and more). So v1 groups are made only for containers that ask for a limit; without one a container on a
  v1 host has no bound on its number of processes.
- Of v1 hierarchies the directories lie below the launcher's own group, so that no container escapes a bound that the
  host has set for us. On v2 they lie at the top of what is visible, since a group that has processes can not have
  controllers for its children.
- Nothing is ever written into a group that is not ours, but for enabling a v2 controller at the top for a container
  that asks for it.
"""

from __future__ import annotations

import contextlib
import os

from bireme import _syscalls as sys_
from bireme.launcher import _devices
from bireme.launcher._protocol import INVALID, MISSING, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bireme.launcher.requests import LimitsRequest

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_CONTROLLERS = ("memory", "cpu", "pids")
_PERIOD = 100_000
"""Microseconds over which a share of the processors is counted."""
DEFAULT_PIDS = 4096
_USUAL = 3
"""Limits that every request names."""
_OPTIONAL = ("memory.swap.max", "memory.memsw.limit_in_bytes")
"""Files that a kernel without accounting of swap lacks; there is no such bound there, as in Docker."""
_MOST_SWEEPS = 50


class Group:
    """One container's cgroups."""

    __slots__ = ("entered", "fd", "limited", "name", "parent", "v1")

    def __init__(self, name: str, parent: int, fd: int) -> None:
        self.name = name
        self.parent = parent
        """The directory it was made in; -1 where there is no v2 hierarchy."""
        self.fd = fd
        self.v1: list[int] = []
        self.entered: tuple[int, ...] = ()
        """``cgroup.procs`` of the v1 groups."""
        self.limited = False

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Its directory is open, which otherwise it is only while its first process starts.

        What is open is copied, and closed again, with every new process.
        """
        if self.parent >= 0:
            self.fd = os.open(self.name, _DIRECTORY, dir_fd=self.parent)
        try:
            yield
        finally:
            self.close_directory()

    def close_directory(self) -> None:
        """Let go of the directory."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def close(self) -> None:
        """Let go of all descriptors."""
        self.close_directory()
        for fd in self.entered:
            os.close(fd)
        self.entered = ()


class Cgroups:
    """What the launcher may make of cgroups on this host."""

    def __init__(self, v2: int, v1: dict[str, int], name: str, *, host_pids: bool = False) -> None:
        """``v2``: descriptor of a v2 directory, -1 for none; ``v1``: of a directory for each v1 controller.

        ``host_pids``: the containers share the PIDs of the host, so that no namespace ends what is in a group.
        """
        self.host_pids = host_pids
        self._base = v2
        self._name = name
        self._v1_base = v1
        self._v1: dict[str, int] = {}
        self._top, self._confined, self._privileged = -1, -1, -1
        self.controllers: frozenset[str] = frozenset()
        self.devices_guarded = False
        self._leftover: list[Group] = []
        if host_pids:
            self.end_all()
        remove_all([v2, *v1.values()], name)
        if v2 >= 0:
            self._make_top()

    def _make_top(self) -> None:
        try:
            self._top = _make(self._base, self._name)
        except OSError:
            self._base = -1
            return
        self._confined = _make(self._top, "confined")
        self._privileged = _make(self._top, "privileged")
        self.controllers = frozenset(_read(self._top, "cgroup.controllers").split()) & frozenset(_CONTROLLERS)
        self._enable(self.controllers)
        with contextlib.suppress(OSError):
            program = sys_.bpf_load(_devices.PROGRAM_TYPE, _devices.program())
            sys_.bpf_attach(self._confined, program, _devices.ATTACH_TYPE, _devices.BESIDES_OTHERS)
            os.close(program)
            self.devices_guarded = True

    def _enable(self, controllers: frozenset[str]) -> None:
        if not controllers:
            return
        text = " ".join(f"+{name}" for name in sorted(controllers))
        for directory in (self._top, self._confined, self._privileged):
            write(directory, "cgroup.subtree_control", text)

    def features(self) -> list[str]:
        """What can be done: some of ``freeze``, ``memory``, ``cpu``, ``pids``."""
        freeze = ["freeze"] if self._top >= 0 else []
        return freeze + [name for name in _CONTROLLERS if name in self.controllers or name in self._v1_base]

    def create(self, name: str, limits: LimitsRequest, *, privileged: bool) -> Group:
        """Make a container's group, bounds set. Raises Failure where a bound cannot be had, OSError."""
        parent = self._privileged if privileged else self._confined
        group = Group(name, parent, _make(parent, name) if parent >= 0 else -1)
        try:
            self._limit(group, limits)
        except BaseException:
            self.remove(group)
            raise
        return group

    def _limit(self, group: Group, limits: LimitsRequest) -> None:
        pids = limits["pids"] or (DEFAULT_PIDS if "pids" in self.controllers else 0)
        if pids > 0:
            self._set(group, "pids", {"pids.max": str(pids)}, {"pids.max": str(pids)})
        if limits["memory"]:
            text = str(limits["memory"])
            group.limited = True
            self._set(group, "memory", {"memory.max": text}, {"memory.limit_in_bytes": text})
        if limits["cpu"]:
            quota = max(1000, limits["cpu"] * _PERIOD // 1_000_000_000)
            v1 = {"cpu.cfs_period_us": str(_PERIOD), "cpu.cfs_quota_us": str(quota)}
            self._set(group, "cpu", {"cpu.max": f"{quota} {_PERIOD}"}, v1)
        if len(limits) > _USUAL:
            self._limit_rarely(group, limits)

    def _limit_rarely(self, group: Group, limits: LimitsRequest) -> None:
        from bireme.launcher import _bounds  # only for those who ask for it

        for bound in (_bounds.memory(limits), *_bounds.rare(limits)):
            self._set(group, *bound)

    def update(self, group: Group, limits: LimitsRequest) -> None:
        """Change bounds of a container that runs; 0 leaves one as it is. Raises Failure, OSError."""
        group.limited = group.limited or bool(limits["memory"])
        entered = len(group.entered)
        with group.opened():
            self._change(group, limits)
            for entry in group.entered[entered:]:
                _move_in(group.fd, entry)

    def _change(self, group: Group, limits: LimitsRequest) -> None:
        from bireme.launcher import _bounds

        try:
            for bound in _bounds.changed(limits):
                self._set(group, *bound)
        except OSError as error:
            raise Failure(INVALID, f"the limit cannot be set: {(error.strerror or '').lower()}") from None

    def _set(self, group: Group, controller: str, v2: dict[str, str], v1: dict[str, str]) -> None:
        if controller not in self.controllers and controller not in self._v1_base:
            self._enable_at_the_top(controller)
        if controller in self.controllers:
            _write_all(group.fd, v2)
            return
        if controller not in self._v1:
            self._v1[controller] = _make_v1(self._v1_base[controller], self._name, controller)
        known = self._v1[controller] in group.v1
        directory = _make_v1(self._v1[controller], group.name, controller)
        if not known:
            group.v1.append(self._v1[controller])
        try:
            _write_all(directory, v1)
            if not known:
                entry = os.open("cgroup.procs", os.O_WRONLY | os.O_CLOEXEC, dir_fd=directory)
                group.entered = (*group.entered, entry)
        finally:
            os.close(directory)

    def _enable_at_the_top(self, controller: str) -> None:
        complaint = f"this host offers no {controller} cgroup: the limit cannot be enforced"
        if self._top < 0 or controller not in _read(self._base, "cgroup.controllers").split():
            raise Failure(MISSING, complaint)
        try:
            write(self._base, "cgroup.subtree_control", f"+{controller}")
            self._enable(frozenset({controller}))
        except OSError as error:
            raise Failure(MISSING, f"{complaint} ({error.strerror})") from None
        self.controllers |= {controller}

    def oom_killed(self, group: Group) -> bool:
        """Whether the kernel has killed a process of a container because of its memory bound."""
        if not group.limited:
            return False
        if "memory" in self.controllers:
            return _field(_read(group.parent, f"{group.name}/memory.events"), "oom_kill") > 0
        path = f"{group.name}/memory.oom_control"
        return _field(_read(self._v1["memory"], path), "oom_kill") > 0

    def remove(self, group: Group) -> bool:
        """Remove a group whose processes have ended; False if it has to be tried again (``retry``)."""
        group.close()
        parents = [parent for parent in (group.parent, *group.v1) if parent >= 0]
        for parent in parents:
            if _has_groups(parent, group.name):
                _kill_rest(parent, group.name)
                _remove_old(parent, group.name)
        removed = [_remove_or_later(parent, group.name) for parent in parents]
        if not all(removed):
            self._leftover.append(group)
            return False
        return True

    def retry(self) -> bool:
        """Try once more to remove what was still busy; True if nothing is left."""
        left, self._leftover = self._leftover, []
        for group in left:
            self.remove(group)
        return not self._leftover

    def end_all(self) -> bool:
        """Kill everything in all groups, and wait. False if something still lives after a while.

        Only where the containers share the PIDs of the host: the kernel does it otherwise.
        """
        from bireme.launcher import _rest

        return self._base < 0 or _rest.end_all(self._base, self._name)

    def end_containers(self) -> None:
        """``end_all``, from within a group of ours beside the containers': that one stays."""
        from bireme.launcher import _rest

        for name in ("confined", "privileged"):
            _rest.end_all(self._top, name)
            _remove_old(self._top, name)
        remove_all(self._v1_base.values(), self._name)

    def make_guards_group(self) -> int:
        """The descriptor of a group of ours beside the containers'. Raises Failure where there is no v2 hierarchy."""
        if self._top < 0:
            raise Failure(MISSING, "the host's PIDs can be shared only where the cgroup2 file system is: mount it")
        return _make(self._top, "guard")

    def close(self) -> None:
        """Remove everything that is ours; all containers have ended."""
        self.retry()
        remove_all([self._base, *self._v1_base.values()], self._name)


def remove_all(bases: Iterable[int], name: str) -> None:
    """Remove what a launcher has made below these directories (-1 for none); no process is in it any more."""
    for base in bases:
        if base >= 0:
            _remove_old(base, name)


def _make(parent: int, name: str) -> int:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=parent)
    return os.open(name, _DIRECTORY, dir_fd=parent)


def _make_v1(parent: int, name: str, controller: str) -> int:
    """A new group of cpusets has none, and nothing can enter it: it gets its parent's."""
    directory = _make(parent, name)
    if controller == "cpuset":
        for file in ("cpuset.cpus", "cpuset.mems"):
            if not _read(directory, file).strip():
                write(directory, file, _read(parent, file).strip())
    return directory


def _write_all(directory: int, files: dict[str, str]) -> None:
    """Bounds that depend on each other refuse one order of writing them: what was refused is tried again at the end."""
    refused = []
    for name, text in files.items():
        try:
            write(directory, name, text)
        except FileNotFoundError:
            if name not in _OPTIONAL:
                raise
        except OSError:
            if len(files) == 1:
                raise
            refused.append(name)
    for name in refused:
        write(directory, name, files[name])


def _move_in(source: int, entry: int) -> None:
    """Move all processes of the v2 group ``source`` into the v1 group behind ``entry``, also those born meanwhile."""
    moved: set[str] = set()
    for _ in range(_MOST_SWEEPS):
        new = set(processes(source)) - moved
        if not new:
            return
        for pid in new:
            with contextlib.suppress(ProcessLookupError):
                os.write(entry, pid.encode())
        moved |= new


def processes(directory: int) -> Iterator[str]:
    """The PIDs in a group and all below it; 0 for one that is not in our PID namespace."""
    fd = os.open("cgroup.procs", os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    with open(fd, encoding="ascii") as file:  # one read(2) gives a page of it at most
        yield from file.read().split()
    with os.scandir(directory) as entries:
        below = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    for name in below:
        with contextlib.suppress(FileNotFoundError):
            child = os.open(name, _DIRECTORY, dir_fd=directory)
            try:
                yield from processes(child)
            finally:
                os.close(child)


def _remove_or_later(parent: int, name: str) -> bool:
    """False if the kernel still counts a process that has just ended."""
    try:
        os.rmdir(name, dir_fd=parent)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _has_groups(parent: int, name: str) -> bool:
    """Whether the container has made groups of its own in its group, as a service manager does."""
    try:
        return os.stat(name, dir_fd=parent).st_nlink > 2
    except FileNotFoundError:
        return False


def _kill_rest(parent: int, name: str) -> None:
    """Nothing runs there any more, but what a runtime has left that was killed in the middle of a start."""
    with contextlib.suppress(FileNotFoundError):
        write(parent, f"{name}/cgroup.kill", "1")


def _remove_old(parent: int, name: str) -> None:
    """Remove a directory of ours with all below: only empty groups, the kernel sees to that."""
    try:
        fd = os.open(name, _DIRECTORY, dir_fd=parent)
    except FileNotFoundError:
        return
    try:
        with os.scandir(fd) as entries:
            below = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        for child in below:
            _remove_old(fd, child)
    finally:
        os.close(fd)
    _remove_or_later(parent, name)


def _read(directory: int, name: str) -> str:
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        return os.read(fd, 1 << 16).decode()
    finally:
        os.close(fd)


def write(directory: int, name: str, text: str) -> None:
    """Write to a control file of a group, all at once."""
    fd = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _field(text: str, name: str) -> int:
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0


def freeze(group: Group, frozen: bool) -> int:
    """Ask the kernel to stop, or resume, all of a container's processes.

    Returns its ``cgroup.events``, open: ``is_frozen`` tells by that whether it has.
    """
    events = os.open(f"{group.name}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC, dir_fd=group.parent)
    try:
        write(group.parent, f"{group.name}/cgroup.freeze", "1" if frozen else "0")
    except BaseException:
        os.close(events)
        raise
    return events


def is_frozen(events: int) -> bool:
    """Whether every process of the group is stopped. ``events``: its open ``cgroup.events``, quiet until the next."""
    return _field(os.pread(events, 1 << 12, 0).decode(), "frozen") > 0
