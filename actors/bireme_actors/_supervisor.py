"""The supervisor: every container and volume there is, and what goes across several of them.

Theory of operation. Actors run in two *service scopes*: containers inside, volumes outside. Cancelling the program
that opened the supervisor reaches neither; the supervisor ends them itself, containers first, so that a container that
is being removed still finds its volumes. Names and identifiers live in one registry, changed only between two
checkpoints, which on one thread is as good as a lock.

Failures are values: a start that fails fails its container and those that depend on it, never a sibling. An actor that
crashes (a bug) ends alone: it is logged, its asks fail, the others go on.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial

import trio

from bireme_actors import _messages as m
from bireme_actors._actor import Actor, protected
from bireme_actors._adoption import is_news, with_process, without_process
from bireme_actors._catalog import VolumeCatalog
from bireme_actors._collector import seldom_collecting
from bireme_actors._container import STOP_SECONDS, ContainerActor
from bireme_actors._container_ports import ContainerPorts
from bireme_actors._creation import Maker, with_mounts
from bireme_actors._errors import ActorStopped, BiremeError, Conflict, InvalidConfig, NotFound, NotModified
from bireme_actors._events import container_event, volume_event
from bireme_actors._model import (
    ContainerConfig,
    ContainerId,
    ContainerRecord,
    ContainerState,
    ContainerView,
    VolumeId,
    VolumeView,
    WaitCondition,
)
from bireme_actors._ports import (
    Clock,
    ContainerDriver,
    ContainerStore,
    EventSink,
    LogStore,
    RunningContainer,
    VolumeStore,
)
from bireme_actors._registry import Registry
from bireme_actors._services import open_crew, open_services
from bireme_actors._starting import Starting
from bireme_actors._volume import VolumeActor

_log = logging.getLogger("bireme")

CLOSE_SECONDS = 60.0
"""The longest that leaving a supervisor may take beyond the containers' own grace, and that undoing may take."""


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
    containers: ContainerStore
    logs: LogStore
    events: EventSink
    clock: Clock


