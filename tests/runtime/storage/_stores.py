"""All stores of one root, an image's content, and samples."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import trio

from bireme.storage import Disk, FileRecords, JsonLogs, Layout, OverlayRootfs, VolumeDirectories
from bireme_actors import ContainerConfig, ContainerId, Mount, VolumeId, new_id


class Content:
    """An image's content: ``files`` by path in the container; nothing at any other."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.files: dict[str, dict[str, bytes]] = {}
        self.failure: Exception | None = None
        self.blocked: trio.Event | None = None

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
        self.records = FileRecords(self.layout, self.disk)
        self.volumes = VolumeDirectories(self.layout, self.content, self.disk)
        self.rootfs = OverlayRootfs(self.layout, lambda image: ("base", "top"), self.disk)
        self.logs = JsonLogs(self.layout)

    async def create(self, config: ContainerConfig) -> None:
        """As the supervisor does."""
        await self.rootfs.create(config)
        for mount in config.mounts:
            if mount.owned:
                await self.volumes.create(mount.volume, config, mount.destination)
        await self.records.create(config)
        for mount in config.mounts:
            if mount.owned:
                await self.volumes.commit(mount.volume)


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
    """Every path below ``path``, sorted, relative."""
    base = Path(path)
    return sorted(str(found.relative_to(base)) for found in base.rglob("*"))


def read(path: str) -> bytes:
    return Path(path).read_bytes()


def write(path: str, data: bytes) -> None:
    Path(path).write_bytes(data)
