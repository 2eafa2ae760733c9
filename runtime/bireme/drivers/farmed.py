"""Drivers that farm mounting and running out to another runtime, and otherwise do as the native driver does.

The launcher has the runtime make the container and takes over its first process; from then on there is no difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bireme.drivers.native import NativeDriver
from bireme.drivers.plan import Requests, RootRequests
from bireme.drivers.readiness import Readiness
from bireme.drivers.runtimes import Runtime
from bireme_actors import ContainerConfig, ContainerId

if TYPE_CHECKING:
    from bireme.launcher.client import Launched
    from bireme.launcher.launchers import Launchers
    from bireme.launcher.requests import StartRequest


class FarmedDriver(NativeDriver):
    """``bireme_actors.ContainerDriver`` on a launcher and a runtime; made by ``open_drivers``."""

    def __init__(
        self,
        runtime: Runtime,
        launcher: Launchers,
        roots: RootRequests,
        requests: Requests,
        readiness: Readiness,
        found: dict[ContainerId, Launched],
    ) -> None:
        super().__init__(launcher, roots, requests, readiness, found)
        self.name = runtime.name
        self._runtime = runtime

    async def _request(self, config: ContainerConfig) -> StartRequest:
        return await self._requests.farmed_out(config, self._runtime)
