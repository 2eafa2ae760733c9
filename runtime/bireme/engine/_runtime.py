"""The embedding API: containers made, run, found and watched. ``open_runtime`` makes the one Runtime of a block."""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Unpack

import trio

from bireme import _files
from bireme.config import Settings
from bireme.engine import _info
from bireme.engine._background import open_background
from bireme.engine._container import Completed, Container
from bireme.engine._execs import Exec
from bireme.engine._names import new_name
from bireme.engine._parts import Parts
from bireme.engine._request import CreateOptions, build_config
from bireme.engine._users import ImageUsers
from bireme.images import ImageStore
from bireme_actors import (
    BiremeError,
    Conflict,
    ContainerActor,
    ContainerId,
    Event,
    InvalidConfig,
    NotFound,
    OnExit,
    VolumeId,
    VolumeView,
    new_id,
)

_CLEANUP_SECONDS = 30.0
"""The longest that leaving ``run`` or ``open_container`` waits for the container's removal after being cancelled."""


class Runtime:
    """A running engine. Alive inside its ``open_runtime`` block only; for one trio run."""

    def __init__(self, parts: Parts, *, ephemeral: bool) -> None:
        """``ephemeral``: what is made here is removed with the runtime, if need be by the next one."""
        self._parts = parts
        self._ephemeral = ephemeral
        self._users = ImageUsers(parts.supervisor)

    def __repr__(self) -> str:
        return f"<Runtime {self.settings.root}: {self._parts.supervisor.statistics()}>"

    @property
    def settings(self) -> Settings:
        return self._parts.settings

    @property
    def images(self) -> ImageStore:
        """What containers can be made of: ``get list import_ load save pull push tag remove``."""
        return self._parts.images

    # Making and running.

    async def create(
        self, image: str, command: Sequence[str] | str | None = None, **options: Unpack[CreateOptions]
    ) -> Container:
        """Make a container and its volumes, durable on return; ``options`` are those of ``CreateOptions``.

        ``command``: a list of words, or one word. Raises ImageNotFound (also for one of another platform),
        NotFound (a volumes-from source), Conflict (the name), InvalidConfig, StorageError. Failed or cancelled: nothing
        of it is left.
        """
        found = await self.images.resolve(image, options.get("platform", ""))
        container = ContainerId(new_id())
        name = (options.get("name") or "").removeprefix("/") or new_name(self._parts.supervisor.registry.has_name)
        config = build_config(
            container, name, found, image, command, options, self.settings.driver, ephemeral=self._ephemeral
        )
        with self._users.making(found.id, container):
            return self._handle(await self._parts.supervisor.create(config))

    async def run(
        self,
        image: str,
        command: Sequence[str] | str | None = None,
        *,
        stdin: bytes = b"",
        capture_stdout: bool = True,
        capture_stderr: bool = True,
        check: bool = False,
        **options: Unpack[CreateOptions],
    ) -> Completed:
        """Run a command in a container of its own to its end; the container and its own volumes are removed then.

        ``check`` raises ContainerFailed for another status than 0. Raises what ``create`` and ``start`` raise.
        Cancelled: the container is killed and removed.
        """
        options["auto_remove"] = True
        if stdin:
            options["stdin_open"] = options["stdin_once"] = True
        container = await self.create(image, command, **options)
        stdout = bytearray() if capture_stdout else None
        stderr = bytearray() if capture_stderr else None
        removed = container.watch("removed")
        try:
            async with container.attach(stdin=bool(stdin), stdout=capture_stdout, stderr=capture_stderr) as attached:
                await container.start()
                async with open_background() as background:
                    if stdin:
                        background.start_soon(_feed, attached, stdin)
                    async for entry in attached if capture_stdout or capture_stderr else _nothing():
                        target = stdout if entry.stream == "stdout" else stderr
                        if target is not None:
                            target += entry.data
                    status = await removed.wait()
        except BaseException:
            await self._discard(container)
            raise
        done = Completed(
            container.view.config.args, status, _bytes(stdout), _bytes(stderr), container.id
        )
        if check:
            done.check()
        return done

    @asynccontextmanager
    async def open_container(
        self, image: str, command: Sequence[str] | str | None = None, **options: Unpack[CreateOptions]
    ) -> AsyncIterator[Container]:
        """A container that runs inside the block and is removed, with its own volumes, whatever ends the block.

        Volumes that another container still holds stay. Raises what ``create`` and ``start`` raise.
        """
        container = await self.create(image, command, **options)
        try:
            await container.start()
            yield container
        finally:
            await self._discard(container)

    async def _discard(self, container: Container) -> None:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLEANUP_SECONDS):
            try:
                await container.remove(force=True, volumes=True)
            except NotFound:
                return

    async def start_all(self, containers: Iterable[Container | str]) -> Mapping[str, BiremeError | None]:
        """Start containers, volumes-from sources before those that use them, everything else at once.

        One that runs already counts as started. A failure is a value, by container id: it fails its container and those
        that depend on it, no other. Raises InvalidConfig that prints the cycle, NotFound.
        Cancelled: what has started stays.
        """
        refs = [ref if isinstance(ref, str) else ref.id for ref in containers]
        outcome = await self._parts.supervisor.start_all(refs)
        return {str(container): error for container, error in outcome.items()}

    # Finding.

    def _handle(self, actor: ContainerActor) -> Container:
        return Container(actor, self._parts)

    def get(self, ref: str) -> Container:
        """By id, name, or the unambiguous beginning of an id. Raises NotFound, Conflict."""
        return self._handle(self._parts.supervisor.get(ref))

    def list(self, *, all: bool = True) -> builtins.list[Container]:  # noqa: A002 - Docker's word for it
        """Every container, the newest first; only those that run with ``all`` False."""
        found = [self._handle(actor) for actor in self._parts.supervisor.registry]
        found.sort(key=lambda container: container.view.config.created, reverse=True)
        return [container for container in found if all or container.view.state.running]

    def get_exec(self, identifier: str) -> Exec:
        """A process added to a container, by its id. Raises NotFound."""
        return self._parts.execs.get(identifier)

    def events(self, *, since: int = 0, until: int = 0) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """What happens, from now on, as an ``async with`` block that gives an iterator.

        ``since``: also what happened after that time, as far as it is remembered (1024 events); ``until``: the end.
        Both in nanoseconds since the epoch. Reading it raises EventsLost for who is thousands of events behind.
        """
        return self._parts.events.subscribe(since, until)

    # Volumes.

    def volumes(self) -> tuple[VolumeView, ...]:
        """Every volume there is, also those that nobody holds."""
        return self._parts.supervisor.volumes()

    def get_volume(self, ref: str) -> VolumeView:
        """By id or its unambiguous beginning. Raises NotFound, Conflict."""
        fitting = [view for view in self.volumes() if ref and view.id.startswith(ref)]
        exact = [view for view in fitting if view.id == ref]
        if len(fitting) > 1 and not exact:
            raise Conflict(f"ambiguous identifier '{ref}': {len(fitting)} volumes begin so; write more of it")
        if not fitting:
            raise NotFound(f"get {ref}: no such volume")
        return (exact or fitting)[0]

    async def remove_volume(self, ref: str) -> None:
        """Raises NotFound, Conflict while a container holds it."""
        await self._parts.supervisor.remove_volume(self.get_volume(ref).id)

    async def prune_volumes(self) -> builtins.list[tuple[VolumeId, int]]:
        """Remove every volume that nobody holds: ids, and the bytes that each had on disk."""
        removed = []
        for view in self.volumes():
            if not view.holders:
                size = await _size(view.path)
                try:
                    await self._parts.supervisor.remove_volume(view.id)
                except (Conflict, NotFound):
                    continue  # somebody took it, or removed it, meanwhile
                removed.append((view.id, size))
        return removed

    async def prune_containers(self, keep: Iterable[str] = ()) -> builtins.list[tuple[str, int]]:
        """Remove every container that does not run, but those in ``keep``: ids, and the bytes each had written."""
        removed, kept = [], frozenset(keep)
        for container in self.list():
            if container.status in _PRUNED and container.id not in kept:
                size = await self.written_size(container)
                try:
                    await container.remove()
                except (Conflict, NotFound):
                    continue
                removed.append((container.id, size))
        return removed

    # Images.

    async def remove_image(self, ref: str, *, force: bool = False) -> tuple[tuple[str, str], ...]:
        """Take a name away, and the image with its last one: ``("Untagged" | "Deleted", what)``, as Docker's ``rmi``.

        Raises ImageNotFound, Conflict while a container uses it (``force``: while one runs), StorageError.
        """
        running = ImageUsers(self._parts.supervisor, running=True)
        return await self.images.remove(ref, force=force, used_by=self._users, running=running)

    async def prune_images(self, *, dangling_only: bool = True) -> tuple[builtins.list[tuple[str, str]], int]:
        """Remove images without a name, or all that no container uses: what went, and the bytes that it had."""
        removed, size = await self.images.prune(dangling_only=dangling_only, used=self._users)
        return [*removed], size

    # About the engine.

    async def written_size(self, container: Container) -> int:
        """Bytes in its writable layer."""
        upper = self._parts.layout.upper(container.view.id)
        return await _size(upper)

    async def disk_usage(self) -> dict[str, object]:
        """``containers`` and ``volumes``: id → bytes on disk; ``layers``: bytes of all image layers together."""
        containers = {container.id: await self.written_size(container) for container in self.list()}
        volumes = {view.id: await _size(view.path) for view in self.volumes()}
        return {"containers": containers, "volumes": volumes, "layers": await _size(self._parts.layout.layers)}

    def info(self) -> dict[str, Any]:
        """Docker's JSON of the engine and its host (``SystemInfo``), with ``EnginePid`` and ``LauncherPid``."""
        return _info.info(self._parts)

    def version(self) -> dict[str, Any]:
        """Docker's JSON of the engine's version (Engine API, ``SystemVersion``)."""
        return _info.version(self._parts)

    async def end_all(self, on_exit: OnExit | str) -> None:
        """End every container now: ``remove``, ``stop``, or ``detach`` for nothing."""
        try:
            how = OnExit(on_exit)
        except ValueError:
            raise InvalidConfig(f"invalid on_exit '{on_exit}': remove, stop or detach") from None
        await self._parts.supervisor.close(how)


_PRUNED = frozenset({"created", "exited", "dead"})


def _bytes(buffer: bytearray | None) -> bytes | None:
    return None if buffer is None else bytes(buffer)


async def _size(path: str) -> int:
    """Bytes on disk of all that is below a directory. Cancelled: counting is given up."""
    return await trio.to_thread.run_sync(_files.tree_size, path, abandon_on_cancel=True)


async def _feed(attached: Any, data: bytes) -> None:
    await attached.send(data)
    await attached.send_eof()


async def _nothing() -> AsyncIterator[Any]:
    return
    yield
