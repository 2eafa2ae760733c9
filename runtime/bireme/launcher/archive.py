"""Work on the files of a container, or of an image's layers: by a clone of the launcher, inside their own view.

The clone enters the mount namespace of a container that runs, or mounts the root file system of one that does not in
a namespace of its own. Either way the host's tree is gone before the first of the container's names is looked up: a
link can lead to the container's own files only. It stays outside of the container's PID namespace, so that nothing in
the container can see it, and ``/proc/self`` there means nobody.

This module and its neighbours (``_pack``, ``_unpack``, ``_copy``) are loaded by the clone, never by the launcher, and
before it leaves the host: the view has no Python in it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import resource
import signal
import stat

from bireme import _syscalls as sys_
from bireme.launcher import _copy, _identity, _mounts, _protocol, _resolve, _tree, sandbox
from bireme.launcher._pack import Packer
from bireme.launcher._protocol import INVALID, NO_PATH, Failure
from bireme.launcher._unpack import Unpacker

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from bireme.launcher.requests import ArchiveRequest, RootRequest

_MEMORY = 1 << 30
"""Bytes of address space: what a header claims is not believed."""
_IN_ROOT = sys_.RESOLVE_IN_ROOT | sys_.RESOLVE_NO_MAGICLINKS
_KERNEL = ("/proc", "/sys", "/dev")


def work(
    request: ArchiveRequest, status: socket.socket, descriptors: Sequence[int], pidfd: int, host: sandbox.Host
) -> NoReturn:
    """Do what is asked, tell the result over ``status``, end. ``pidfd``: of the container's process, or -1."""

    def answer() -> None:
        _protocol.send(status, {"result": _work(request, descriptors, pidfd, host)})

    sandbox.guarded(status, answer)


def _work(request: ArchiveRequest, descriptors: Sequence[int], pidfd: int, host: sandbox.Host) -> dict[str, object]:
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    os.umask(0)
    target = os.open(request["target"], _tree.DIRECTORY) if "target" in request else -1
    if pidfd < 0 or not _join(pidfd):
        _enter_view(request, host)
    view = View(request["container"], request["path"])
    actions: dict[str, Callable[[], dict[str, object]]] = {
        "stat": view.describe,
        "pack": lambda: _pack(view, descriptors[0], request),
        "unpack": lambda: _unpack(view, descriptors[0], request),
        "copy": lambda: _fill(view, target, request.get("working_dir", "")),
    }
    return actions[request["action"]]()


def _join(pidfd: int) -> bool:
    """Enter the view of a container; False if it has just ended."""
    try:
        sys_.setns(pidfd, sys_.CLONE_NEWNS)
    except ProcessLookupError:
        return False
    return True


def _enter_view(request: ArchiveRequest, host: sandbox.Host) -> None:
    """Mount and enter a root file system; with its volumes, if it is more than an image's layers.

    Without what is in memory: that is there while the container runs, and new at each start.
    """
    root = request["root"]
    nodev = not host.devices_guarded
    sys_.unshare(sys_.CLONE_NEWNS)
    if root["upper"] and request["action"] != "unpack":
        _cover(root)
    volumes = _mounts.hold(root["mounts"], nodev=nodev)
    files = _mounts.hold(root["files"], nodev=nodev)
    _mounts.enter_root(root, host.mount_place, nodev=nodev)
    _mounts.attach_apart(volumes, files)


def _cover(root: RootRequest) -> None:
    """Put what is only read below a writable layer in memory, that takes the places to mount at.

    The container may be starting at this moment, and a second mount of its own writable layer would empty the work
    directory that the first one copies files up in.
    """
    place = f"{root['layers_directory']}/{root['work']}"
    own = os.stat(f"{root['layers_directory']}/{root['upper']}")
    sys_.mount("tmpfs", place, "tmpfs", sys_.MS_NOSUID | sys_.MS_SILENT, "mode=755")
    upper = f"{place}/upper"
    os.mkdir(upper)
    os.chown(upper, own.st_uid, own.st_gid)
    os.chmod(upper, stat.S_IMODE(own.st_mode))
    os.utime(upper, ns=(own.st_atime_ns, own.st_mtime_ns))
    os.mkdir(f"{place}/work")
    root["layers"] = [*root["layers"], root["upper"]]
    root["upper"], root["work"], root["volatile"] = f"{root['work']}/upper", f"{root['work']}/work", False


