"""The native driver: containers made by the launcher, without any other runtime.

What an earlier engine has left is found in two places: what still runs, and exits that no engine has been told yet, in
the launcher; exits that were told, or whose launcher has ended too, in the file it notes each of them in.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from typing import TYPE_CHECKING

import trio

from bireme.drivers.plan import Requests, RootRequests
from bireme.drivers.processes import EndedContainer, NativeContainer
from bireme.drivers.readiness import Readiness
from bireme_actors import ContainerConfig, ContainerId, DriverError

if TYPE_CHECKING:
    from bireme.launcher.client import Launched
    from bireme.launcher.launchers import Launchers
    from bireme.launcher.requests import ExitFacts, StartRequest

_EXIT_FIELDS = {
    "code": int,
    "container": str,
    "finished": int,
    "oom_killed": bool,
    "process": int,
    "signal": int,
    "started": int,
}


class NativeDriver:
    """``bireme_actors.ContainerDriver`` on a launcher; made by ``open_drivers``."""

    name = "native"

    def __init__(
        self,
        launcher: Launchers,
        roots: RootRequests,
        requests: Requests,
        readiness: Readiness,
        found: dict[ContainerId, Launched],
    ) -> None:
        """``found``: containers of an earlier engine, of whatever driver; those that are adopted are taken out."""
        self._launcher = launcher
        self._roots = roots
        self._requests = requests
        self._readiness = readiness
        self.found = found
        self._containers: dict[ContainerId, NativeContainer] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {self.statistics()}>"

    def statistics(self) -> dict[str, int]:
        """How many containers the launcher holds for this engine, and how many were found and not adopted."""
        held = sum(not container.forgotten for container in self._containers.values())
        return {"containers": held, "unclaimed": len(self.found)}

    async def start(self, config: ContainerConfig) -> NativeContainer:
        """Make the container run; returns once its command has been executed.

        Raises CommandNotFound, CommandNotExecutable, InvalidConfig, MissingRequirement, DriverError. Cancelled or
        failed: no process, mount or cgroup of it is left.
        """
        if config.id in self._containers or config.id in self.found:
            await self.cleanup(config)
        request = await self._request(config)
        if request["exit_file"]:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._exit_path(config.id))
        launched = await self._launcher.start(request)
        return self._admit(config, launched)

    async def adopt(self, config: ContainerConfig) -> NativeContainer | EndedContainer | None:
        """Take over what an earlier engine has left: a container that runs, or the exit that was noted for it.

        The exit may be one that the earlier engine had recorded already; ``started`` tells. None: neither is there.
        Cancelled: nothing has changed.
        """
        launched = self.found.pop(config.id, None)
        if launched is not None:
            return self._admit(config, launched)
        facts = await trio.to_thread.run_sync(_read_exit, self._exit_path(config.id))
        return EndedContainer(facts) if facts is not None else None

    async def cleanup(self, config: ContainerConfig) -> None:
        """Have the launcher forget a container that has ended; one found running that nobody adopted is ended first.

        Idempotent. Raises Conflict while it runs. Cancelled: it may have had its effect, or is to be called again.
        """
        launched = self.found.get(config.id)
        if launched is not None:
            await self._end(config.id, launched)
            self.found.pop(config.id, None)
        container = self._containers.get(config.id)
        if container is not None:
            await container.forget()
            self._containers.pop(config.id, None)
        await trio.lowlevel.checkpoint()

    async def end_unclaimed(self) -> tuple[ContainerId, ...]:
        """End the containers that were found and not adopted: those that nobody has a record of. Returns them.

        Cancelled: some may have ended; to be called again. Raises DriverError.
        """
        unclaimed = tuple(self.found)
        for container in unclaimed:
            await self._end(container, self.found[container])
            self.found.pop(container, None)
        return unclaimed

    async def _request(self, config: ContainerConfig) -> StartRequest:
        return await self._requests.start(config)

    async def _end(self, container: ContainerId, launched: Launched) -> None:
        await self._launcher.kill(launched.process, signal.SIGKILL)
        await launched.wait()
        await launched.aclose()
        await self._launcher.cleanup(container)

    def _admit(self, config: ContainerConfig, launched: Launched) -> NativeContainer:
        container = NativeContainer(self._launcher, self._readiness, self._requests, config, launched)
        self._containers[config.id] = container
        return container

    def _exit_path(self, container: ContainerId) -> str:
        return os.path.join(self._launcher.facts["root"], self._roots.exit_file(container))


def _read_exit(path: str) -> ExitFacts | None:
    """What the launcher has noted; None if there is no note, or none that can be read."""
    try:
        with open(path, "rb") as file:
            found = json.loads(file.read())
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return None
    except OSError as error:
        raise DriverError(f"the exit noted in {path} cannot be read: {error.strerror}") from None
    whole = isinstance(found, dict) and all(isinstance(found.get(key), kind) for key, kind in _EXIT_FIELDS.items())
    facts: ExitFacts | None = found if whole else None
    return facts
