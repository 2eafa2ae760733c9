"""The mounts of a container, made by its own first process in its own mount namespace, never in the host's.

Order, and why it is safe:

1. Everything that comes from the host (volumes, single files) is taken hold of as a detached mount, by descriptor,
   while the host's tree is still there.
2. The root is mounted and pivoted to, the old one detached: from here on no path leads out.
3. The kernel's file systems are mounted and masked by path. Nobody else can reach this root yet, and their places are
   first checked to be plain directories, so no link of the image can redirect them.
4. Volumes, which other containers write to at the same time, are attached last and by descriptor only (``_resolve``).
   A place that turns out to lie in one of the kernel's file systems is refused. What is in memory comes in turn with
   them, and is made when its place is known.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from bireme import _syscalls as sys_
from bireme.launcher import _resolve
from bireme.launcher._protocol import INVALID, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from bireme.launcher.requests import MountRequest, RootRequest, TmpfsRequest

_RO, _NOSUID, _NODEV, _NOEXEC = sys_.MS_RDONLY, sys_.MS_NOSUID, sys_.MS_NODEV, sys_.MS_NOEXEC
_STRICT = _NOSUID | _NODEV | _NOEXEC
_SILENT = sys_.MS_SILENT

DEVICES = (("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9))
LINKS = (
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("pts/ptmx", "/dev/ptmx"),
)
DEV_OPTIONS = "mode=755,size=65536k"
PTS_OPTIONS = "newinstance,ptmxmode=0666,mode=0620,gid=5"
MASK_OPTIONS = "size=0k,nr_inodes=2"
"""Of the file system that hides a directory: nothing can ever be in it."""
MASKED_DIRECTORIES = ("/proc/acpi", "/proc/asound", "/proc/scsi", "/sys/devices/virtual/powercap", "/sys/firmware")
MASKED_FILES = (
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/timer_list",
    "/proc/timer_stats",
)
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_ATTRIBUTES = {
    "nosuid": sys_.MOUNT_ATTR_NOSUID,
    "nodev": sys_.MOUNT_ATTR_NODEV,
    "noexec": sys_.MOUNT_ATTR_NOEXEC,
    "noatime": sys_.MOUNT_ATTR_NOATIME,
    "strictatime": sys_.MOUNT_ATTR_STRICTATIME,
    "nodiratime": sys_.MOUNT_ATTR_NODIRATIME,
}
_OPEN_TO_ALL, _USUAL = 0o1777, 0o755


class Held:
    """A detached mount, and where it is to go; ``fd`` is -1 for a tmpfs that is still to be made."""

    __slots__ = ("attached", "fd", "target", "tmpfs")

    def __init__(self, fd: int, target: str, tmpfs: TmpfsRequest | None = None) -> None:
        self.fd = fd
        self.target = target
        self.tmpfs = tmpfs
        self.attached = False


def present(paths: Sequence[str]) -> tuple[str, ...]:
    """Those of the paths that this kernel has: looked up once, not by every container."""
    return tuple(path for path in paths if os.path.exists(path))


def hold(mounts: list[MountRequest], *, nodev: bool) -> list[Held]:
    """Take hold of what is to be mounted, while the host's tree can be seen."""
    return [_hold_one(mount, nodev=nodev) for mount in mounts]


def _hold_one(mount: MountRequest, *, nodev: bool) -> Held:
    """A copy of the mount, private: what the host mounts below the source later does not appear in the container."""
    if "tmpfs" in mount:
        tmpfs = mount["tmpfs"]
        flags = [*tmpfs["flags"], "nodev"] if nodev else tmpfs["flags"]
        return Held(-1, mount["target"], {"flags": flags, "options": tmpfs["options"]})
    fd = sys_.open_tree(mount["source"])
    attributes = (sys_.MOUNT_ATTR_RDONLY if mount["read_only"] else 0) | (sys_.MOUNT_ATTR_NODEV if nodev else 0)
    sys_.mount_setattr(fd, attr_set=attributes, propagation=sys_.MS_PRIVATE)
    return Held(fd, mount["target"])


def make_tmpfs(held: Held, tmpfs: TmpfsRequest, place: int) -> None:
    """Make what is to cover the directory ``place``; whatever it is to be, it can be written for now (``protect``)."""
    options = [("source", "tmpfs"), *((name, value) for name, value in tmpfs["options"])]
    if _mode(tmpfs) is None:
        options.append(("mode", f"{stat.S_IMODE(os.fstat(place).st_mode):o}"))
    attributes = 0
    for flag in tmpfs["flags"]:
        attributes |= _ATTRIBUTES.get(flag, 0)
    try:
        held.fd = sys_.detached_mount("tmpfs", options, attributes)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        refused = [f"{name}={value}" for name, value in options if name == error.filename] or ["its options"]
        raise Failure(INVALID, f"cannot mount tmpfs at {held.target}: the kernel refuses {refused[0]}") from None


