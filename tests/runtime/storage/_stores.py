"""All stores of one root, an image's content, and samples."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import trio

from bireme.storage import ContainerDirectories, Disk, JsonLogs, Layout, OverlayRootfs, VolumeDirectories
from bireme.storage._berths import PREFIX
from bireme_actors import ContainerConfig, ContainerId, Mount, VolumeId, new_id


class Content:
    """An image's content: ``files`` by path in the container; nothing at any other."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.files: dict[str, dict[str, bytes]] = {}
        self.nothing: set[str] = set()
        """Paths of which it is known beforehand."""
        self.failure: Exception | None = None
        self.blocked: trio.Event | None = None

    def has_nothing(self, config: ContainerConfig, path: str) -> bool:
        return path in self.nothing

    async def copy(self, config: ContainerConfig, path: str, target: str) -> bool:
        await trio.lowlevel.checkpoint()
        found = self.files.get(path, {})
        for name, data in found.items():
            (Path(self.root) / target / name).write_bytes(data)
        if self.blocked is not None:
            self.blocked.set()
            await trio.sleep_forever()
        if self.failure is not None:
            raise self.failure
        return bool(found)


@dataclass
class Stores:
    """All stores of one root, as an engine has them."""

    layout: Layout
    disk: Disk = field(default_factory=Disk)

    def __post_init__(self) -> None:
        self.content = Content(self.layout.root)
        self.volumes = VolumeDirectories(self.layout, self.content, self.disk)
        self.rootfs = OverlayRootfs(self.layout, lambda image: ("base", "top"))
        self.containers = ContainerDirectories(self.layout, self.rootfs, self.volumes, self.disk)
        self.logs = JsonLogs(self.layout)

    def stage(self, config: ContainerConfig) -> None:
        """Make all of a container but its record, and stop there."""
        os.mkdir(self.layout.container(config.id), 0o700)
        self.rootfs.make(config)
        for mount in config.mounts:
            os.mkdir(self.layout.staged(mount.volume), 0o755)

    async def create_volume(self) -> VolumeId:
        """One of a new container."""
        config = config_with_volumes("/a")
        await self.containers.create(config)
        return config.mounts[0].volume


def config_with_volumes(*destinations: str, **changes: Any) -> ContainerConfig:
    """A container with a volume of its own at each destination."""
    mounts = tuple(Mount(VolumeId(new_id()), destination) for destination in destinations)
    config = ContainerConfig(
        id=ContainerId(new_id()),
        name="name",
        created=1,
        image="busybox:latest",
        image_id="sha256:" + "0" * 64,
        args=("true",),
        volumes=destinations,
        mounts=mounts,
    )
    return replace(config, **changes)


def tree(path: str) -> list[str]:
    """Every path below ``path``, sorted, relative; without berths."""
    base = Path(path)
    return sorted(str(found.relative_to(base)) for found in base.rglob("*") if not found.name.startswith(PREFIX))


def read(path: str) -> bytes:
    return Path(path).read_bytes()


def write(path: str, data: bytes) -> None:
    Path(path).write_bytes(data)
