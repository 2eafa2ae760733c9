"""What a runtime finds: a root file system that is mounted, places for the volumes that are safe, who its user is.

All of it in the helper's own mount namespace. Its ``/run`` is empty but for our own directory, so that nothing the
runtime notes down there outlives it; its ``/proc`` shows the launcher's PID namespace; its ``/sys/fs/cgroup`` is the
container's own cgroup, on every host of version 2.

Links on the way to a volume's place are followed as the native driver does it: every volume is attached for a moment,
by descriptor, in the order of the plan, so that the place of the next is looked up in what the container will see. What
is to be in memory is made here, and waits for the runtime with the places that are in it, to be mounted like a volume.
What the runtime is told is free of links and exists. Should another container swap a part of it for a link meanwhile,
the runtime's own safeguards count: each of them mounts below the root or refuses.
"""

from __future__ import annotations

import os

from bireme import _syscalls as sys_
from bireme.launcher import _identity, _mounts, _program, _resolve, sandbox
from bireme.launcher._protocol import INVALID, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from bireme.launcher.requests import MountRequest, StartRequest

SCRATCH = "/run"
HOME = f"{SCRATCH}/bireme"
ROOT, ROOTFS = f"{HOME}/root", f"{HOME}/rootfs"
"""The engine's ROOT, whatever its name is; the container's root file system."""
BUNDLE, STATE = f"{HOME}/bundle", f"{HOME}/state"
CGROUPS = "/sys/fs/cgroup"

_STRICT = sys_.MS_NOSUID | sys_.MS_NODEV | sys_.MS_NOEXEC | sys_.MS_SILENT
_STAND_INS = ("proc", "sys", "dev")
_FLAGS = ("nosuid", "nodev", "noexec")


class Placed:
    """A directory or file of the host, or what is in memory, and its place in the container, free of links."""

    __slots__ = ("flags", "is_file", "read_only", "source", "target")

    def __init__(
        self, source: str, target: str, *, read_only: bool, is_file: bool, flags: Sequence[str] = ()
    ) -> None:
        self.source = source
        self.target = target
        self.read_only = read_only
        self.is_file = is_file
        self.flags = flags
        """What else the mount is to be: ``nosuid``, ``nodev``, ``noexec``."""

    def all_flags(self, *, nodev: bool) -> list[str]:
        """With ``nodev``, if all mounts are to have it."""
        return [*self.flags, *(["nodev"] if nodev and "nodev" not in self.flags else [])]


class Stage:
    """A container that is ready to be described to a runtime."""

    __slots__ = ("environment", "identity", "limits", "mounts", "nodev")

    def __init__(
        self,
        identity: _identity.Identity,
        environment: dict[str, str],
        limits: list[tuple[int, int, int]],
        mounts: list[Placed],
        *,
        nodev: bool,
    ) -> None:
        self.identity = identity
        self.environment = environment
        self.limits = limits
        """As in the request, cut to what can be given."""
        self.mounts = mounts
        """Volumes in the order of the plan, then single files."""
        self.nodev = nodev


