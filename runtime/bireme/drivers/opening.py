"""All drivers of an engine: each is made when a container first names it, so that none needs what nobody uses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bireme.drivers.farmed import FarmedDriver
from bireme.drivers.native import NativeDriver
from bireme.drivers.plan import Requests, RootRequests
from bireme.drivers.readiness import open_readiness
from bireme.drivers.runtimes import RUNTIMES, Runtime, find_runtime
from bireme.drivers.seccomp import Filters
from bireme_actors import ContainerId, InvalidConfig

if TYPE_CHECKING:
    from bireme.launcher.launchers import Launchers

NATIVE = NativeDriver.name


class Drivers(Mapping[str, NativeDriver]):
    """By name; made by ``open_drivers``. Iterating gives those of the table; a path of an OCI runtime is a name too."""

    def __init__(self, native: NativeDriver, farm_out: Callable[[Runtime], NativeDriver]) -> None:
        self._native = native
        self._farm_out = farm_out
        self._made = {NATIVE: native}

    def __getitem__(self, name: str) -> NativeDriver:
        if name not in self._made:
            try:
                runtime = find_runtime(name)
            except InvalidConfig:
                raise KeyError(name) from None
            self._made[name] = self._farm_out(runtime)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter((NATIVE, *RUNTIMES))

    def __len__(self) -> int:
        return 1 + len(RUNTIMES)

    async def end_unclaimed(self) -> tuple[ContainerId, ...]:
        """End what was found and not adopted by any of them. As the native driver's."""
        return await self._native.end_unclaimed()


@asynccontextmanager
async def open_drivers(launcher: Launchers, roots: RootRequests, cache_dir: str) -> AsyncIterator[Drivers]:
    """Drivers that know what the launcher has running already, for the length of the block.

    ``cache_dir`` is where compiled seccomp filters are kept. What the block raises leaves unwrapped. Raises
    DriverError.
    """
    requests = Requests(launcher.facts, roots, Filters(launcher, cache_dir))
    found = {ContainerId(facts["container"]): launched for facts, launched in await launcher.containers()}
    async with open_readiness() as readiness:
        shared = (launcher, roots, requests, readiness, found)
        yield Drivers(NativeDriver(*shared), lambda runtime: FarmedDriver(runtime, *shared))


def check_driver(name: str) -> None:
    """A driver of that name can be had here. Raises InvalidConfig, MissingRequirement (with the package to install)."""
    if name != NATIVE:
        find_runtime(name).find()
