"""A ROOT with one busybox layer, a real launcher on it, and containers for the driver to start."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from bireme.drivers import RUNTIMES, NativeDriver, check_driver, open_drivers
from bireme.launcher.launchers import Launchers, open_launchers
from bireme.launcher.requests import RootRequest
from bireme.storage import Layout
from bireme.storage.rootfs import mount_request
from bireme_actors import ContainerConfig, ContainerId, MissingRequirement, Process, ProcessSpec, mount_table
from bireme_actors.testing import sample_config
from tests.runtime.launcher.harness import children_named, children_of

PATIENCE = 30.0
"""Seconds after which what a test waits for has failed."""

_APPLETS = (
    "cat", "chmod", "echo", "grep", "hostname", "id", "ls", "mkdir", "mount", "ping", "sh", "sleep", "stat", "stty",
    "true",
)  # fmt: skip
_BUSYBOX = shutil.which("busybox") or "/bin/busybox"


@dataclass(frozen=True)
class Roots:
    """``RootRequests`` for containers that all have the one layer."""

    root: Path

    def root_request(self, config: ContainerConfig) -> RootRequest:
        return {
            "layers_directory": "images/layers",
            "layers": ["base"],
            "upper": f"../../containers/{config.id}/upper",
            "work": f"../../containers/{config.id}/work",
            "volatile": config.auto_remove,
            "mounts": [mount_request(mount, Layout("")) for mount in mount_table(config.mounts, config.tmpfs)],
            "files": [],
        }

    def exit_file(self, container: ContainerId) -> str:
        return f"containers/{container}/exit.json"


@dataclass
class Bench:
    """A driver with a launcher of its own."""

    root: Path
    launcher: Launchers
    driver: NativeDriver
    pid_mode: str = ""
    started: list[ContainerConfig] = field(default_factory=list)

    async def config(self, *args: str, **changes: Any) -> ContainerConfig:
        """A container with a busybox in its root, ready to be started."""
        config = replace(sample_config(*args, pid_mode=self.pid_mode), **changes)
        for name in ("upper", "work"):
            (self.root / "containers" / config.id / name).mkdir(parents=True)
        self.started.append(config)
        return config

    def leftovers(self) -> Iterable[str]:
        """What is left of the containers: the launchers' children, and what the driver holds."""
        launchers = {self.launcher.facts["pid"], *children_named(os.getpid(), "bireme-launcher")}
        children = [child for pid in launchers for child in children_of(pid) - children_named(pid, "bireme-guard")]
        held = self.driver.statistics()["containers"]
        return [f"process {pid}" for pid in children] + [f"{held} containers in the launcher"] * bool(held)

    async def run(self, *args: str, **changes: Any) -> tuple[int, str]:
        """Start, read all output, wait, clean up: ``(exit code, what was printed)``."""
        config = await self.config(*args, **changes)
        process = await self.driver.start(config)
        printed = await read_all(process)
        with trio.fail_after(PATIENCE):
            status = await process.wait()
        await self.driver.cleanup(config)
        return int(status), printed

    async def exec(self, container: Any, *args: str, **changes: Any) -> tuple[int, str]:
        """Add a process and read all it prints."""
        process = await container.exec(ProcessSpec(args=args, **changes))
        printed = await read_all(process)
        with trio.fail_after(PATIENCE):
            return int(await process.wait()), printed


def runs(pid: int) -> bool:
    """Whether there is such a process."""
    return Path(f"/proc/{pid}").exists()


def lives(pid: int) -> bool:
    """Whether there is such a process that has not ended yet."""
    try:
        return stat_fields(pid)[0] not in "ZX"
    except FileNotFoundError:
        return False


def stat_fields(pid: int) -> list[str]:
    """What the kernel says of a process: its state, its parent, and more."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


async def read_all(process: Process) -> str:
    """Both outputs, one after the other."""
    parts = []
    for source in (process.stdout, process.stderr):
        data = bytearray()
        if source is not None:
            with trio.fail_after(PATIENCE):
                while some := await source.receive_some():
                    data += some
            await source.aclose()
        parts.append(data.decode())
    return "".join(parts)


@pytest.fixture
def bireme_root(tmp_path: Path) -> Path:
    """A ROOT directory with the layer in it."""
    layer = tmp_path / "root/images/layers/base"
    for name in ("bin", "etc", "proc", "sys", "dev", "tmp", "root"):
        (layer / name).mkdir(parents=True)
    shutil.copy(_BUSYBOX, layer / "bin/busybox")
    for applet in _APPLETS:
        (layer / "bin" / applet).symlink_to("busybox")
    (layer / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n")
    (layer / "etc/group").write_text("root:x:0:\nann:x:1000:\n")
    return tmp_path / "root"


@asynccontextmanager
async def open_bench(
    root: Path, *, detached: bool = False, name: str = "native", pid_mode: str = ""
) -> AsyncIterator[Bench]:
    """A driver for the length of the block; without ``detached`` its containers have to have ended then."""
    (root / "run").mkdir(exist_ok=True)
    async with (
        open_launchers(str(root), str(root / "run"), detached=detached) as launcher,
        open_drivers(launcher, Roots(root), str(root / "cache")) as drivers,
    ):
        driver = drivers[name]
        bench = Bench(root, launcher, driver, pid_mode)
        yield bench
        if not detached:
            for config in bench.started:
                await driver.cleanup(config)


DRIVERS = ("native", *RUNTIMES)


@pytest.fixture
def need_driver(name: str) -> None:
    """Skips the test if the driver called ``name`` is not installed here."""
    try:
        check_driver(name)
    except MissingRequirement as error:
        pytest.skip(str(error))


BenchFactory = Callable[..., AbstractAsyncContextManager[Bench]]


@pytest.fixture
def bench_factory(bireme_root: Path) -> BenchFactory:
    """Opens a bench on the ROOT of this test."""
    return partial(open_bench, bireme_root)


@pytest.fixture
async def bench(bench_factory: BenchFactory) -> AsyncIterator[Bench]:
    """A driver with an embedded launcher."""
    async with bench_factory() as opened:
        yield opened