class View:
    """A path of the container's, from within."""

    def __init__(self, container: str, path: str) -> None:
        self.container = container
        self.path = path
        """As it was given, for messages."""
        self.clean = posixpath.normpath("/" + path.lstrip("/"))
        self.name = posixpath.basename(self.clean) or "/"
        self.follow = path.endswith(("/", "/.")) or self.clean == "/"
        """Whether a link as the path's last name is meant to be followed."""
        self.root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def open_directory(self) -> int:
        """The directory at the path, links followed. Raises FileNotFoundError, NotADirectoryError, Failure."""
        return self._open(self.clean)

    def _open(self, path: str) -> int:
        try:
            return sys_.openat2(self.root, path, os.O_RDONLY | os.O_DIRECTORY, resolve=_IN_ROOT)
        except OSError as error:
            raise self._impossible(error) from None

    def find(self) -> _tree.Entry:
        """The path's last name in its directory. Raises Failure if it is missing."""
        try:
            parent = self._open(posixpath.dirname(self.clean))
            name = self.name if self.clean != "/" else "."
            return _tree.Entry(parent, name, name, os.lstat(name, dir_fd=parent))
        except (FileNotFoundError, NotADirectoryError):
            raise self.missing() from None
        except OSError as error:
            raise self._impossible(error) from None

    def _impossible(self, error: OSError) -> Exception:
        """What to raise: a path that can lead nowhere is its giver's mistake."""
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            return Failure(INVALID, f"invalid path {self.path}: {(error.strerror or '').lower()}")
        return error

    def missing(self) -> Failure:
        """What to say of a path that is not there."""
        return Failure(NO_PATH, f"Could not find the file {self.path} in container {self.container}")

    def describe(self) -> dict[str, object]:
        """What is at the path: a link itself, and where it leads."""
        entry = self.find()
        target = ""
        if stat.S_ISLNK(entry.found.st_mode):
            target = "/" + "/".join(_resolve.without_links(self.root, self.clean))
        try:
            found = os.fstat(self.open_directory()) if self.follow and target else entry.found
        except (FileNotFoundError, NotADirectoryError):
            raise self.missing() from None
        return {
            "name": self.name,
            "size": found.st_size,
            "mode": found.st_mode,
            "mtime": found.st_mtime_ns,
            "linkTarget": target,
        }


def _pack(view: View, output: int, request: ArchiveRequest) -> dict[str, object]:
    packer = Packer(output, request.get("layer"))
    contents = request.get("contents", False)
    entry = view.find()
    if stat.S_ISDIR(entry.found.st_mode) or view.follow or contents:
        try:
            top = view.open_directory()
        except (FileNotFoundError, NotADirectoryError):
            raise view.missing() from None
        name = "" if contents else "." if view.follow else view.name
        packer.add_tree(top, name, _descend(os.fstat(top).st_dev, one_file_system=contents))
    else:
        packer.add(entry, view.name)
    packer.end()
    return {}


def _descend(device: int, *, one_file_system: bool) -> Callable[[os.stat_result], bool]:
    """Which directories to look into: not those of the kernel, nor, for an export, any that is mounted there."""
    if one_file_system:
        return lambda found: found.st_dev == device
    kernel = {os.lstat(path).st_dev for path in _KERNEL if os.path.ismount(path)} - {device}
    return lambda found: found.st_dev not in kernel


def _unpack(view: View, source: int, request: ArchiveRequest) -> dict[str, object]:
    try:
        top = view.open_directory()
    except FileNotFoundError:
        raise view.missing() from None
    except NotADirectoryError:
        raise Failure(INVALID, f"extraction point is not a directory: {view.path}") from None
    owner = None
    if request.get("copy_uid_gid", False):
        identity = _identity.find(request.get("user", ""), ())
        owner = identity.uid, identity.gid
    keep_kinds = request.get("no_overwrite_dir_non_dir", False)
    with open(source, "rb", buffering=0, closefd=False) as file:
        Unpacker(top, keep_kinds=keep_kinds, owner=owner).unpack(file)
    return {}


def _fill(view: View, target: int, working_dir: str) -> dict[str, object]:
    if working_dir:
        with contextlib.suppress(OSError):  # what is in its way is told when the container starts
            os.close(_resolve.open_directory(view.root, working_dir))
    try:
        top = view.open_directory()
    except FileNotFoundError:
        return {"found": False, "entries": 0}
    except NotADirectoryError:
        raise Failure(INVALID, f"cannot mount volume over existing file, file exists {view.path}") from None
    return {"found": True, "entries": _copy.contents(top, target)}
