"""The composition root: every part of an engine is made here, in order, and ended in reverse.

Starting up: take the root's lock, put right what an earlier engine left half done, connect to the launcher (one that
outlived its engine brings its containers along), take every container on disk in, then serve.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import trio

from bireme.config import Settings, read_settings
from bireme.drivers import Drivers, check_driver, check_requirements, open_drivers
from bireme.engine._archives import Archives
from bireme.engine._background import open_background
from bireme.engine._content import ArchiveContent
from bireme.engine._events import EventBus
from bireme.engine._execs import Execs
from bireme.engine._log_options import read_log_options
from bireme.engine._parts import Parts
from bireme.engine._probing import HealthChecks
from bireme.engine._runtime import Runtime
from bireme.engine._telling import tell_of_image
from bireme.images import open_images
from bireme.images.registry import Registries
from bireme.launcher.launchers import open_launchers
from bireme.storage import (
    ContainerDirectories,
    JsonLogs,
    LogOptions,
    OverlayRootfs,
    VolumeDirectories,
    open_disk,
    open_root,
    recover,
)
from bireme_actors import (
    BiremeError,
    ContainerId,
    ContainerRecord,
    InvalidConfig,
    OnExit,
    Ports,
    Remove,
    RunningContainer,
    Start,
    Status,
    StorageError,
    Supervisor,
    open_supervisor,
)

_log = logging.getLogger("bireme")


@asynccontextmanager
async def open_runtime(
    *,
    root: str | os.PathLike[str] | None = None,
    run_dir: str | os.PathLike[str] | None = None,
    driver: str | None = None,
    on_exit: OnExit | str = OnExit.REMOVE,
) -> AsyncIterator[Runtime]:
    """An engine for the length of the block, in the calling trio program.

    ``root`` keeps what survives (default ``BIREME_ROOT``, else ``/var/lib/bireme``); one engine owns it at a time.
    ``on_exit`` says what becomes of the containers on leaving, whatever the reason: ``remove`` them and their volumes
    (those made in this runtime; others are stopped), ``stop`` them, or ``detach``: leave them running for the next
    engine. With ``remove`` and ``stop`` they end with this process, even if it is killed.

    Raises Conflict (the root is in use), MissingRequirement (no root rights, an old kernel), StorageError,
    InvalidConfig.
    """
    settings = read_settings(
        os.environ,
        root=os.fspath(root) if root is not None else None,
        run_dir=os.fspath(run_dir) if run_dir is not None else None,
        driver=driver,
    )
    async with open_engine(settings, _on_exit(on_exit)) as runtime:
        yield runtime


def _on_exit(value: OnExit | str) -> OnExit:
    try:
        return OnExit(value)
    except ValueError:
        raise InvalidConfig(f"invalid on_exit '{value}': remove, stop or detach") from None


@asynccontextmanager
async def open_engine(settings: Settings, on_exit: OnExit) -> AsyncIterator[Runtime]:
    """As ``open_runtime``, with settings that have been read already."""
    check_driver(settings.driver)
    check_requirements()
    detached = on_exit is OnExit.DETACH
    if detached:
        _make_run_directory(settings.run_dir)
    with open_root(settings.root) as layout:
        found = await trio.to_thread.run_sync(recover, layout)
        images = await trio.to_thread.run_sync(open_images, layout, Registries(settings.insecure_registries))
        for problem in images.problems:
            _log.error("%s", problem)
        async with (
            open_disk(layout) as disk,
            open_launchers(settings.root, settings.run_dir, detached=detached) as launcher,
        ):
            logs, events = JsonLogs(layout), EventBus()
            roots = OverlayRootfs(layout, images.layers)
            volumes = VolumeDirectories(layout, ArchiveContent(launcher, roots), disk)
            containers = ContainerDirectories(layout, roots, volumes, disk)
            async with (
                open_drivers(launcher, roots, layout.cache) as drivers,
                open_background() as services,
                open_supervisor(
                    Ports(drivers, volumes, containers, logs, events, time.time_ns), on_exit=on_exit
                ) as supervisor,
            ):
                archives, execs = Archives(launcher, roots, layout), Execs(events, services)
                health = HealthChecks(supervisor, events, services)
                parts = Parts(
                    settings, layout, images, launcher, volumes, logs, events, archives, supervisor, execs, health
                )
                images.tell = partial(tell_of_image, events)
                logs.options = lambda container: _log_options(supervisor, container)
                events.listen(execs.hear)
                events.listen(health.hear)
                await _adopt(supervisor, drivers, found.records, serving=detached)
                health.resume()
                yield Runtime(parts, ephemeral=on_exit is OnExit.REMOVE)


def _log_options(supervisor: Supervisor, container: ContainerId) -> LogOptions:
    """What becomes of a container's output. Of one that is gone it does not matter any more."""
    try:
        return read_log_options(supervisor.get(container).config.extra)
    except BiremeError:
        return LogOptions()


def _make_run_directory(path: str) -> None:
    try:
        os.makedirs(path, mode=0o711, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the run directory {path}: {error.strerror}") from error


async def _adopt(
    supervisor: Supervisor, drivers: Drivers, records: Sequence[ContainerRecord], *, serving: bool
) -> None:
    """Take every container on disk in, finish removals that were under way or are due, restart what asks for it."""
    for record in records:
        process = await _left_running(drivers, record)
        try:
            supervisor.adopt(record, process)
        except BiremeError as error:
            _log.error("container %s cannot be taken in: %s", record.config.id, error)
            continue
        if process is None or record.config.ephemeral:
            await _put_right(supervisor, record, serving=serving)
    for container in await drivers.end_unclaimed():
        _log.warning("container %s was running without a record of it and has been ended", container)


async def _left_running(drivers: Drivers, record: ContainerRecord) -> RunningContainer | None:
    """What an earlier engine has left of it: a process, or an exit; the supervisor knows whether that is news."""
    driver = drivers.get(record.config.driver)
    if driver is None or record.state.status is Status.REMOVING:
        return None
    return await driver.adopt(record.config)


async def _put_right(supervisor: Supervisor, record: ContainerRecord, *, serving: bool) -> None:
    config, state = record.config, record.state
    actor = supervisor.get(config.id)
    try:
        if state.status is Status.REMOVING:
            await actor.ref.ask(Remove(force=True, volumes=state.removing_volumes))
        elif config.ephemeral or (config.auto_remove and state.status is not Status.CREATED):
            await actor.ref.ask(Remove(force=True, volumes=True))
        elif serving and _wants_start(record):
            await actor.ref.ask(Start())
    except BiremeError as error:
        _log.warning("container %s: %s", config.id, error)


def _wants_start(record: ContainerRecord) -> bool:
    """Docker's rule at the daemon's start: ``always`` in any case, ``unless-stopped`` unless it was stopped by hand."""
    policy, state = record.config.restart.name, record.state
    if state.status is Status.CREATED:
        return False
    return policy == "always" or (policy == "unless-stopped" and not state.stopped_by_user)
