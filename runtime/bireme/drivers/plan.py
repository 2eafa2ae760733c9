"""The launcher's requests for containers and for the processes added to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import trio

from bireme.drivers import capabilities
from bireme.drivers.process import console_size, hostname, limits_request, process_request
from bireme.drivers.runtimes import Runtime
from bireme.drivers.seccomp import Filters, document
from bireme_actors import ContainerConfig, ContainerId, ProcessSpec

if TYPE_CHECKING:
    from bireme.launcher.requests import ExecRequest, Facts, RootRequest, StartRequest

INIT = "/usr/bin/tini-static"
"""What ``--init`` runs in front: static, of the Debian package tini. Where it is missing, the launcher says so."""


class RootRequests(Protocol):
    """Where containers' root file systems are (the storage)."""

    def root_request(self, config: ContainerConfig) -> RootRequest:
        """Layers, writable layer, volumes in mount order, single files."""
        ...

    def exit_file(self, container: ContainerId) -> str:
        """Where the launcher notes the exit, relative to ROOT."""
        ...


class Requests:
    """Makes requests; what they need besides the configurations is looked up here."""

    def __init__(self, facts: Facts, roots: RootRequests, filters: Filters) -> None:
        self._roots = roots
        self._filters = filters
        self._available = facts["capabilities"]
        if not facts["devices"]:
            self._available &= ~capabilities.mask(("MKNOD",))

    async def start(self, config: ContainerConfig) -> StartRequest:
        """A whole container. Raises InvalidConfig, MissingRequirement. Cancelled: nothing has happened."""
        return self._start(config, *await self._rights(config))

    def _start(self, config: ContainerConfig, held: int, seccomp: str) -> StartRequest:
        """An exit is noted for those whose record another engine may still find and keep.

        An init is of use as process 1 only; with the host's PIDs Docker runs none either.
        """
        size = console_size(config)
        return {
            "container": config.id,
            "root": self._roots.root_request(config),
            "read_only": config.read_only,
            "hostname": hostname(config),
            "host_network": config.network == "host",
            "host_pid": config.pid_mode == "host",
            "host_uts": config.uts_mode == "host",
            "privileged": config.security.privileged,
            "shm_size": config.limits.shm_size,
            "limits": limits_request(config.limits),
            "init": INIT if config.init and config.pid_mode != "host" else "",
            "exit_file": "" if config.ephemeral or config.auto_remove else self._roots.exit_file(config.id),
            "process": process_request(config, config.process(), capabilities=held, seccomp=seccomp, size=size),
        }

    async def farmed_out(self, config: ContainerConfig, runtime: Runtime) -> StartRequest:
        """A whole container that another runtime is to make. Raises and is cancelled like ``start``."""
        held = self._held(config)
        request = self._start(config, held, "")
        program = runtime.find()
        rules = self._filters.rules(config.security, held)
        request["runtime"] = {
            "kind": runtime.kind,
            "name": runtime.name,
            "program": program,
            "options": list(runtime.options),
            "capabilities": list(capabilities.names(held)),
            "seccomp": None if rules is None else document(rules),
        }
        await trio.lowlevel.checkpoint()
        return request

    async def exec(self, config: ContainerConfig, process: ProcessSpec) -> ExecRequest:
        """One more process of a container: with the container's rights, a privileged one with every capability.

        Its filter is the container's in either case, as under Docker. Raises and is cancelled like ``start``.
        """
        held, seccomp = await self._rights(config)
        if process.privileged:
            held = capabilities.ALL & self._available
        return {
            "container": config.id,
            "process": process_request(config, process, capabilities=held, seccomp=seccomp),
        }

    async def _rights(self, config: ContainerConfig) -> tuple[int, str]:
        """The mask of the container's capabilities, cut to what there is to give, and the name of its filter."""
        held = self._held(config)
        return held, await self._filters.name(config.security, held)

    def _held(self, config: ContainerConfig) -> int:
        return capabilities.granted(config.security) & self._available
