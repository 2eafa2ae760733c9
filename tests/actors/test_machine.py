"""A live supervisor on fakes against a simple model: every verb, time, exits and engine changes in random order.

After each step everything settles, without time passing, and the whole of the supervisor, the disk and the processes is
compared with what the model expects. The trio run goes on only while a rule drives it (guest mode), so Hypothesis sees
each step and shrinks what fails.
"""

from __future__ import annotations

import queue
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import outcome
import pytest
import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from trio.testing import MockClock, wait_all_tasks_blocked

from bireme_actors import (
    Ask,
    BiremeError,
    Conflict,
    ContainerActor,
    DriverError,
    Kill,
    NotModified,
    OnExit,
    Pause,
    Remove,
    Restart,
    Start,
    Status,
    Stop,
    Supervisor,
    Unpause,
    VolumesFrom,
    WaitCondition,
    Watch,
    open_supervisor,
)
from bireme_actors.testing import FakeProcess, Fakes, sample_config

GRACE = 5.0
ALIVE = (Status.RUNNING, Status.PAUSED, Status.STOPPING)


class Loop:
    """A trio run on the virtual clock that goes on only while ``do`` waits for something."""

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._result: outcome.Outcome[Any] | None = None
        self.ended = False
        self._clock = MockClock()
        trio.lowlevel.start_guest_run(
            self._main, run_sync_soon_threadsafe=self._inbox.put, done_callback=self._done, clock=self._clock
        )
        self._pump(lambda: hasattr(self, "nursery"))

    def do(self, wanted: Callable[[], Awaitable[Any]]) -> Any:
        """Run it to its end."""
        self._result = None
        self._token.run_sync_soon(self.nursery.start_soon, self._perform, wanted)
        self._pump(lambda: self._result is not None)
        assert self._result is not None
        return self._result.unwrap()

    def settle(self) -> None:
        """Let everything happen that needs no time to pass."""
        self.do(wait_all_tasks_blocked)

    async def elapse(self, seconds: float) -> None:
        """Let time pass, from one deadline to the next (the clock by itself would let it pass between two rules)."""
        end = trio.current_time() + seconds
        await wait_all_tasks_blocked()
        while (left := end - trio.current_time()) > 0:
            self._clock.jump(min(left, max(trio.lowlevel.current_statistics().seconds_to_next_deadline, 0)))
            await wait_all_tasks_blocked()

    def close(self) -> None:
        self._token.run_sync_soon(self.nursery.cancel_scope.cancel)
        self._pump(lambda: self.ended)

    def _pump(self, until: Callable[[], bool]) -> None:
        while not until():
            self._inbox.get(timeout=30)()

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as self.nursery:
            await trio.sleep_forever()

    async def _perform(self, wanted: Callable[[], Awaitable[Any]]) -> None:
        self._result = await outcome.acapture(wanted)

    def _done(self, result: outcome.Outcome[None]) -> None:
        self.ended = True
        result.unwrap()


@dataclass
class Waiter:
    """Somebody who waits, and from when on."""

    watch: Watch
    condition: WaitCondition
    exits_before: int
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    answers: list[object] = field(default_factory=list)
    at_once: bool = False

    async def wait(self) -> None:
        with self.scope:
            try:
                self.answers.append(int(await self.watch.wait()))
            except BiremeError as error:
                self.answers.append(type(error))


@dataclass
class Model:
    """What a container should be."""

    name: str
    stubborn: bool
    volumes: set[str]
    status: Status = Status.CREATED
    code: int = 0
    exits: int = 0
    killed_at: float = float("inf")
    stops: int = 0
    waiters: list[Waiter] = field(default_factory=list)


def has_any(machine: Machine) -> bool:
    """For preconditions: there is a container."""
    return bool(machine.models)


def has_running(machine: Machine) -> bool:
    """For preconditions: there is one that runs."""
    return any(model.status in ALIVE for model in machine.models.values())


