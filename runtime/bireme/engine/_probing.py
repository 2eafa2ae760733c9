"""Health checks at work: one task for each running container that has a check, none for any other.

What happens is heard from the engine's own events: a start begins the probing, an exit or a pause ends it, and whatever
probe is under way then is killed. The task lives among the engine's services, so it ends with the engine, and the next
engine goes on with the containers that it takes over.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Mapping
from contextlib import aclosing

import trio

from bireme.engine._execs import Exec
from bireme.engine._health import MOST_OUTPUT, Health, HealthCheck, ProbeResult, read_check
from bireme.engine._telling import tell_of_container
from bireme_actors import (
    BiremeError,
    ContainerActor,
    ContainerConfig,
    Event,
    EventSink,
    ProcessSpec,
    Status,
    Supervisor,
)

_KILL_SECONDS = 5.0
"""The longest that giving a probe up may take."""

_BEGIN = frozenset({"start", "unpause"})
_END = frozenset({"die", "pause"})

_log = logging.getLogger("bireme")


class HealthChecks:
    """How the containers are that have a check."""

    def __init__(self, supervisor: Supervisor, events: EventSink, services: trio.Nursery) -> None:
        self._supervisor = supervisor
        self._events = events
        self._services = services
        self._known: dict[str, Health] = {}
        self._probing: dict[str, trio.CancelScope] = {}

    def __repr__(self) -> str:
        return f"<HealthChecks: {len(self._probing)} probed>"

    def of(self, container: str) -> Health | None:
        """None for a container without a check, or that has not run in this engine."""
        return self._known.get(container)

    def resume(self) -> None:
        """Probe what an earlier engine has left running."""
        for view in self._supervisor.views():
            if view.state.running and view.state.status is not Status.PAUSED:
                self._begin(view.id, pause=0.0)

    def hear(self, event: Event) -> None:
        """Called with every event of the engine."""
        if event.kind != "container":
            return
        if event.action in _BEGIN:
            if event.action == "start" and event.id in self._known:
                self._known[event.id] = self._known[event.id].begun()
            self._begin(event.id)
        elif event.id in self._known:
            self._heard_end(event)

    def _heard_end(self, event: Event) -> None:
        if event.action in _END:
            self._end(event.id)
        if event.action == "die":
            self._known[event.id] = self._known[event.id].ended()
        elif event.action == "destroy":
            self._end(event.id)
            del self._known[event.id]

    def _end(self, container: str) -> None:
        scope = self._probing.pop(container, None)
        if scope is not None:
            scope.cancel()

    def _begin(self, container: str, pause: float | None = None) -> None:
        actor = self._supervisor.get(container)
        check = check_of(actor.config)
        if check is None:
            return
        self._end(container)
        self._known.setdefault(container, Health())
        scope = self._probing[container] = trio.CancelScope()
        self._services.start_soon(self._watch, actor, check, scope, pause)

    async def _watch(
        self, actor: ContainerActor, check: HealthCheck, scope: trio.CancelScope, pause: float | None
    ) -> None:
        """Probe until cancelled."""
        with scope:
            while True:
                await trio.sleep(self._pause(actor, check) if pause is None else pause)
                pause = None
                result = await _probe(actor, check, self._events, self._services)
                self._note(actor, check, result)

    def _pause(self, actor: ContainerActor, check: HealthCheck) -> float:
        age = (time.time_ns() - actor.state.started) / 1e9
        return check.pause(self._known[actor.config.id].status, age)

    def _note(self, actor: ContainerActor, check: HealthCheck, result: ProbeResult) -> None:
        container = actor.config.id
        before = self._known[container]
        now = self._known[container] = before.after(result, check, actor.state.started)
        if now.status != before.status:
            tell_of_container(self._events, actor.config, f"health_status: {now.status}")


def check_of(config: ContainerConfig) -> HealthCheck | None:
    """The check that a container was created with."""
    kept = config.extra.get("Config")
    return read_check(kept) if isinstance(kept, Mapping) and kept.get("Healthcheck") else None


async def _probe(actor: ContainerActor, check: HealthCheck, events: EventSink, services: trio.Nursery) -> ProbeResult:
    """Run the check's command once. Cancelled, or too late: it is killed."""
    config, start = actor.config, time.time_ns()
    spec = ProcessSpec(args=check.args, env=config.env, user=config.user, working_dir=config.working_dir)
    execution = Exec(actor, spec, events, services)
    output = bytearray()
    try:
        with trio.move_on_after(check.timeout):
            await execution.start()
            await _read(execution, output)
            status = await execution.wait()
            return ProbeResult(start, time.time_ns(), int(status), _text(output))
    except BiremeError as error:
        return ProbeResult(start, time.time_ns(), -1, str(error)[:MOST_OUTPUT])
    finally:
        execution.discard_output()
        if execution.running:
            await _kill(execution)
    return ProbeResult(start, time.time_ns(), -1, f"Health check exceeded timeout ({check.timeout:g}s)")


async def _read(execution: Exec, output: bytearray) -> None:
    """Keep the beginning of what it prints."""
    async with aclosing(execution.output()) as entries:
        async for entry in entries:
            output += entry.data[: max(0, MOST_OUTPUT + 1 - len(output))]


def _text(output: bytearray) -> str:
    kept = bytes(output[:MOST_OUTPUT]).decode("utf-8", "replace")
    return f"{kept}..." if len(output) > MOST_OUTPUT else kept


async def _kill(execution: Exec) -> None:
    with trio.CancelScope(shield=True, deadline=trio.current_time() + _KILL_SECONDS):
        try:
            await execution.kill(signal.SIGKILL)
        except BiremeError as error:
            _log.warning("a health check's probe could not be ended: %s", error)