class Supervisor:
    """Made by ``open_supervisor``, alive inside its block only."""

    def __init__(self, ports: Ports, containers: trio.Nursery, volumes: trio.Nursery) -> None:
        self._ports = ports
        self._container_scope = containers
        self._volume_scope = volumes
        self._volumes = VolumeCatalog(ports.volumes, ports.clock, self._run_volume, self._volume_gone)
        self._maker = Maker(self._volumes, ports.containers)
        self._container_ports: dict[str, ContainerPorts] = {}
        self._adopted: set[ContainerId] = set()
        self._closing = False
        self._creating: set[trio.CancelScope] = set()
        self._created = trio.Event()
        self.registry: Registry[ContainerActor] = Registry()

    def __repr__(self) -> str:
        return f"<Supervisor: {self.statistics()}>"

    def statistics(self) -> dict[str, int]:
        """How many ``containers`` and ``volumes`` have an actor, and what is under way.

        ``creating`` containers; ``queued`` messages; ``pending`` asks; ``waiters`` for exits and removals.
        """
        totals = {"containers": len(self.registry), "volumes": len(self._volumes), "creating": len(self._creating)}
        totals |= {"queued": 0, "pending": 0, "waiters": 0}
        for statistics in (
            *(actor.statistics() for actor in self.registry),
            *(volume.mailbox.statistics() for volume in self._volumes),
        ):
            for name, number in statistics.items():
                totals[name] += number
        return totals

    # Reading.

    def get(self, ref: str) -> ContainerActor:
        """By identifier, name, or unambiguous beginning of an identifier. Raises NotFound, Conflict."""
        return self.registry.get(ref)

    def views(self) -> tuple[ContainerView, ...]:
        """Every container, oldest first."""
        return tuple(actor.view for actor in self.registry)

    def volumes(self) -> tuple[VolumeView, ...]:
        """Every volume, also those nobody holds."""
        return self._volumes.views()

    # Creating.

    async def create(self, config: ContainerConfig) -> ContainerActor:
        """Make the container and its volumes; its record is durable on return.

        ``config.mounts`` is filled in from ``volumes`` and ``volumes_from``. Raises NotFound (a source), Conflict (the
        name), InvalidConfig, StorageError, ActorStopped (the runtime is closing). Failed or cancelled: nothing of it is
        left.
        """
        if config.driver not in self._ports.drivers:
            raise InvalidConfig(f"unknown driver '{config.driver}'; known: {', '.join(sorted(self._ports.drivers))}")
        self._refuse_when_closing(config)
        sources = [(reference, self.registry.get(reference.container)) for reference in config.volumes_from]
        config = with_mounts(config, [(reference, actor.config.mounts) for reference, actor in sources])
        if self.registry.has(config.id):
            raise Conflict(f"container {config.id} exists already; take another identifier")
        self.registry.reserve(config.id, config.name)
        with self._under_way() as scope:
            try:
                with scope:
                    await self._maker.make(config)
                self._refuse_when_closing(config)
            except BaseException:
                await self._undo(config)
                raise
            return self._admit(config)

    def _refuse_when_closing(self, config: ContainerConfig) -> None:
        if self._closing:
            raise ActorStopped(f"the runtime is closing: container {config.name} is not made")

    @contextmanager
    def _under_way(self) -> Iterator[trio.CancelScope]:
        """Closing cancels what is being made and waits for its end."""
        scope = trio.CancelScope()
        self._creating.add(scope)
        try:
            yield scope
        finally:
            self._creating.discard(scope)
            if not self._creating:
                self._created.set()

    async def _undo(self, config: ContainerConfig) -> None:
        try:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_SECONDS) as scope:
                await self._maker.undo(config)
            if scope.cancelled_caught:
                _log.warning("container %s could not be undone in %.0f seconds", config.id, CLOSE_SECONDS)
        finally:
            self.registry.forget(config.id)

    def _admit(self, config: ContainerConfig) -> ContainerActor:
        actor = self._run_container(config, None, None)
        now = self._ports.clock()
        for mount in config.mounts:
            if mount.owned:
                self._volumes.admit(mount.volume, now, config.id)
                self._ports.events.emit(volume_event(mount.volume, "create", now))
        self._ports.events.emit(container_event(config, "create", now))
        return actor

    # Across containers.

    async def start_all(self, refs: Iterable[str]) -> Mapping[ContainerId, BiremeError | None]:
        """Start containers, volumes-from sources before their users, all else at once.

        A container that already runs counts as started. Returns each one's failure by value; raises InvalidConfig for
        a cycle, NotFound. Cancelled: what has started stays started.
        """
        actors = {actor.config.id: actor for actor in map(self.registry.get, refs)}
        starting = Starting(actors, {container: self._sources(actor.config) for container, actor in actors.items()})
        await starting.run()
        return starting.outcome

    def _sources(self, config: ContainerConfig) -> tuple[ContainerId, ...]:
        """Who is called what ``config`` refers to, and does share a volume: names change hands, volumes do not."""
        volumes = {mount.volume for mount in config.mounts}
        found = (self.registry.find(reference.container) for reference in config.volumes_from)
        return tuple(
            actor.config.id
            for actor in found
            if actor is not None
            and actor.config.id != config.id
            and any(mount.volume in volumes for mount in actor.config.mounts)
        )

    async def rename(self, ref: str, name: str) -> None:
        """Give a container another name; durable on return. Raises NotFound, Conflict. Cancelled: it is done first."""
        actor = self.registry.get(ref)
        container, before = actor.config.id, actor.config.name
        if name == before:
            return
        self.registry.reserve(container, name)
        try:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_SECONDS):
                await actor.ref.ask(m.Reconfigure(lambda config: replace(config, name=name)))
        finally:
            self.registry.release(container, name if actor.config.name != name else before)
        self._ports.events.emit(container_event(actor.config, "rename", self._ports.clock(), oldName=before))

    # Volumes.

    async def remove_volume(self, volume: str) -> None:
        """Remove a volume. Raises NotFound, Conflict while it is held, StorageError. Cancelled: it goes on."""
        try:
            await self._volumes.get(VolumeId(volume)).ref.ask(m.RemoveVolume())
        except ActorStopped as error:
            raise NotFound(f"get {volume}: no such volume") from error

    async def _release_volumes(self, config: ContainerConfig, remove: bool) -> None:
        for mount in reversed(config.mounts):
            await self._volumes.detach(mount.volume, config.id, remove=remove)

    def _volume_gone(self, volume: VolumeId) -> None:
        self._ports.events.emit(volume_event(volume, "destroy", self._ports.clock()))

    # Starting up and closing.

    def adopt(self, record: ContainerRecord, process: RunningContainer | None) -> ContainerActor:
        """Take in a container of an earlier engine, with its process if it still runs or has left its exit.

        A removal that was under way goes on. Raises Conflict (the name), InvalidConfig (the driver).
        """
        config, state = record.config, record.state
        if config.driver not in self._ports.drivers:
            raise InvalidConfig(f"container {config.name} needs the driver '{config.driver}', which is not there")
        if process is not None and is_news(state, process):
            state = with_process(state, process)
        else:
            state, process = without_process(state, self._ports.clock()), None
        self.registry.reserve(config.id, config.name)
        for mount in config.mounts:
            self._volumes.admit(mount.volume, config.created, config.id)
        self._adopted.add(config.id)
        actor = self._run_container(config, state, process)
        if state != record.state:
            actor.record.save(state)
        return actor

    async def close(self, on_exit: OnExit) -> None:
        """End every container as ``on_exit`` says; nothing is made any more. What was adopted is never removed."""
        self._closing = True
        await self._give_up_creating()
        async with open_crew() as nursery:
            for actor in tuple(self.registry):
                nursery.start_soon(self._end, actor, on_exit)

    async def _give_up_creating(self) -> None:
        while self._creating:
            self._created = trio.Event()
            for scope in self._creating:
                scope.cancel()
            await self._created.wait()

    async def _end(self, actor: ContainerActor, on_exit: OnExit) -> None:
        try:
            if on_exit is OnExit.REMOVE and actor.config.id not in self._adopted:
                await actor.ref.ask(m.Remove(force=True, volumes=True))
            elif on_exit is not OnExit.DETACH:
                await self._stop(actor)
        except ActorStopped:
            return
        except BiremeError as error:
            _log.warning("container %s did not end: %s", actor.config.id, error)

    @staticmethod
    async def _stop(actor: ContainerActor) -> None:
        removed = actor.exits.watch(WaitCondition.REMOVED, actor.state)
        try:
            await actor.ref.ask(m.Stop(actor.config.stop_signal, grace(actor.config), by_user=False))
        except NotModified:
            return
        if actor.config.auto_remove:
            await removed.wait()

    # Running actors.

    def _ports_of(self, driver: ContainerDriver) -> ContainerPorts:
        return ContainerPorts(
            driver=driver,
            containers=self._ports.containers,
            logs=self._ports.logs,
            events=self._ports.events,
            clock=self._ports.clock,
            release_volumes=self._release_volumes,
            gone=self._gone,
        )

    def _run_container(
        self, config: ContainerConfig, state: ContainerState | None, process: RunningContainer | None
    ) -> ContainerActor:
        if config.driver not in self._container_ports:
            self._container_ports[config.driver] = self._ports_of(self._ports.drivers[config.driver])
        actor = ContainerActor(config, self._container_ports[config.driver], state, process)
        self.registry.admit(config.id, actor)
        live = partial(self._container_scope.start_soon, self._live_container, actor)
        if state is None:
            actor.sleep(live)
        else:
            live()
        return actor

    def _gone(self, container: ContainerId) -> None:
        self.registry.forget(container)
        self._adopted.discard(container)

    @protected
    async def _live_container(self, actor: ContainerActor) -> None:
        try:
            await self._live(actor)
        finally:
            self._ended(actor)

    def _ended(self, actor: ContainerActor) -> None:
        self.registry.lose(actor.config.id)
        actor.exits.fail(ActorStopped(f"{actor.mailbox.name} has ended; its exit is not known"))
        actor.stdin.end()

    def dismiss(self) -> None:
        """The scopes have ended, and with them the actors that slept."""
        for actor in tuple(self.registry):
            actor.mailbox.close()
            self._ended(actor)
        self._volumes.close()

    def _run_volume(self, actor: VolumeActor) -> None:
        self._volume_scope.start_soon(self._live_volume, actor)

    @protected
    async def _live_volume(self, actor: VolumeActor) -> None:
        try:
            await self._live(actor)
        finally:
            self._volumes.ended(actor.id)

    @staticmethod
    async def _live(actor: Actor) -> None:
        try:
            await actor.run()
        except* Exception:  # noqa: BLE001 - a crash is contained here, and told
            _log.exception("%r crashed: this is a bug in bireme; the others go on", actor)


