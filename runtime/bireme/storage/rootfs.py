"""A container's root: its writable layer on top of the image's, and the three files that say who and where it is.

``/etc/hostname``, ``/etc/hosts`` and ``/etc/resolv.conf`` are files of the container's own, mounted over the image's,
as Docker does. With the host's network they begin as copies of the host's; without a network there is the loopback's
names, and of the host's name servers those that are not the host's loopback (Docker falls back to a public server if
none is left, which nobody without a network could reach). What the user says of names is in there too (``_names``).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from bireme import _files
from bireme.storage import _names
from bireme.storage.paths import Layout
from bireme_actors import ContainerConfig, ContainerId, InvalidConfig, Mount, Tmpfs, mount_table, tmpfs_options

if TYPE_CHECKING:
    from bireme.launcher.requests import MountRequest, RootRequest, TmpfsRequest

_HOSTS, _RESOLV_CONF, _HOSTNAME = "/etc/hosts", "/etc/resolv.conf", "/etc/hostname"
_SHORT_ID = 12
_OF_THE_FILE_SYSTEM = frozenset({"sync", "dirsync"})
"""Flags of a tmpfs that are not those of a mount."""


class OverlayRootfs:
    """Makes them, and tells a driver what it is to ask the launcher to mount."""

    def __init__(self, layout: Layout, layers: Callable[[str], tuple[str, ...]]) -> None:
        """``layers`` gives an image's layer directories, lowest first, or raises ImageNotFound."""
        self._layout, self._relative = layout, layout.relative
        self._layers = layers
        self._hosts = HostFile(_HOSTS)
        self._resolv_conf = HostFile(_RESOLV_CONF)

    def check(self, config: ContainerConfig) -> None:
        """Raises ImageNotFound, InvalidConfig for a tmpfs over one of the files."""
        self._layers(config.image_id)
        for tmpfs in config.tmpfs:
            if tmpfs.destination in (_HOSTNAME, _HOSTS, _RESOLV_CONF):
                raise InvalidConfig(f"cannot mount tmpfs over existing file, file exists {tmpfs.destination}")

    def make(self, config: ContainerConfig) -> None:
        """Make the writable layer and the files in the container's directory. Blocks on the disk. Raises OSError."""
        os.mkdir(self._layout.upper(config.id), 0o755)
        os.mkdir(self._layout.work(config.id), 0o700)
        host = config.network == "host"
        name = config.hostname or (os.uname().nodename if host else config.id[:_SHORT_ID])
        _write(self._layout.hostname(config.id), f"{name}\n".encode("utf-8", "surrogateescape"))
        _write(self._layout.hosts(config.id), _names.hosts(self._hosts.read() if host else None, config.extra))
        servers = self._resolv_conf.read() if host else without_loopback(self._resolv_conf.read())
        _write(self._layout.resolv_conf(config.id), _names.resolv_conf(servers, config.extra))

    def root_request(self, config: ContainerConfig) -> RootRequest:
        """Everything to mount, relative to ROOT. Raises ImageNotFound."""
        paths = self._relative
        up = "../" * (paths.layers.count("/") + 1)
        return {
            "layers_directory": paths.layers,
            "layers": list(self._layers(config.image_id)),
            "upper": up + paths.upper(config.id),
            "work": up + paths.work(config.id),
            "volatile": config.auto_remove or config.ephemeral,
            "mounts": [mount_request(mount, paths) for mount in mount_table(config.mounts, config.tmpfs)],
            "files": [
                _mount(paths.hostname(config.id), _HOSTNAME, config.read_only),
                _mount(paths.hosts(config.id), _HOSTS, config.read_only),
                _mount(paths.resolv_conf(config.id), _RESOLV_CONF, config.read_only),
            ],
        }

    def exit_file(self, container: ContainerId) -> str:
        """Where the launcher notes an exit, relative to ROOT."""
        return self._relative.exit(container)


class HostFile:
    """A small file of the host, read again when it has changed; empty where there is none."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._content = b""

    def read(self) -> bytes:
        try:
            found = os.stat(self._path)
            seen = (found.st_ino, found.st_size, found.st_mtime_ns)
            if seen != self._seen:
                with open(self._path, "rb") as file:
                    self._content = file.read()
                self._seen = seen
        except OSError:
            self._seen, self._content = None, b""
        return self._content


def without_loopback(resolv_conf: bytes) -> bytes:
    """Without the name servers on the host's own loopback, which a container cannot reach."""
    return b"".join(line for line in resolv_conf.splitlines(keepends=True) if not _on_loopback(line.split()))


def _on_loopback(words: list[bytes]) -> bool:
    return len(words) > 1 and words[0] == b"nameserver" and (words[1].startswith(b"127.") or words[1] == b"::1")


def mount_request(mount: Mount | Tmpfs, paths: Layout) -> MountRequest:
    """What the launcher is asked to mount; ``paths`` are those it knows."""
    if isinstance(mount, Mount):
        return _mount(paths.volume(mount.volume), mount.destination, mount.read_only)
    options = tmpfs_options(mount)
    tmpfs: TmpfsRequest = {
        "flags": sorted(options.flags - _OF_THE_FILE_SYSTEM),
        "options": [*options.settings, *((flag, None) for flag in sorted(options.flags & _OF_THE_FILE_SYSTEM))],
    }
    return {"source": "", "target": mount.destination, "read_only": "ro" in options.flags, "tmpfs": tmpfs}


def _mount(source: str, target: str, read_only: bool) -> MountRequest:
    return {"source": source, "target": target, "read_only": read_only}


def _write(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        _files.write_all(fd, data)
    finally:
        os.close(fd)
