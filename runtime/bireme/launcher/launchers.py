"""The launchers of an engine as one: most containers are made by the one, those that share the host's PIDs by another.

A process is in the PID namespace it was born in, and the launcher is process 1 of one of its own, so that all
containers end with it: nothing that it starts can be in the host's. What is to be there is started by a launcher that
is there itself; it comes to life with the first such container, and all else about it is the same.

Which of the two a container belongs to is known from its start until it has been cleaned up, a process by its number.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import trio

from bireme.launcher import _protocol, _spawn
from bireme.launcher.client import Launched, Launcher, open_launcher
from bireme.launcher.requests import (
    ArchiveRequest,
    ContainerFacts,
    ExecRequest,
    Facts,
    LimitsRequest,
    Settings,
    StartRequest,
)

__all__ = ["Launchers", "open_launchers"]


class Launchers:
    """Both of them; made by ``open_launchers``. Each method is that of a ``Launcher``, with the same errors."""

    def __init__(self, own: Launcher, settings: Settings) -> None:
        """``settings``: of the one that shares the host's PIDs."""
        self._own = own
        self._settings = settings
        self._sharing: Launcher | None = None
        self._opening = trio.Lock()
        self._containers: set[str] = set()
        """Those that belong to the one that shares the host's PIDs."""
        self._filters: dict[str, bytes] = {}
        self._handed_over: set[str] = set()
        """Which of them that one has been given."""

    def __repr__(self) -> str:
        return f"<Launchers {self._own!r}, {self._sharing!r}>"

    @property
    def facts(self) -> Facts:
        """Of the one that makes most containers; what can be had is the same with both."""
        return self._own.facts

    def statistics(self) -> dict[str, int]:
        """How many requests are under way and how many processes run, with both."""
        both = [launcher.statistics() for launcher in (self._own, self._sharing) if launcher is not None]
        return {name: sum(each[name] for each in both) for name in both[0]}

    async def start(self, request: StartRequest) -> Launched:
        """Start a container. Cancelled or failed: no process, mount or cgroup of it is left."""
        if not request["host_pid"]:
            return await self._own.start(request)
        container, sharing = request["container"], await self._share()
        known = container in self._containers
        self._containers.add(container)
        try:
            async with self._own.sole_writer(container):
                return await sharing.start(request)
        except BaseException:
            if not known:
                self._containers.discard(container)
            raise

    async def exec(self, request: ExecRequest) -> Launched:
        """Add a process to a running container."""
        if request["container"] in self._containers:
            return await (await self._share()).exec(request)
        return await self._own.exec(request)

    async def archive(self, request: ArchiveRequest, descriptors: Sequence[int] = ()) -> dict[str, object]:
        """Work on the files of a container."""
        return await self._of(request["container"]).archive(request, descriptors)

    async def kill(self, process: int, signum: int) -> None:
        """Send a signal."""
        await self._with(process).kill(process, signum)

    async def close_stdin(self, process: int) -> None:
        """Let go of the launcher's own copy of a process's input."""
        await self._with(process).close_stdin(process)

    async def freeze(self, container: str, frozen: bool) -> None:
        """Stop or resume all processes of a container."""
        await self._of(container).freeze(container, frozen)

    async def limit(self, container: str, limits: LimitsRequest) -> None:
        """Change bounds of a container that runs."""
        await self._of(container).limit(container, limits)

    async def cleanup(self, container: str) -> None:
        """Have a container that has ended forgotten."""
        launcher, sharing = self._of(container), container in self._containers
        self._containers.discard(container)  # at once: it may be started again before the launcher takes this in
        try:
            await launcher.cleanup(container)
        except BaseException:
            if sharing:
                self._containers.add(container)
            raise

    def later(self, task: Callable[[], Awaitable[object]]) -> None:
        """Have done what nobody waits for; it raises nothing."""
        self._own.later(task)

    async def seccomp(self, name: str, program: bytes) -> None:
        """Hand over a filter; the one that shares the host's PIDs gets it when it is needed there."""
        await self._own.seccomp(name, program)
        self._filters[name] = program

    async def containers(self) -> list[tuple[ContainerFacts, Launched]]:
        """Every container that runs, or has ended and was not cleaned up."""
        found = await self._own.containers()
        if self._sharing is not None:
            shared = await self._sharing.containers()
            self._containers.update(facts["container"] for facts, _ in shared)
            found += shared
        return found

    async def quit(self) -> None:
        """End both, and all containers."""
        await self.leave(end=True)
        await self._own.quit()

    # The one that shares the host's PIDs

    def _of(self, container: str) -> Launcher:
        return self._sharing if self._sharing is not None and container in self._containers else self._own

    def _with(self, process: int) -> Launcher:
        return self._sharing if self._sharing is not None and process > _protocol.HOST_PIDS_NUMBERS else self._own

    async def _share(self) -> Launcher:
        """It, with all filters. Raises what starting it raises. Cancelled: it may be there."""
        async with self._opening:
            if self._sharing is None:
                self._sharing = await self._own.beside(self._settings)
            for name in self._filters.keys() - self._handed_over:
                await self._sharing.seccomp(name, self._filters[name])
                self._handed_over.add(name)
            return self._sharing

    async def find(self) -> None:
        """Connect to one that an earlier engine has left, or end what is left of it. Raises Conflict, DriverError."""
        connection = await _spawn.connect(self._settings) if self._settings["socket"] else None
        if connection is None:
            await _spawn.sweep(self._settings)
        else:
            self._sharing = await self._own.beside(self._settings, connection)

    async def leave(self, *, end: bool) -> None:
        """Hang up on it; ``end``: and wait until it has ended with its containers, by force if need be."""
        async with self._opening:
            sharing, self._sharing = self._sharing, None
            if sharing is not None:
                await sharing.aclose(end=end)
                sharing.release()


@asynccontextmanager
async def open_launchers(
    root: str, run_dir: str, *, detached: bool, stepwise: bool = False
) -> AsyncIterator[Launchers]:
    """The launchers of a ROOT for the length of the block, as ``open_launcher``.

    The one that shares the host's PIDs is there if it ran already, else as soon as it is needed.
    """
    settings = _spawn.settings_for(root, run_dir, detached=detached, stepwise=stepwise, host_pids=True)
    async with open_launcher(root, run_dir, detached=detached, stepwise=stepwise) as own:
        launchers = Launchers(own, settings)
        try:
            await launchers.find()
            yield launchers
        finally:
            with trio.CancelScope(shield=True):
                await launchers.leave(end=not detached)
