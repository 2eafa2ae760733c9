"""The supervisor: every container and volume there is, and what goes across several of them.

Theory of operation. Actors run in two *service scopes*: containers inside, volumes outside. Cancelling the program that
opened the supervisor reaches neither; the supervisor ends them itself, containers first, so that a container that is being
removed still finds its volumes. Names and identifiers live in one registry, changed only between two checkpoints, which
on one thread is as good as a lock.

Failures are values: a start that fails fails its container and those that depend on it, never a sibling. An actor that
crashes (a bug) ends alone: it is logged, its asks fail, the others go on.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

import trio

from bireme_actors import _messages as m
from bireme_actors._actor import Actor
from bireme_actors._container import STOP_SECONDS, ContainerActor, ContainerPorts
from bireme_actors._errors import ActorStopped, BiremeError, DependencyFailed, InvalidConfig, NotFound, NotModified
from bireme_actors._model import (
    ContainerConfig,
    ContainerId,
    ContainerRecord,
    ContainerState,
    ContainerView,
    Event,
    Status,
    VolumeId,
    VolumeView,
    new_id,
)
from bireme_actors._plan import MountPlan, plan_mounts, start_order
from bireme_actors._ports import (
    Clock,
    ContainerDriver,
    EventSink,
    LogStore,
    RecordStore,
    RootfsStore,
    RunningContainer,
    VolumeStore,
)
from bireme_actors._registry import Registry
from bireme_actors._volume import VolumeActor

if TYPE_CHECKING:
    from trio import TaskStatus

_log = logging.getLogger("bireme")

CLOSE_SECONDS = 60.0
"""The longest that leaving a supervisor may take beyond the containers' own grace."""


