"""The stores do what every implementation of their port does."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bireme.storage import (
    ContainerLog,
    Disk,
    FileRecords,
    JsonLogs,
    Layout,
    OverlayRootfs,
    VolumeDirectories,
    open_root,
)
from bireme_actors import ContainerConfig, ContainerId
from bireme_actors.testing import (
    Check,
    LogStoreContract,
    RecordStoreContract,
    RootfsStoreContract,
    VolumeStoreContract,
    checks,
    sample_config,
)


class Logs(JsonLogs):
    """Logs of containers that have no directory of their own yet."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self.layout = layout

    def open_log(self, container: ContainerId) -> ContainerLog:
        os.makedirs(self.layout.container(container), exist_ok=True)
        return super().open_log(container)


class Bench:
    """One store on a root of its own, as every suite wants it."""

    def __init__(self, layout: Layout, kind: str) -> None:
        self.layout = layout
        self.disk = Disk()
        self.logs = Logs(layout)
        made: dict[str, Any] = {
            "volumes": VolumeDirectories(layout, self, self.disk),
            "rootfs": OverlayRootfs(layout, lambda image: ("base",), self.disk),
            "records": FileRecords(layout, self.disk),
            "logs": self.logs,
        }
        self.store = made[kind]

    async def copy(self, config: ContainerConfig, path: str, target: str) -> bool:
        return False

    def config(self) -> ContainerConfig:
        return sample_config()

    def layers(self) -> Iterable[ContainerId]:
        names = (ContainerId(name) for name in os.listdir(self.layout.containers) if not name.startswith("."))
        return [name for name in names if os.path.isdir(self.layout.upper(name))]

    def reopen(self) -> FileRecords:
        return FileRecords(self.layout)

    async def entries(self, container: ContainerId) -> list[tuple[str, bytes]]:
        async with aclosing(self.logs.open_log(container).read(follow=False)) as found:
            return [(entry.stream, entry.data) async for entry in found]


@asynccontextmanager
async def open_bench(root: Path, kind: str) -> AsyncIterator[Bench]:
    with open_root(root) as layout:
        yield Bench(layout, kind)


@pytest.mark.parametrize("check", checks(VolumeStoreContract), ids=lambda check: check.__name__)
async def test_volumes(check: Check, tmp_path: Path) -> None:
    await check(partial(open_bench, tmp_path, "volumes"))


@pytest.mark.parametrize("check", checks(RootfsStoreContract), ids=lambda check: check.__name__)
async def test_rootfs(check: Check, tmp_path: Path) -> None:
    await check(partial(open_bench, tmp_path, "rootfs"))


@pytest.mark.parametrize("check", checks(RecordStoreContract), ids=lambda check: check.__name__)
async def test_records(check: Check, tmp_path: Path) -> None:
    await check(partial(open_bench, tmp_path, "records"))


@pytest.mark.parametrize("check", checks(LogStoreContract), ids=lambda check: check.__name__)
async def test_logs(check: Check, tmp_path: Path) -> None:
    await check(partial(open_bench, tmp_path, "logs"))