def prepare(request: StartRequest, host: sandbox.Host) -> Stage:
    """Mount the root and look everything up. The working directory is ROOT before, ``/`` after."""
    root, process = request["root"], request["process"]
    nodev = not host.devices_guarded
    files = [*root["files"], *_init(request["init"])]
    if request["init"]:
        process["args"] = [sandbox.INIT_PATH, "--", *process["args"]]
    held = _mounts.hold(root["mounts"], nodev=nodev), _mounts.hold(files, nodev=nodev)
    _make_places()
    _mounts.mount_root(root, ROOTFS, nodev=nodev)
    os.chdir("/")
    top = os.open(ROOTFS, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    stand_ins = [_stand_in(f"{ROOTFS}/{name}") for name in _STAND_INS]
    before = os.umask(0)
    targets = _attach(top, *held, frozenset(stand_ins[:2]))
    os.umask(before)
    _make_working_directory(top, process["cwd"])
    identity = _identity.find(process["user"], process["groups"], top)
    os.close(top)
    kept = _detach([*held[0], *held[1]])
    return Stage(
        identity,
        _program.environment(process, identity.home),
        [(which, *_program.possible(which, soft, hard)) for which, soft, hard in process["rlimits"]],
        [*_placed(root["mounts"], targets, kept), *_placed(files, targets, {}, is_file=True)],
        nodev=nodev,
    )


def _init(path: str) -> list[MountRequest]:
    if not path:
        return []
    sandbox.check_init(path)
    return [{"source": path, "target": sandbox.INIT_PATH, "read_only": True}]


def _make_places() -> None:
    own = sys_.open_tree(".")
    sys_.mount_setattr(own, propagation=sys_.MS_PRIVATE)
    sys_.mount("tmpfs", SCRATCH, "tmpfs", sys_.MS_NOSUID | sys_.MS_NODEV | sys_.MS_SILENT, "mode=755")
    for path in (HOME, ROOT, ROOTFS, BUNDLE, STATE):
        os.mkdir(path, 0o700)
    place = os.open(ROOT, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    sys_.move_mount(own, place)
    os.close(own)
    os.close(place)
    sys_.mount("proc", "/proc", "proc", _STRICT)
    sys_.unshare(sys_.CLONE_NEWCGROUP)
    sys_.mount("cgroup", CGROUPS, "cgroup2", _STRICT)


def _stand_in(path: str) -> int:
    """An empty file system where the runtime will mount one of the kernel's; its device number."""
    _mounts.need_directory(path)
    sys_.mount("tmpfs", path, "tmpfs", _STRICT, "mode=755")
    return os.stat(path).st_dev


def _attach(
    top: int, volumes: list[_mounts.Held], files: list[_mounts.Held], forbidden: frozenset[int]
) -> dict[str, str]:
    """Attach everything; where each of the targets asked for really is. A file gives way to a volume."""
    targets: dict[str, str] = {}
    for held in volumes:
        targets[held.target] = _attach_one(held, _mounts.open_place(top, held), top, forbidden)
    for held in files:
        if held.target not in targets:
            targets[held.target] = _attach_one(held, _resolve.open_file(top, held.target), top, forbidden)
    return targets


def _attach_one(held: _mounts.Held, place: int, top: int, forbidden: frozenset[int]) -> str:
    found = os.readlink(f"/proc/self/fd/{place}")
    _mounts.attach_one(held, place, top, forbidden)
    return found.removeprefix(ROOTFS)


def _detach(attached: list[_mounts.Held]) -> dict[str, str]:
    """Take everything down again; where what is in memory is kept meanwhile, with the places in it, by its target."""
    kept: dict[str, str] = {}
    for held in reversed(attached):
        if held.tmpfs is not None:
            kept[held.target] = f"{HOME}/memory{len(kept)}"
            _set_aside(held, kept[held.target])
        elif held.attached:
            sys_.umount(f"/proc/self/fd/{held.fd}", sys_.MNT_DETACH)
        os.close(held.fd)
    for name in _STAND_INS:
        sys_.umount(f"{ROOTFS}/{name}")
    return kept


def _set_aside(held: _mounts.Held, path: str) -> None:
    os.mkdir(path, 0o700)
    place = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    sys_.move_mount(held.fd, place)
    os.close(place)


def _make_working_directory(top: int, path: str) -> None:
    try:
        os.close(_resolve.open_directory(top, path))
    except NotADirectoryError:
        raise Failure(INVALID, f"the working directory {path} is a file") from None


def _placed(
    mounts: Sequence[MountRequest], targets: dict[str, str], kept: dict[str, str], *, is_file: bool = False
) -> list[Placed]:
    """Each target once: of a volume and a file at the same one, the volume, which comes first."""
    return [
        Placed(
            kept.get(mount["target"]) or os.path.normpath(os.path.join(ROOT, mount["source"])),
            targets.pop(mount["target"]),
            read_only=mount["read_only"],
            is_file=is_file,
            flags=[flag for flag in _FLAGS if "tmpfs" in mount and flag in mount["tmpfs"]["flags"]],
        )
        for mount in mounts
        if mount["target"] in targets
    ]