def grace(config: ContainerConfig) -> float:
    """Seconds between the stop signal and SIGKILL when an engine ends, which cannot wait for ever."""
    timeout = config.stop_timeout
    return STOP_SECONDS if timeout is None or timeout < 0 else float(timeout)


@asynccontextmanager
async def open_supervisor(ports: Ports, *, on_exit: OnExit = OnExit.REMOVE) -> AsyncIterator[Supervisor]:
    """A supervisor for the length of the block.

    On leaving, whatever the reason, every container is ended as ``on_exit`` says, under a shield and for a bounded
    time, then the actors end. What the block raises leaves unwrapped.
    """
    failure: BaseException | None = None
    with seldom_collecting():
        async with open_services() as volumes, open_services() as containers:
            supervisor = Supervisor(ports, containers, volumes)
            try:
                yield supervisor
            except BaseException as error:  # noqa: BLE001 - raised again once the containers have ended
                failure = error
            await _close(supervisor, on_exit)
        supervisor.dismiss()
    if failure is not None:
        try:
            raise failure
        finally:
            del failure


async def _close(supervisor: Supervisor, on_exit: OnExit) -> None:
    longest = max((grace(view.config) for view in supervisor.views()), default=0.0)
    with trio.CancelScope(shield=True, deadline=trio.current_time() + longest + CLOSE_SECONDS) as scope:
        await supervisor.close(on_exit)
    if scope.cancelled_caught:
        left = ", ".join(view.name for view in supervisor.views())
        _log.warning("not all containers have ended in %.0f seconds, and are left: %s", longest + CLOSE_SECONDS, left)