class OnExit(StrEnum):
    """What becomes of the containers when their supervisor ends."""

    REMOVE = "remove"
    STOP = "stop"
    DETACH = "detach"


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything the core needs of the outside."""

    drivers: Mapping[str, ContainerDriver]
    volumes: VolumeStore
    rootfs: RootfsStore
    records: RecordStore
    logs: LogStore
    events: EventSink
    clock: Clock


class Supervisor:
    """Made by ``open_supervisor``, alive inside its block only."""

    def __init__(self, ports: Ports, containers: trio.Nursery, volumes: trio.Nursery) -> None:
        self._ports = ports
        self._container_scope = containers
        self._volume_scope = volumes
        self._volumes: dict[VolumeId, VolumeActor] = {}
        self.registry: Registry[ContainerActor] = Registry()

    def __repr__(self) -> str:
        return f"<Supervisor: {self.statistics()}>"

    def statistics(self) -> dict[str, int]:
        """How many ``containers`` and ``volumes`` have an actor."""
        return {"containers": len(self.registry), "volumes": len(self._volumes)}

    # Reading.

    def get(self, ref: str) -> ContainerActor:
        """By identifier, name, or unambiguous beginning of an identifier. Raises NotFound, Conflict."""
        return self.registry.get(ref)

    def views(self) -> tuple[ContainerView, ...]:
        """Every container, oldest first."""
        return tuple(actor.view for actor in self.registry)

    def volumes(self) -> tuple[VolumeView, ...]:
        """Every volume, also those nobody holds."""
        known = {volume: actor.view for volume, actor in self._volumes.items()}
        for volume, created in self._ports.volumes.list():
            if volume not in known:
                known[volume] = VolumeView(id=volume, path=self._ports.volumes.path(volume), created=created)
        return tuple(known.values())

    # Creating.

    async def create(self, config: ContainerConfig) -> ContainerActor:
        """Make the container and its volumes; its record is durable on return.

        ``config.mounts`` is filled in from ``volumes`` and ``volumes_from``. Raises NotFound (a source), Conflict (the
        name), InvalidConfig, StorageError. Failed or cancelled: nothing of it is left.
        """
        if config.driver not in self._ports.drivers:
            raise InvalidConfig(f"unknown driver '{config.driver}'; known: {', '.join(sorted(self._ports.drivers))}")
        sources = [(reference, self.registry.get(reference.container)) for reference in config.volumes_from]
        plan = plan_mounts(config.volumes, ((reference, actor.config.mounts) for reference, actor in sources))
        fresh = [VolumeId(new_id()) for _ in plan.fresh]
        config = replace(config, volumes=plan.fresh, mounts=plan.mounts(fresh))
        self.registry.reserve(config.id, config.name)
        try:
            await self._make(config, plan, fresh)
        except BaseException:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_SECONDS):
                await self._unmake(config)
            raise
        return self._admit(config)

    async def _make(self, config: ContainerConfig, plan: MountPlan, fresh: list[VolumeId]) -> None:
        await self._ports.rootfs.create(config)
        for mount in plan.inherited:
            await self._volume(mount.volume).ref.ask(m.Attach(config.id))
        for volume, destination in zip(fresh, plan.fresh, strict=True):
            actor = VolumeActor(volume, self._ports.volumes, self._ports.clock)
            self._run_volume(actor)
            await actor.ref.ask(m.Populate(config, destination))
        await self._ports.records.create(config)
        for volume in fresh:
            await self._volumes[volume].ref.ask(m.Commit())

    async def _unmake(self, config: ContainerConfig) -> None:
        try:
            await self._ports.records.remove(config.id)
            await self._release_volumes(config, fresh_only=True)
            await self._ports.rootfs.remove(config.id)
        except BiremeError as error:
            _log.warning("container %s could not be undone whole: %s", config.id, error)
        self.registry.forget(config.id)

    def _admit(self, config: ContainerConfig) -> ContainerActor:
        actor = self._run_container(config, None, None)
        for mount in config.mounts:
            if mount.owned:
                self._emit("volume", "create", mount.volume, {"driver": "local"})
        attributes = {**config.labels, "image": config.image, "name": config.name}
        self._emit("container", "create", config.id, attributes)
        return actor

    # Across containers.

    async def start_all(self, refs: Iterable[str]) -> Mapping[ContainerId, BiremeError | None]:
        """Start containers, volumes-from sources before their users, all else at once.

        A container that already runs counts as started. Returns each one's failure by value; raises InvalidConfig for
        a cycle, NotFound. Cancelled: what has started stays started.
        """
        actors = {actor.config.id: actor for actor in map(self.registry.get, refs)}
        needs = {container: self._sources(actor.config) for container, actor in actors.items()}
        outcome: dict[ContainerId, BiremeError | None] = {}
        for generation in start_order(needs):
            async with trio.open_nursery() as nursery:
                for container in generation:
                    nursery.start_soon(self._start_one, actors[container], needs[container], outcome)
        return outcome

    def _sources(self, config: ContainerConfig) -> tuple[ContainerId, ...]:
        found = (self.registry.find(reference.container) for reference in config.volumes_from)
        return tuple(actor.config.id for actor in found if actor is not None)

    async def _start_one(
        self, actor: ContainerActor, needs: Iterable[ContainerId], outcome: dict[ContainerId, BiremeError | None]
    ) -> None:
        container = actor.config.id
        outcome[container] = None
        for source in needs:
            if outcome.get(source) is not None:
                outcome[container] = DependencyFailed(
                    f"container {actor.config.name} was not started: its volumes-from source {source[:12]} failed: "
                    f"{outcome[source]}"
                )
                return
        try:
            await actor.ref.ask(m.Start())
        except NotModified:
            return
        except BiremeError as error:
            outcome[container] = error

    async def rename(self, ref: str, name: str) -> None:
        """Give a container another name; durable on return. Raises NotFound, Conflict."""
        actor = self.registry.get(ref)
        before = actor.config.name
        self.registry.rename(actor.config.id, name)
        try:
            await actor.ref.ask(m.Reconfigure(replace(actor.config, name=name)))
        except BaseException:
            self.registry.rename(actor.config.id, before)
            raise
        self._emit("container", "rename", actor.config.id, {"name": name, "oldName": before})

    # Volumes.

    async def remove_volume(self, volume: str) -> None:
        """Remove a volume. Raises NotFound, Conflict while it is held."""
        await self._volume(VolumeId(volume)).ref.ask(m.RemoveVolume())
        self._emit("volume", "destroy", volume, {"driver": "local"})

    def _volume(self, volume: VolumeId) -> VolumeActor:
        actor = self._volumes.get(volume)
        if actor is not None:
            return actor
        for known, created in self._ports.volumes.list():
            if known == volume:
                actor = VolumeActor(volume, self._ports.volumes, self._ports.clock, created=created)
                self._run_volume(actor)
                return actor
        raise NotFound(f"get {volume}: no such volume")

    async def _release_volumes(
        self, config: ContainerConfig, remove: bool = False, *, fresh_only: bool = False
    ) -> None:
        for mount in reversed(config.mounts):
            actor = self._volumes.get(mount.volume)
            wanted = mount.owned if fresh_only else remove
            if actor is not None and await self._detach(actor, config.id, wanted) and not fresh_only:
                self._emit("volume", "destroy", mount.volume, {"driver": "local"})

    @staticmethod
    async def _detach(actor: VolumeActor, container: ContainerId, remove: bool) -> bool:
        try:
            return await actor.ref.ask(m.Detach(container, remove))
        except ActorStopped:
            return False

    # Starting up and closing.

    def adopt(self, record: ContainerRecord, process: RunningContainer | None) -> ContainerActor:
        """Take in a container of an earlier engine, with its process if it still runs or has left its exit."""
        config, state = record.config, record.state
        if process is None and state.status is not Status.CREATED:
            state = _as_lost(state, self._ports.clock()) if state.running else replace(state, status=Status.EXITED)
        elif process is not None and not state.running:
            state = replace(state, status=Status.RUNNING, pid=process.pid, started=process.started)
        self.registry.reserve(config.id, config.name)
        for mount in config.mounts:
            self._volume(mount.volume).adopt(config.id)
        return self._run_container(config, state, process)

    async def close(self, on_exit: OnExit) -> None:
        """End every container as ``on_exit`` says."""
        if on_exit is OnExit.DETACH:
            return
        async with trio.open_nursery() as nursery:
            for actor in tuple(self.registry):
                nursery.start_soon(self._end, actor, on_exit)

    async def _end(self, actor: ContainerActor, on_exit: OnExit) -> None:
        timeout = actor.config.stop_timeout
        message = (
            m.Remove(force=True, volumes=True)
            if on_exit is OnExit.REMOVE
            else m.Stop(actor.config.stop_signal, STOP_SECONDS if timeout is None else float(timeout))
        )
        try:
            await actor.ref.ask(message)
        except (NotModified, ActorStopped):
            return
        except BiremeError as error:
            _log.warning("container %s did not end: %s", actor.config.id, error)

    # Running actors.

    def _run_container(
        self, config: ContainerConfig, state: ContainerState | None, process: RunningContainer | None
    ) -> ContainerActor:
        ports = ContainerPorts(
            driver=self._ports.drivers[config.driver],
            rootfs=self._ports.rootfs,
            records=self._ports.records,
            logs=self._ports.logs,
            events=self._ports.events,
            clock=self._ports.clock,
            release_volumes=self._release_volumes,
        )
        actor = ContainerActor(config, ports, state, process)
        self.registry.admit(config.id, actor)
        self._container_scope.start_soon(self._live, actor, partial(self._container_ended, actor))
        return actor

    def _container_ended(self, actor: ContainerActor) -> None:
        self.registry.forget(actor.config.id)
        actor.exits.fail(ActorStopped(f"{actor.mailbox.name} has ended; its exit is not known"))

    def _run_volume(self, actor: VolumeActor) -> None:
        self._volumes[actor.id] = actor
        self._volume_scope.start_soon(self._live, actor, partial(self._volumes.pop, actor.id, None))

    async def _live(self, actor: Actor, ended: Callable[[], object]) -> None:
        try:
            await actor.run()
        except Exception:  # noqa: BLE001 - a crash is contained here, and told
            _log.exception("%r crashed: this is a bug in bireme; the others go on", actor)
        finally:
            ended()

    def _emit(self, kind: str, action: str, subject: str, attributes: Mapping[str, str]) -> None:
        self._ports.events.emit(
            Event(kind=kind, action=action, id=subject, time=self._ports.clock(), attributes=dict(attributes))
        )


def _as_lost(state: ContainerState, now: int) -> ContainerState:
    error = "it ended together with the engine or the machine that ran it; its exit status is not known"
    return replace(state, status=Status.EXITED, pid=0, exit_code=255, error=error, finished=now)


@asynccontextmanager
async def open_supervisor(ports: Ports, *, on_exit: OnExit = OnExit.REMOVE) -> AsyncIterator[Supervisor]:
    """A supervisor for the length of the block.

    On leaving, whatever the reason, every container is ended as ``on_exit`` says, under a shield and for a bounded
    time, then the actors end. What the block raises leaves unwrapped.
    """
    failure: BaseException | None = None
    async with _open_services() as volumes, _open_services() as containers:
        supervisor = Supervisor(ports, containers, volumes)
        try:
            yield supervisor
        except BaseException as error:  # noqa: BLE001 - raised again once the containers have ended
            failure = error
        grace = max((float(view.config.stop_timeout or STOP_SECONDS) for view in supervisor.views()), default=0.0)
        with trio.CancelScope(shield=True, deadline=trio.current_time() + grace + CLOSE_SECONDS):
            await supervisor.close(on_exit)
    if failure is not None:
        raise failure


@asynccontextmanager
async def _open_services() -> AsyncIterator[trio.Nursery]:
    """A nursery whose tasks are not reached by cancellation from outside; they end when the block does."""
    async with trio.open_nursery() as outer:
        services: trio.Nursery = await outer.start(_serve)
        try:
            yield services
        finally:
            outer.cancel_scope.shield = True
            services.cancel_scope.cancel()


async def _serve(task_status: TaskStatus[trio.Nursery]) -> None:
    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as nursery:
            task_status.started(nursery)
            await trio.sleep_forever()