class Machine(RuleBasedStateMachine):
    """The supervisor and its model."""

    @initialize()
    def open(self) -> None:
        self.loop = Loop()
        self.fakes = Fakes()
        self.models: dict[str, Model] = {}
        self.kept: set[str] = set()
        self.gone: list[tuple[Model, int]] = []
        self.serial = 0
        self._open_core()

    def _open_core(self) -> None:
        self.leave, self.left = trio.Event(), trio.Event()
        opened: list[Supervisor] = []

        async def serve() -> None:
            async with open_supervisor(self.fakes.ports(), on_exit=OnExit.DETACH) as core:
                opened.append(core)
                await self.leave.wait()
            self.left.set()

        async def begin() -> None:
            self.loop.nursery.start_soon(serve)
            await wait_all_tasks_blocked()

        self.loop.do(begin)
        (self.core,) = opened

    def _change_engine(self) -> None:
        async def change() -> None:
            self.leave.set()
            await self.left.wait()

        self.loop.do(change)

    # Helpers.

    def _actor(self, model: Model) -> ContainerActor:
        return self.core.get(model.name)

    def _process(self, model: Model) -> FakeProcess:
        return self.fakes.process(self._actor(model).config.id)

    def _now(self) -> float:
        async def read() -> float:
            return trio.current_time()

        return float(self.loop.do(read))

    def _ask(self, model: Model, message: Ask[Any], refused: type[Exception] | None) -> None:
        actor = self._actor(model)
        if refused is None:
            self.loop.do(lambda: actor.ref.ask(message))
        else:
            with pytest.raises(refused):
                self.loop.do(lambda: actor.ref.ask(message))

    def _pick(self, data: st.DataObject, *statuses: Status) -> Model:
        fitting = [name for name, model in self.models.items() if not statuses or model.status in statuses]
        return self.models[data.draw(st.sampled_from(fitting))]

    def _ended(self, model: Model, code: int) -> None:
        model.status, model.code, model.exits = Status.EXITED, code, model.exits + 1
        model.killed_at, model.stops = float("inf"), 0

    # Rules.

    @precondition(lambda self: len(self.models) < 6)
    @rule(stubborn=st.booleans(), own=st.integers(0, 2), data=st.data())
    def create(self, stubborn: bool, own: int, data: st.DataObject) -> None:
        self.serial += 1
        name = f"c{self.serial}"
        sources = data.draw(st.lists(st.sampled_from(sorted(self.models)), max_size=2)) if self.models else []
        config = sample_config(
            "sleep" if stubborn else "app",
            *(["1000000"] if stubborn else []),
            name=name,
            volumes=tuple(f"/{name}/{number}" for number in range(own)),
            volumes_from=tuple(VolumesFrom(source) for source in sources),
        )
        actor = self.loop.do(lambda: self.core.create(config))
        inherited = set().union(*(self.models[source].volumes for source in sources))
        volumes = {mount.volume for mount in actor.config.mounts}
        assert volumes >= inherited
        assert len(volumes) == len(inherited) + own
        self.models[name] = Model(name, stubborn, volumes)

    @precondition(has_any)
    @rule(data=st.data(), fails=st.booleans())
    def start(self, data: st.DataObject, fails: bool) -> None:
        model = self._pick(data)
        if model.status in ALIVE:
            self._ask(model, Start(), NotModified)
            return
        self.fakes.driver.refuse = lambda config: fails
        self._ask(model, Start(), DriverError if fails else None)
        self.fakes.driver.refuse = lambda config: False
        if fails:
            model.code, model.exits = 128, model.exits + 1
        else:
            model.status, model.code = Status.RUNNING, 0

    @precondition(has_running)
    @rule(data=st.data(), code=st.integers(0, 255))
    def exit_by_itself(self, data: st.DataObject, code: int) -> None:
        model = self._pick(data, *ALIVE)
        if model.status is not Status.PAUSED:
            self._process(model).exit(code)
            self.loop.settle()
            self._ended(model, code)

    @precondition(has_any)
    @rule(data=st.data())
    def stop(self, data: st.DataObject) -> None:
        model = self._pick(data)
        if model.status not in ALIVE:
            self._ask(model, Stop(signal.SIGTERM, GRACE), NotModified)
        elif not model.stubborn:
            self._ask(model, Stop(signal.SIGTERM, GRACE), None)
            self._ended(model, 143)
        else:
            actor = self._actor(model)
            self.loop.do(lambda: self._begin(actor))
            self.loop.settle()
            model.status, model.stops = Status.STOPPING, model.stops + 1
            model.killed_at = min(model.killed_at, self._now() + GRACE)

    async def _begin(self, actor: ContainerActor) -> None:
        self.loop.nursery.start_soon(self._stop_quietly, actor)

    async def _stop_quietly(self, actor: ContainerActor) -> None:
        try:
            await actor.ref.ask(Stop(signal.SIGTERM, GRACE))
        except BiremeError:
            return

    @precondition(has_any)
    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        model = self._pick(data)
        alive = model.status in ALIVE
        self._ask(model, Kill(signal.SIGKILL), None if alive else Conflict)
        self.loop.settle()
        if alive:
            self._ended(model, 137)

    @precondition(has_any)
    @rule(data=st.data())
    def pause(self, data: st.DataObject) -> None:
        model = self._pick(data)
        runs = model.status is Status.RUNNING
        self._ask(model, Pause(), None if runs else Conflict)
        model.status = Status.PAUSED if runs else model.status

    @precondition(has_any)
    @rule(data=st.data())
    def unpause(self, data: st.DataObject) -> None:
        model = self._pick(data)
        paused = model.status is Status.PAUSED
        self._ask(model, Unpause(), None if paused else Conflict)
        model.status = Status.RUNNING if paused else model.status

    @precondition(has_any)
    @rule(data=st.data())
    def restart(self, data: st.DataObject) -> None:
        model = self._pick(data)
        if not model.stubborn:
            self._ask(model, Restart(signal.SIGTERM, GRACE), None)
            model.exits += model.status in ALIVE
            model.status, model.code = Status.RUNNING, 0

    @precondition(has_any)
    @rule(data=st.data(), force=st.booleans(), volumes=st.booleans())
    def remove(self, data: st.DataObject, force: bool, volumes: bool) -> None:
        model = self._pick(data)
        alive = model.status in ALIVE
        if alive and not force:
            self._ask(model, Remove(force, volumes), Conflict)
            return
        self._ask(model, Remove(force, volumes), None)
        self.loop.settle()
        if alive:
            self._ended(model, 137)
        del self.models[model.name]
        unheld = model.volumes - set().union(*(other.volumes for other in self.models.values()))
        self.kept = (self.kept | model.volumes) - (unheld if volumes else set())
        self.gone.append((model, model.code))

    @precondition(lambda self: bool(self.kept))
    @rule(data=st.data())
    def remove_volume(self, data: st.DataObject) -> None:
        volume = data.draw(st.sampled_from(sorted(self.kept)))
        if any(volume in model.volumes for model in self.models.values()):
            with pytest.raises(Conflict):
                self.loop.do(lambda: self.core.remove_volume(volume))
        else:
            self.loop.do(lambda: self.core.remove_volume(volume))
            self.kept.discard(volume)

    @precondition(has_any)
    @rule(data=st.data())
    def rename(self, data: st.DataObject) -> None:
        model = self._pick(data)
        self.serial += 1
        before, name = model.name, f"c{self.serial}"
        self.loop.do(lambda: self.core.rename(before, name))
        self.models[name] = self.models.pop(before)
        model.name = name

    @precondition(has_any)
    @rule(data=st.data(), condition=st.sampled_from(WaitCondition))
    def wait(self, data: st.DataObject, condition: WaitCondition) -> None:
        model, waiters = self._pick(data), [waiter for known in self.models.values() for waiter in known.waiters]
        if len(waiters) >= 20:
            return
        actor = self._actor(model)
        waiter = Waiter(actor.exits.watch(condition, actor.state), condition, model.exits)
        waiter.at_once = condition is WaitCondition.NOT_RUNNING and model.status not in ALIVE
        model.waiters.append(waiter)

        async def begin() -> None:
            self.loop.nursery.start_soon(waiter.wait)

        self.loop.do(begin)

    @precondition(has_any)
    @rule(data=st.data())
    def give_up_waiting(self, data: st.DataObject) -> None:
        model = self._pick(data)

        async def cancel() -> None:
            for waiter in model.waiters:
                waiter.scope.cancel()

        self.loop.do(cancel)
        self.loop.settle()
        model.waiters.clear()

    @rule(seconds=st.sampled_from([0.5, 2.0, 6.0]))
    def pass_time(self, seconds: float) -> None:
        self.loop.do(lambda: self.loop.elapse(seconds))
        now = self._now()
        for model in self.models.values():
            if model.killed_at <= now:
                self._ended(model, 137)

    @rule(orderly=st.booleans())
    def another_engine(self, orderly: bool) -> None:
        self.loop.settle()
        self.fakes.faults.dead = not orderly
        self._change_engine()
        self.fakes.faults.revive()
        self._open_core()

        async def adopt() -> None:
            for record in self.fakes.containers.load():
                self.core.adopt(record, await self.fakes.driver.adopt(record.config))

        self.loop.do(adopt)
        for model in self.models.values():
            model.waiters.clear()
            model.stops, model.killed_at = 0, float("inf")
            if model.status is Status.STOPPING:
                model.status = Status.RUNNING

    # What holds after each.

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        self.loop.settle()
        found = {view.name: (view.state.status, view.state.exit_code) for view in self.core.views()}
        assert found == {name: (model.status, model.code) for name, model in self.models.items()}

    @invariant()
    def processes_are_those_of_what_runs(self) -> None:
        for model in self.models.values():
            process = self.fakes.driver.processes.get(self._actor(model).config.id)
            assert (process is not None and not process.ended) == (model.status in ALIVE)
            if model.status in ALIVE:
                assert process is not None
                assert process.frozen == (model.status is Status.PAUSED)

    @invariant()
    def the_disk_says_the_same(self) -> None:
        assert {record.config.name: record.config for record in self.fakes.containers.load()} == {
            name: self._actor(model).config for name, model in self.models.items()
        }
        for record in self.fakes.containers.load():
            assert record.state == self.core.get(record.config.id).state

    @invariant()
    def volumes_are_held_by_whom_the_records_say(self) -> None:
        holders: dict[str, set[str]] = {volume: set() for volume in self.kept}
        for model in self.models.values():
            for volume in model.volumes:
                holders.setdefault(volume, set()).add(self._actor(model).config.id)
        assert {view.id: set(view.holders) for view in self.core.volumes()} == holders
        assert set(self.fakes.volumes.placed) == set(holders)

    @invariant()
    def who_waits_is_told_in_time_and_the_same(self) -> None:
        for model in self.models.values():
            for waiter in model.waiters:
                told = waiter.at_once or (
                    waiter.condition is not WaitCondition.REMOVED and model.exits > waiter.exits_before
                )
                assert bool(waiter.answers) == told, (model, waiter)
        for model, code in self.gone:
            for waiter in model.waiters:
                assert waiter.answers
                assert waiter.condition is not WaitCondition.REMOVED or waiter.answers == [code]

    @invariant()
    def nothing_else_is_under_way(self) -> None:
        statistics = self.core.statistics()
        waiting = sum(not waiter.answers for model in self.models.values() for waiter in model.waiters)
        asking = sum(model.stops for model in self.models.values())
        expected = {"containers": len(self.models), "creating": 0, "queued": 0, "waiters": waiting, "pending": asking}
        assert statistics | expected == statistics

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            if not self.loop.ended:
                self._end_all()
        finally:
            self.loop.close()

    def _end_all(self) -> None:
        for actor in tuple(self.core.registry):
            self.loop.do(lambda actor=actor: actor.ref.ask(Remove(force=True, volumes=True)))  # type: ignore[misc]  # bound
        for view in self.core.volumes():
            self.loop.do(lambda view=view: self.core.remove_volume(view.id))  # type: ignore[misc]  # bound
        self._change_engine()
        assert not self.fakes.leftovers()


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=40, stateful_step_count=30)