def _mode(tmpfs: TmpfsRequest) -> int | None:
    return next((int(value, 8) for name, value in tmpfs["options"] if name == "mode" and value), None)


def protect(volumes: Sequence[Held]) -> None:
    """Once all has its place: let nobody write to what is in memory and to be only read."""
    for held in volumes:
        if held.tmpfs is not None and "ro" in held.tmpfs["flags"]:
            sys_.mount_setattr(held.fd, attr_set=sys_.MOUNT_ATTR_RDONLY, recursive=False)


def overlay_options(root: RootRequest) -> list[tuple[str, str | None]]:
    """The options of an overlay mount; layers relative to their own directory, so that many fit into one page."""
    options: list[tuple[str, str | None]] = [("lowerdir", ":".join(reversed(root["layers"])))]
    if root["upper"]:
        options += (("upperdir", root["upper"]), ("workdir", root["work"]), ("index", "off"))
        if root["volatile"]:
            options.append(("volatile", None))
    return options


def enter_root(root: RootRequest, place: str, *, nodev: bool) -> None:
    """Mount the root file system over ``place`` (any directory of the host) and make it ``/``; the old one is gone.

    The working directory is ROOT before, ``/`` after.
    """
    mount_root(root, place, nodev=nodev)
    os.chdir(place)
    sys_.pivot_root(".", ".")
    sys_.umount(".")
    os.chdir("/")


def mount_root(root: RootRequest, place: str, *, nodev: bool) -> None:
    """Mount the root file system at ``place``. The working directory is ROOT before, that of the layers after."""
    os.chdir(root["layers_directory"])
    forget_volatile(root)
    if root["upper"] or len(root["layers"]) > 1:
        _mount_overlay(root, place, (_NODEV if nodev else 0) | (0 if root["upper"] else _RO))
    else:
        _mount_layer(root["layers"][0], place)


def _mount_overlay(root: RootRequest, place: str, flags: int) -> None:
    options = ",".join(name if value is None else f"{name}={value}" for name, value in overlay_options(root))
    if len(options) > 4000:
        raise Failure(INVALID, f"the image has too many layers ({len(root['layers'])}) for one overlay mount")
    sys_.mount("overlay", place, "overlay", flags | _SILENT, options)


def _mount_layer(layer: str, place: str) -> None:
    """A view of one layer alone, which overlay refuses to mount without a writable one."""
    tree = sys_.open_tree(layer)
    sys_.mount_setattr(tree, attr_set=sys_.MOUNT_ATTR_RDONLY | sys_.MOUNT_ATTR_NODEV, propagation=sys_.MS_PRIVATE)
    target = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    sys_.move_mount(tree, target)
    os.close(target)
    os.close(tree)


def forget_volatile(root: RootRequest) -> None:
    """Remove the mark of an earlier volatile mount, which would forbid the next one. In the layers' directory."""
    if root["volatile"]:
        mark = f"{root['work']}/work/incompat/volatile"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{mark}/dirty")
            os.rmdir(mark)


def mount_kernel_file_systems(shm_size: int, *, privileged: bool, taken: frozenset[str] = frozenset()) -> None:
    """``/proc``, ``/dev``, ``/sys`` with what belongs below them, as Docker's default has them.

    Where a volume comes to one of the ``taken`` places below ``/dev``, only that is mounted.
    """
    need_directory("/proc")
    need_directory("/dev")
    need_directory("/sys")
    mount = sys_.mount
    mount("proc", "/proc", "proc", _STRICT | _SILENT)
    mount("tmpfs", "/dev", "tmpfs", _NOSUID | sys_.MS_STRICTATIME | _SILENT, DEV_OPTIONS)
    _fill_dev(shm_size, taken)
    read_only = 0 if privileged else _RO
    mount("sysfs", "/sys", "sysfs", _STRICT | read_only | _SILENT)


def shm_options(size: int) -> str:
    """Of ``/dev/shm``; ``size`` in bytes."""
    return f"mode=1777,size={size}"


def need_directory(path: str, root: int | None = None) -> None:
    """A plain directory of the image; made if missing. A link there would redirect the kernel's own file systems.

    ``root``: what the path is relative to, rather than the working directory.
    """
    try:
        mode = os.stat(path, dir_fd=root, follow_symlinks=False).st_mode
    except FileNotFoundError:
        os.mkdir(path, 0o755, dir_fd=root)
        return
    if not stat.S_ISDIR(mode):
        name = os.path.basename(path)
        raise Failure(INVALID, f"the image's /{name} is not a directory: nothing can be mounted there safely")


