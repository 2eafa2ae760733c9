"""The fakes do what every implementation of their port does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bireme_actors import ContainerConfig, ContainerId
from bireme_actors.testing import (
    Check,
    ContainerStoreContract,
    DriverContract,
    FakeDriver,
    Fakes,
    LogStoreContract,
    VolumeStoreContract,
    checks,
    sample_config,
)


class Bench:
    """One of each fake, as every suite wants it."""

    def __init__(self, kind: str) -> None:
        self.fakes = Fakes()
        self.driver: FakeDriver = self.fakes.driver
        self.volumes = self.fakes.volumes
        self.containers = self.fakes.containers
        self.store: Any = getattr(self.fakes, kind)

    def leftovers(self) -> Iterable[str]:
        return self.fakes.leftovers()

    def reopen(self) -> Any:
        return self.store

    async def entries(self, container: ContainerId) -> list[tuple[str, bytes]]:
        return list(self.store.open_log(container).entries)


class StoreBench(Bench):
    def config(self) -> ContainerConfig:
        return sample_config()


class DriverBench(Bench):
    async def config(self, *args: str, **changes: Any) -> ContainerConfig:
        return sample_config(*args, **changes)


@asynccontextmanager
async def open_driver() -> AsyncIterator[DriverBench]:
    yield DriverBench("driver")


@asynccontextmanager
async def open_volumes() -> AsyncIterator[StoreBench]:
    yield StoreBench("volumes")


@asynccontextmanager
async def open_containers() -> AsyncIterator[StoreBench]:
    yield StoreBench("containers")


@asynccontextmanager
async def open_logs() -> AsyncIterator[StoreBench]:
    yield StoreBench("logs")


SUITES = [
    (DriverContract, open_driver),
    (VolumeStoreContract, open_volumes),
    (ContainerStoreContract, open_containers),
    (LogStoreContract, open_logs),
]


@pytest.mark.parametrize(
    ("check", "factory"),
    [
        pytest.param(check, factory, id=f"{suite.__name__}-{check.__name__}")
        for suite, factory in SUITES
        for check in checks(suite)
    ],
)
async def test_fake(check: Check, factory: Any, autojump_clock: object) -> None:
    await check(factory)
