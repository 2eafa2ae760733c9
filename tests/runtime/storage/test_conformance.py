"""The stores do what every implementation of their port does."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bireme.storage import (
    ContainerDirectories,
    ContainerLog,
    Disk,
    JsonLogs,
    Layout,
    LiveOutput,
    OverlayRootfs,
    VolumeDirectories,
    open_root,
)
from bireme_actors import ContainerConfig, ContainerId
from bireme_actors.testing import (
    Check,
    ContainerStoreContract,
    LogStoreContract,
    VolumeStoreContract,
    checks,
    sample_config,
)


class Logs(JsonLogs):
    """Logs of containers that have no directory of their own yet."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self.layout = layout

    def open_log(self, container: ContainerId) -> ContainerLog | LiveOutput:
        os.makedirs(self.layout.container(container), exist_ok=True)
        return super().open_log(container)


class Bench:
    """One store on a root of its own, as every suite wants it."""

    def __init__(self, layout: Layout, kind: str) -> None:
        self.layout = layout
        self.disk = Disk()
        self.logs = Logs(layout)
        self.volumes = VolumeDirectories(layout, self, self.disk)
        self.containers = self._containers()
        self.store: Any = getattr(self, kind)

    def _containers(self) -> ContainerDirectories:
        roots = OverlayRootfs(self.layout, lambda image: ("base",))
        return ContainerDirectories(self.layout, roots, self.volumes, self.disk)

    def has_nothing(self, config: ContainerConfig, path: str) -> bool:
        return False

    async def copy(self, config: ContainerConfig, path: str, target: str) -> bool:
        return False

    def config(self) -> ContainerConfig:
        return sample_config()

    def reopen(self) -> ContainerDirectories:
        return self._containers()

    async def entries(self, container: ContainerId) -> list[tuple[str, bytes]]:
        log = self.logs.open_log(container)
        assert isinstance(log, ContainerLog)
        async with aclosing(log.read(follow=False)) as found:
            return [(entry.stream, entry.data) async for entry in found]


@asynccontextmanager
async def open_bench(root: Path, kind: str) -> AsyncIterator[Bench]:
    with open_root(root) as layout:
        yield Bench(layout, kind)


@pytest.mark.parametrize("check", checks(VolumeStoreContract), ids=lambda check: check.__name__)
async def test_volumes(check: Check, tmp_path: Path) -> None:
    await check(partial(open_bench, tmp_path, "volumes"))


@pytest.mark.parametrize("check", checks(ContainerStoreContract), ids=lambda check: check.__name__)
async def test_containers(check: Check, tmp_path: Path) -> None:
    await check(partial(open_bench, tmp_path, "containers"))


@pytest.mark.parametrize("check", checks(LogStoreContract), ids=lambda check: check.__name__)
async def test_logs(check: Check, tmp_path: Path) -> None:
    await check(partial(open_bench, tmp_path, "logs"))