def _fill_dev(shm_size: int, taken: frozenset[str]) -> None:
    for name, minor in DEVICES:
        os.mknod(f"/dev/{name}", stat.S_IFCHR | 0o666, os.makedev(1, minor))
    os.mknod("/dev/tty", stat.S_IFCHR | 0o666, os.makedev(5, 0))
    for target, name in LINKS:
        os.symlink(target, name)
    for name in ("pts", "shm", "mqueue"):
        if name == "pts" or f"/dev/{name}" not in taken:
            os.mkdir(f"/dev/{name}", 0o755)
    sys_.mount("devpts", "/dev/pts", "devpts", _NOSUID | _NOEXEC | _SILENT, PTS_OPTIONS)
    if "/dev/shm" not in taken:
        sys_.mount("shm", "/dev/shm", "tmpfs", _STRICT | _SILENT, shm_options(shm_size))
    if "/dev/mqueue" not in taken:
        sys_.mount("mqueue", "/dev/mqueue", "mqueue", _STRICT | _SILENT)


def mount_cgroups(*, privileged: bool) -> None:
    """The container's own cgroup as ``/sys/fs/cgroup``; to be called in its cgroup namespace."""
    sys_.mount("cgroup", "/sys/fs/cgroup", "cgroup2", _STRICT | (0 if privileged else _RO) | _SILENT)


def mask(directories: Sequence[str], files: Sequence[str], read_only: Sequence[str]) -> None:
    """Hide or write-protect what Docker hides and write-protects. All below fresh mounts of the kernel's own."""
    first = ""
    for path in directories:
        if first:
            sys_.mount(first, path, None, sys_.MS_BIND)
        else:
            sys_.mount("tmpfs", path, "tmpfs", _RO | _STRICT | _SILENT, MASK_OPTIONS)
            first = path
    _check_null()
    for path in files:
        sys_.mount("/dev/null", path, None, sys_.MS_BIND)
    for path in read_only:
        sys_.mount(path, path, None, sys_.MS_BIND | sys_.MS_REC)
        sys_.mount(None, path, None, sys_.MS_BIND | sys_.MS_REMOUNT | _RO | _STRICT)


def _check_null() -> None:
    """What masks must be the null device itself, whatever has happened to ``/dev`` (CVE-2025-31133)."""
    if not is_null(os.lstat("/dev/null")):
        raise Failure(INVALID, "/dev/null of the container is not the null device")


def is_null(found: os.stat_result) -> bool:
    """Whether this is the null device itself."""
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == os.makedev(1, 3)


def attach(volumes: list[Held], files: list[Held]) -> None:
    """Put the held mounts into their places, volumes in the order given, then the single files."""
    _attach(volumes, files, _kernel_devices())


def attach_apart(volumes: list[Held], files: list[Held]) -> None:
    """``attach`` where no container runs: of what is in memory only the place is there."""
    _attach(volumes, files, frozenset(), apart=True)


def _attach(volumes: list[Held], files: list[Held], forbidden: frozenset[int], *, apart: bool = False) -> None:
    """``forbidden``: device numbers of the file systems in which nothing can have its place."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    taken = {held.target for held in volumes}
    for held in volumes:
        place = open_place(root, held)
        if apart and held.tmpfs is not None:
            os.close(place)
        else:
            attach_one(held, place, root, forbidden)
    for held in files:
        if held.target not in taken:
            attach_one(held, _resolve.open_file(root, held.target), root, forbidden)
        os.close(held.fd)
    os.close(root)


def open_place(root: int, held: Held) -> int:
    """The directory that it is to cover, made if it is missing; for a tmpfs, with the permissions of that."""
    mode = _USUAL if held.tmpfs is None else _mode(held.tmpfs)
    try:
        return _resolve.open_directory(root, held.target, _OPEN_TO_ALL if mode is None else mode)
    except NotADirectoryError:
        kind = "volume" if held.tmpfs is None else "tmpfs"
        raise Failure(INVALID, f"cannot mount {kind} over existing file, file exists {held.target}") from None


def attach_one(held: Held, place: int, root: int, forbidden: frozenset[int]) -> None:
    """Put a held mount over ``place``, which is closed; not over the root, nor where it is ``forbidden``."""
    found = os.fstat(place)
    if found.st_dev in forbidden:
        raise Failure(INVALID, f"cannot mount at {held.target}: that is inside /proc or /sys")
    if os.path.samestat(found, os.fstat(root)):
        raise Failure(INVALID, f"cannot mount at {held.target}: that is the root directory")
    if held.tmpfs is not None:
        make_tmpfs(held, held.tmpfs, place)
    sys_.move_mount(held.fd, place)
    held.attached = True
    os.close(place)


def _kernel_devices() -> frozenset[int]:
    """Device numbers of every file system at or below ``/proc`` and ``/sys``, the masks among them."""
    found = {os.lstat(path).st_dev for path in ("/proc", "/sys", "/sys/fs/cgroup")}
    found.update(os.lstat(path).st_dev for path in MASKED_DIRECTORIES if os.path.exists(path))
    return frozenset(found)


def make_root_read_only() -> None:
    """Once every mount has its place: the root itself, not what is mounted in it."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    sys_.mount_setattr(root, attr_set=sys_.MOUNT_ATTR_RDONLY, recursive=False)
    os.close(root)
