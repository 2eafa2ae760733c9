"""Across containers: concurrent starts in order, names, closing in three ways, services that outlive their clients."""

from __future__ import annotations

import signal
from collections.abc import Sequence

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from bireme_actors import (
    ActorStopped,
    Conflict,
    ContainerId,
    DependencyFailed,
    DriverError,
    InvalidConfig,
    NotFound,
    OnExit,
    Pause,
    Remove,
    RestartPolicy,
    Start,
    Status,
    StorageError,
    Supervisor,
    VolumesFrom,
    open_supervisor,
)
from bireme_actors.testing import Fakes, sample_config
from tests.actors.conftest import IDLE, Later, OpenCore


async def _chain(core: Supervisor, *names: str) -> list[ContainerId]:
    """Containers each of which has its volumes from the one before."""
    made: list[ContainerId] = []
    for before, name in zip(("", *names), names, strict=False):
        sources = (VolumesFrom(before),) if before else ()
        actor = await core.create(sample_config(name=name, volumes=() if before else ("/d",), volumes_from=sources))
        made.append(actor.config.id)
    return made


# Starting.


async def test_a_thousand_start_at_once(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    fakes.faults.delay("driver.start", 1)
    async with open_core() as core:
        async with trio.open_nursery() as nursery:
            for _ in range(1000):
                nursery.start_soon(core.create, sample_config("app", volumes=("/data",)))
        began = trio.current_time()
        outcome = await core.start_all([view.id for view in core.views()])
        assert trio.current_time() - began == pytest.approx(1)
        assert set(outcome.values()) == {None}
        assert len(outcome) == 1000
        assert all(view.state.running for view in core.views())
        assert core.statistics() == {"containers": 1000, "volumes": 1000} | IDLE


async def test_sources_start_first_whatever_the_order_they_are_named_in(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    fakes.faults.delay("driver.start", 1)
    async with open_core() as core:
        chain = await _chain(core, "one", "two", "three")
        lone = await core.create(sample_config(name="lone"))
        began = trio.current_time()
        outcome = await core.start_all(["three", "lone", "two", "one", "three"])
        assert list(outcome.values()) == [None] * 4
        assert trio.current_time() - began == pytest.approx(3)
        started = [event.id for event in fakes.events.events if event.action == "start"]
        assert [identifier for identifier in started if identifier != lone.config.id] == chain
        assert lone.state.started == core.get("one").state.started, "what depends on nothing waits for nothing"


async def test_only_those_who_depend_on_it_wait_for_a_slow_one(
    fakes: Fakes, open_core: OpenCore, later: Later, clock: MockClock
) -> None:
    async with open_core() as core:
        await _chain(core, "one", "two", "three")
        hold = fakes.faults.hold("driver.start", lambda subject: subject == slow.config.id)
        slow = await core.create(sample_config(name="slow"))
        outcome = later(lambda: core.start_all(["one", "two", "three", "slow"]))
        await wait_all_tasks_blocked()
        assert core.get("three").state.running
        assert not outcome.done
        hold.release()
        await wait_all_tasks_blocked()
        assert list(outcome.result().values()) == [None] * 4


@given(st.lists(st.lists(st.integers(0, 7), max_size=3), min_size=1, max_size=8), st.data())
async def test_no_container_starts_before_its_sources(graph: list[list[int]], data: st.DataObject) -> None:
    fakes = Fakes()
    async with open_supervisor(fakes.ports()) as core:
        names = [f"node{number}" for number in range(len(graph))]
        for number, sources in enumerate(graph):
            references = tuple(VolumesFrom(names[source]) for source in sources if source < number)
            await core.create(sample_config(name=names[number], volumes=(f"/v{number}",), volumes_from=references))
        broken = data.draw(st.sets(st.sampled_from(names), max_size=2))
        order = data.draw(st.permutations(names))
        fakes.driver.refuse = lambda config: config.name in broken
        outcome = await core.start_all(order)
        started = [core.get(event.id).config.name for event in fakes.events.events if event.action == "start"]
        for number, sources in enumerate(graph):
            needed = {names[source] for source in sources if source < number}
            error = outcome[core.get(names[number]).config.id]
            failed = {name for name in needed if outcome[core.get(name).config.id] is not None}
            if error is None:
                assert not failed
                assert all(started.index(name) < started.index(names[number]) for name in needed)
            else:
                assert isinstance(error, DependencyFailed if failed else DriverError)
                assert names[number] not in started


async def test_a_failure_fails_its_dependants_by_value_and_nobody_else(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core() as core:
        one, two, three = await _chain(core, "one", "two", "three")
        lone = await core.create(sample_config(name="lone"))
        fakes.driver.refuse = lambda config: config.name == "one"
        outcome = await core.start_all(["one", "two", "three", "lone"])
        assert isinstance(outcome[one], DriverError)
        assert isinstance(outcome[two], DependencyFailed)
        assert "container two was not started: its volumes-from source one failed" in str(outcome[two])
        assert isinstance(outcome[three], DependencyFailed)
        assert outcome[lone.config.id] is None
        assert lone.state.running


async def test_what_runs_already_counts_as_started(open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        one, two = await _chain(core, "one", "two")
        await core.get("one").ref.ask(Start())
        assert await core.start_all([one, two]) == {one: None, two: None}


async def test_who_is_unknown_or_ambiguous_starts_nobody(open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        await _chain(core, "one", "two")
        with pytest.raises(NotFound):
            await core.start_all(["one", "nosuch"])
        assert core.get("one").state.status is Status.CREATED


async def test_a_cancelled_start_of_many_leaves_what_has_started(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    fakes.faults.delay("driver.start", 1)
    async with open_core() as core:
        await _chain(core, "one", "two")
        with trio.move_on_after(1.5):
            await core.start_all(["one", "two"])
        assert core.get("one").state.running
        assert core.statistics()["pending"] == 0


async def test_a_cycle_of_names_is_printed(open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        await core.create(sample_config(name="one", volumes=("/d",)))
        await core.create(sample_config(name="two", volumes_from=(VolumesFrom("one"),)))
        three = await core.create(sample_config(name="three", volumes_from=(VolumesFrom("two"),)))
        await core.rename("one", "away")
        await core.rename("three", "one")
        with pytest.raises(InvalidConfig, match=f"volumes-from is a cycle: .*{three.config.id}"):
            await core.start_all(["one", "two"])


async def test_a_container_that_took_its_sources_name_is_no_cycle(open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        data = await core.create(sample_config(name="data", volumes=("/d",)))
        await core.create(sample_config(name="app", volumes_from=(VolumesFrom("data"),)))
        await data.ref.ask(Remove())
        await core.rename("app", "data")
        assert list((await core.start_all(["data"])).values()) == [None]


# Names.


async def test_a_rename_is_durable_and_frees_the_old_name(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        actor = await core.create(sample_config(name="old"))
        await core.rename("old", "new")
        assert core.get("new") is actor
        assert fakes.containers.records[actor.config.id].config.name == actor.config.name == "new"
        assert not core.registry.has_name("old")
        await core.create(sample_config(name="old"))
        assert fakes.events.events[1].attributes["oldName"] == "old"
        await core.rename("new", "new")


async def test_a_rename_that_fails_keeps_the_old_name_and_frees_the_new(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core() as core:
        actor = await core.create(sample_config(name="old"))
        await core.create(sample_config(name="taken"))
        fakes.faults.fail("containers.update", StorageError("disk full"))
        for name, kind in (("new", StorageError), ("taken", Conflict), ("no name", InvalidConfig)):
            with pytest.raises(kind):
                await core.rename("old", name)
        assert core.get("old") is actor
        assert not core.registry.has_name("new")


async def test_both_names_are_taken_while_a_rename_is_under_way_and_it_is_done_although_cancelled(
    fakes: Fakes, open_core: OpenCore, later: Later, clock: MockClock
) -> None:
    fakes.faults.delay("containers.update", 5)
    async with open_core() as core:
        actor = await core.create(sample_config(name="old"))
        renaming = later(lambda: core.rename("old", "new"))
        await wait_all_tasks_blocked()
        renaming.scope.cancel()
        for name in ("old", "new"):
            with pytest.raises(Conflict):
                await core.create(sample_config(name=name))
        await trio.sleep(6)
        assert actor.config.name == "new"
        assert core.get("new") is actor
        assert not core.registry.has_name("old")


# Closing.


async def test_on_exit_remove_leaves_nothing(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    async with open_core(OnExit.REMOVE) as core:
        await _chain(core, "one", "two")
        stubborn = await core.create(sample_config("sleep", "1000", name="stubborn", volumes=("/x", "/y")))
        await core.start_all(["one", "two", "stubborn"])
        await stubborn.ref.ask(Pause())


async def test_on_exit_stop_stops_with_grace_and_keeps_everything_on_disk(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core(OnExit.STOP) as core:
        polite = await core.create(sample_config("app", volumes=("/d",)))
        stubborn = await core.create(sample_config("sleep", "1000", stop_timeout=3))
        passing = await core.create(sample_config("app", auto_remove=True))
        idle = await core.create(sample_config("app"))
        await core.start_all([polite.config.id, stubborn.config.id, passing.config.id])
        began = trio.current_time()
    assert trio.current_time() - began == pytest.approx(3)
    records = {record.config.id: record.state for record in fakes.containers.load()}
    assert set(records) == {polite.config.id, stubborn.config.id, idle.config.id}
    assert records[polite.config.id].exit_code == 143
    assert records[stubborn.config.id].exit_code == 137
    assert {state.status for state in records.values()} == {Status.EXITED, Status.CREATED}
    assert not records[polite.config.id].stopped_by_user, "the next engine may start it again"
    assert list(fakes.volumes.placed) == [polite.config.mounts[0].volume]


async def test_on_exit_stop_waits_for_removals_that_follow_an_exit(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    fakes.faults.delay("containers.remove", 5)
    async with open_core(OnExit.STOP) as core:
        actor = await core.create(sample_config("app", auto_remove=True, volumes=("/d",)))
        await actor.ref.ask(Start())
    assert not fakes.leftovers()


async def test_on_exit_stop_ends_restarting_for_good(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    async with open_core(OnExit.STOP) as core:
        actors = [await core.create(sample_config("app", restart=RestartPolicy(name="always"))) for _ in range(2)]
        for actor in actors:
            await actor.ref.ask(Start())
        fakes.process(actors[0].config.id).exit(1)
        await wait_all_tasks_blocked()
        assert [actor.state.status for actor in actors] == [Status.RESTARTING, Status.RUNNING]
        slow = await core.create(sample_config("sleep", "1000"))
        await slow.ref.ask(Start())
    assert len(fakes.faults.called("driver.start")) == 3
    assert {record.state.status for record in fakes.containers.load()} == {Status.EXITED}
    assert not any(record.state.stopped_by_user for record in fakes.containers.load())


async def test_on_exit_detach_leaves_it_running_with_its_state_on_disk(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core(OnExit.DETACH) as core:
        actor = await core.create(sample_config("app"))
        await actor.ref.ask(Start())
    process = fakes.process(actor.config.id)
    assert (process.ended, process.signals) == (False, [])
    assert fakes.containers.records[actor.config.id].state == actor.state


@pytest.mark.parametrize("on_exit", [OnExit.REMOVE, OnExit.STOP])
async def test_a_start_under_way_when_the_block_is_left_leaves_no_process(
    fakes: Fakes, open_core: OpenCore, later: Later, clock: MockClock, on_exit: OnExit
) -> None:
    fakes.faults.delay("driver.start", 5)
    async with open_core(on_exit) as core:
        actor = await core.create(sample_config("app"))
        later(lambda: actor.ref.ask(Start()))
        await wait_all_tasks_blocked()
    assert all(process.ended for process in fakes.driver.processes.values())


async def test_leaving_is_bounded_whatever_hangs(
    fakes: Fakes, clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    began = trio.current_time()
    async with open_supervisor(fakes.ports()) as core:
        await core.create(sample_config(name="hanging"))
        fakes.faults.hold("containers.remove")
    assert trio.current_time() - began == pytest.approx(70)
    assert "not all containers have ended in 70 seconds, and are left: hanging" in caplog.text


async def test_closing_twice_is_closing_once(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        await _chain(core, "one", "two")
        await core.close(OnExit.REMOVE)
        assert not fakes.leftovers()
        with pytest.raises(ActorStopped, match="closing"):
            await core.create(sample_config())


# What leaves the block.


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), SystemExit(3), DriverError("mine")])
async def test_what_the_block_raises_leaves_unwrapped(fakes: Fakes, clock: MockClock, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        await _raise_inside(fakes, error)
    assert caught.value is error
    assert not fakes.leftovers()


async def _raise_inside(fakes: Fakes, error: BaseException) -> None:
    async with open_supervisor(fakes.ports()) as core:
        await core.create(sample_config(volumes=("/d",)))
        await core.start_all([view.id for view in core.views()])
        raise error


@pytest.mark.parametrize("moment", range(0, 60, 3))
async def test_cancellation_at_any_moment_leaves_nothing(fakes: Fakes, clock: MockClock, moment: int) -> None:
    async def live(cores: list[Supervisor]) -> None:
        async with open_supervisor(fakes.ports()) as core:
            cores.append(core)
            async with trio.open_nursery() as nursery:
                await _chain(core, "one", "two")
                nursery.start_soon(core.start_all, ["one", "two"])
                nursery.start_soon(core.create, sample_config("app", volumes=("/a", "/b")))
                await trio.sleep_forever()

    cores: list[Supervisor] = []
    with trio.fail_after(200), trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(live, cores)
            for _ in range(moment):
                await trio.lowlevel.checkpoint()
            scope.cancel()
    assert not fakes.leftovers()
    assert all(core.statistics() == {"containers": 0, "volumes": 0} | IDLE for core in cores)


async def test_a_supervisor_opened_where_all_is_cancelled_ends_at_once(fakes: Fakes, clock: MockClock) -> None:
    with trio.fail_after(5), trio.CancelScope() as scope:
        scope.cancel()
        async with open_supervisor(fakes.ports()):
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_volumes_outlive_the_containers_that_hold_them(
    fakes: Fakes, clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    fakes.faults.delay("volumes.remove", 3)
    fakes.faults.delay("driver.cleanup", 3)
    with trio.CancelScope() as scope:
        async with open_supervisor(fakes.ports()) as core:
            await _chain(core, "one", "two")
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert not fakes.leftovers()
    assert not caplog.records


async def test_a_crash_of_one_actor_leaves_the_others_and_the_block_alone(
    fakes: Fakes, open_core: OpenCore, clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_core(OnExit.STOP) as core:
        one = await core.create(sample_config(volumes=("/d",)))
        two = await core.create(sample_config())
        fakes.faults.fail("driver.start", ValueError("a bug"))
        with pytest.raises(ActorStopped):
            await one.ref.ask(Start())
        await two.ref.ask(Start())
        assert two.state.running
    assert "a bug" in caplog.text


def test_control_c_while_an_actor_works_ends_the_block_in_order() -> None:
    async def main() -> None:
        async with open_supervisor(fakes.ports()) as core:
            await _chain(core, "one", "two")
            fakes.driver.refuse = _interrupt
            await core.start_all(["one", "two"])
            await trio.sleep_forever()

    fakes = Fakes()
    with pytest.raises(KeyboardInterrupt):
        trio.run(main, clock=MockClock(autojump_threshold=0))
    assert not fakes.leftovers()


def _interrupt(config: object) -> bool:
    signal.raise_signal(signal.SIGINT)
    return False


# Reading.


async def test_a_beginning_that_two_have_is_refused(open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        identifiers = ["aa" + "0" * 62, "ab" + "0" * 62]
        for identifier in identifiers:
            await core.create(sample_config(id=ContainerId(identifier), name=f"c{identifier[:2]}"))
        assert core.get("aa").config.id == identifiers[0]
        with pytest.raises(Conflict, match="ambiguous identifier 'a': 2 containers begin so"):
            core.get("a")
        for unknown in ("", "x", "/"):
            with pytest.raises(NotFound):
                core.get(unknown)


async def test_volumes_of_an_earlier_engine_are_found_without_looking_twice(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core(OnExit.STOP) as core:
        old = await core.create(sample_config(volumes=("/a", "/b")))
        await old.ref.ask(Remove())
    async with open_core(OnExit.STOP) as core:
        await trio.sleep(7)
        views = core.volumes()
        assert [view.holders for view in views] == [(), ()]
        assert all(view.unheld_since - view.created == 7 * 10**9 for view in views)
        assert core.statistics()["volumes"] == 0, "what nobody touches costs no actor"
        fresh = await core.create(sample_config(volumes=("/c",)))
        assert len(core.volumes()) == 3
        for view in views:
            await core.remove_volume(view.id)
        assert [view.id for view in core.volumes()] == [fresh.config.mounts[0].volume]


async def test_views_are_snapshots(open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        actor = await core.create(sample_config(name="db"))
        before: Sequence[object] = core.views()
        await actor.ref.ask(Start())
        assert before == (core.views()[0].__class__(actor.config, before[0].state),)  # type: ignore[attr-defined]  # view
        assert repr(core).startswith("<Supervisor: {'containers': 1")
        assert (actor.view.name, actor.view.id) == ("db", actor.config.id)
