"""Making containers: all of it or nothing, whatever fails, whoever is cancelled, wherever the machine stops."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from bireme_actors import (
    ActorStopped,
    Conflict,
    InvalidConfig,
    NotFound,
    OnExit,
    Remove,
    Status,
    StorageError,
    Tmpfs,
    VolumesFrom,
    open_supervisor,
)
from bireme_actors.testing import Crash, Fakes, sample_config
from tests.actors.conftest import IDLE, Later, OpenCore

MAKING = "containers.create"
NONE = {"containers": 0, "volumes": 0} | IDLE


async def test_what_a_new_container_has(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        actor = await core.create(sample_config(name="db", volumes=("/n/m", "/n", "/x")))
        config = actor.config
        assert [mount.destination for mount in config.mounts] == ["/n", "/x", "/n/m"]
        assert len({mount.volume for mount in config.mounts}) == 3
        assert all(mount.owned and not mount.read_only for mount in config.mounts)
        assert fakes.containers.records[config.id].config == config
        assert set(fakes.volumes.placed) == {mount.volume for mount in config.mounts}
        assert core.get("db") is core.get(config.id) is core.get(config.id[:12]) is core.get("/db") is actor
        assert [view.id for view in core.views()] == [config.id]
        assert core.statistics() == {"containers": 1, "volumes": 3} | IDLE


async def test_sources_give_their_volumes_and_keep_them(open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        one = await core.create(sample_config(name="one", volumes=("/a", "/b")))
        two = await core.create(sample_config(name="two", volumes=("/b", "/c")))
        references = (VolumesFrom("one"), VolumesFrom(two.config.id[:10], read_only=True))
        user = await core.create(sample_config(volumes=("/a", "/d"), volumes_from=references))
        found = {mount.destination: mount for mount in user.config.mounts}
        assert user.config.volumes == ("/a", "/d"), "as asked for"
        assert found["/a"].volume == one.config.mounts[0].volume
        assert found["/b"].volume == two.config.mounts[0].volume, "the last source wins"
        assert [found[path].read_only for path in ("/a", "/b", "/c", "/d")] == [False, True, True, False]
        assert [found[path].owned for path in ("/a", "/b", "/c", "/d")] == [False, False, False, True]
        holders = {view.id: set(view.holders) for view in core.volumes()}
        assert holders[found["/a"].volume] == {one.config.id, user.config.id}
        assert holders[one.config.mounts[1].volume] == {one.config.id}


async def test_where_a_tmpfs_is_no_volume_is_and_nobody_shares_it(open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        source = await core.create(sample_config(name="source", volumes=("/a", "/b"), tmpfs=(Tmpfs("/m"),)))
        user = await core.create(
            sample_config(volumes=("/c", "/d"), volumes_from=(VolumesFrom("source"),), tmpfs=(Tmpfs("/b"), Tmpfs("/c")))
        )
        assert [mount.destination for mount in user.config.mounts] == ["/a", "/d"]
        assert user.config.volumes == ("/c", "/d"), "as asked for"
        holders = {view.id: view.holders for view in core.volumes()}
        assert holders[source.config.mounts[1].volume] == (source.config.id,)
        assert len(holders) == 3


async def test_all_of_it_is_made_in_one_go(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        await core.create(sample_config(volumes=("/data",)))
        assert [name for name, _ in fakes.faults.calls] == [MAKING]


async def test_nobody_knows_of_a_volume_before_its_container_is_there(
    fakes: Fakes, open_core: OpenCore, later: Later, clock: MockClock
) -> None:
    hold = fakes.faults.hold(MAKING)
    async with open_core() as core:
        making = later(lambda: core.create(sample_config(volumes=("/data",))))
        await hold.entered.wait()
        assert core.volumes() == ()
        hold.release()
        await wait_all_tasks_blocked()
        (view,) = core.volumes()
        assert view.holders == (making.result().config.id,)


async def test_what_fails_leaves_nothing(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        source = await core.create(sample_config(name="source", volumes=("/s",)))
        before = fakes.leftovers()
        config = sample_config(name="db", volumes=("/a", "/b"), volumes_from=(VolumesFrom("source"),))
        fakes.faults.fail(MAKING, StorageError("disk full"))
        with pytest.raises(StorageError, match="disk full"):
            await core.create(config)
        assert fakes.leftovers() == before
        assert core.statistics() == {"containers": 1, "volumes": 1} | IDLE
        (view,) = core.volumes()
        assert view.holders == (source.config.id,)
        assert [event.action for event in fakes.events.events if event.id == config.id] == []
        await core.create(config)


@pytest.mark.parametrize("how", ["delay", "hold"])
async def test_who_is_cancelled_while_making_leaves_nothing(
    fakes: Fakes, open_core: OpenCore, clock: MockClock, how: str
) -> None:
    async with open_core() as core:
        if how == "delay":
            fakes.faults.delay(MAKING, 10)
        else:
            fakes.faults.hold(MAKING)
        began = trio.current_time()
        with trio.move_on_after(1) as scope:
            await core.create(sample_config(name="db", volumes=("/a", "/b")))
        assert scope.cancelled_caught
        assert trio.current_time() - began < 2, "a copy that nobody wants is given up"
        assert not fakes.leftovers()
        assert core.statistics() == NONE
        assert not core.registry.has_name("db")


async def test_who_is_cancelled_at_any_moment_leaves_all_or_nothing(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    made = set()
    async with open_core() as core:
        for moment in range(40):
            before = len(core.views())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(core.create, sample_config(name=f"db{moment}", volumes=("/a",)))
                for _ in range(moment):
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
            made.add(len(core.views()) - before)
            assert len(fakes.containers.records) == len(fakes.volumes.placed) == len(core.views())
        assert made == {0, 1}, "the moments reach from before the first step to after the last"


async def test_undoing_goes_on_past_what_the_disk_refuses(
    fakes: Fakes, open_core: OpenCore, clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_core() as core:
        fakes.faults.fail(MAKING, StorageError("disk full"))
        fakes.faults.fail("containers.remove", StorageError("disk broken"))
        config = sample_config(name="db", volumes=("/a",))
        with pytest.raises(StorageError, match="disk full"):
            await core.create(config)
        assert "could not be undone whole: disk broken" in caplog.text
        assert len(fakes.faults.called("volumes.remove")) == 1


async def test_a_name_is_taken_from_the_first_moment_on(
    fakes: Fakes, open_core: OpenCore, later: Later, clock: MockClock
) -> None:
    fakes.faults.delay("containers.create", 1)
    async with open_core() as core:
        first = later(lambda: core.create(sample_config(name="db")))
        await wait_all_tasks_blocked()
        with pytest.raises(Conflict, match='name "/db" is already in use'):
            await core.create(sample_config(name="db"))
        with pytest.raises(NotFound):
            core.get("db")
        await trio.sleep(2)
        assert core.get("db") is first.result()


async def test_what_cannot_be_made_is_refused_before_anything_is(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core() as core:
        first = await core.create(sample_config(name="first"))
        calls = len(fakes.faults.calls)
        for config, kind, reason in (
            (sample_config(driver="lxc"), InvalidConfig, "unknown driver 'lxc'; known: native"),
            (sample_config(volumes_from=(VolumesFrom("nosuch"),)), NotFound, "No such container: nosuch"),
            (sample_config(name="self", volumes_from=(VolumesFrom("self"),)), NotFound, "No such container: self"),
            (sample_config(name="no name"), InvalidConfig, "Invalid container name"),
            (first.config, Conflict, "exists already"),
        ):
            with pytest.raises(kind, match=reason):
                await core.create(config)
        assert len(fakes.faults.calls) == calls
        assert core.statistics() == {"containers": 1, "volumes": 0} | IDLE


@pytest.mark.parametrize("on_exit", OnExit)
async def test_what_is_being_made_when_the_runtime_closes_is_given_up(
    fakes: Fakes, later: Later, clock: MockClock, on_exit: OnExit
) -> None:
    hold = fakes.faults.hold(MAKING)
    async with open_supervisor(fakes.ports(), on_exit=on_exit) as core:
        pending = [later(lambda: core.create(sample_config(volumes=("/a",)))) for _ in range(5)]
        await hold.entered.wait()
    assert not fakes.leftovers()
    await wait_all_tasks_blocked()
    assert [type(creation.error) for creation in pending] == [ActorStopped] * 5
    with pytest.raises(ActorStopped, match="the runtime is closing"):
        await core.create(sample_config())


async def test_undoing_leaves_the_volumes_of_a_source_that_has_gone_meanwhile(
    fakes: Fakes, open_core: OpenCore, later: Later, clock: MockClock
) -> None:
    fakes.faults.delay("containers.create", 5)
    async with open_core(OnExit.STOP) as core:
        source = await core.create(sample_config(name="source", volumes=("/s",)))
        fakes.faults.fail("containers.create", StorageError("disk full"))
        making = later(lambda: core.create(sample_config(volumes=("/own",), volumes_from=(VolumesFrom("source"),))))
        await wait_all_tasks_blocked()
        await source.ref.ask(Remove(volumes=False))
        await trio.sleep(6)
        assert isinstance(making.error, StorageError)
        (view,) = core.volumes()
        assert (view.id, view.holders) == (source.config.mounts[0].volume, ())
        assert [event.action for event in fakes.events.events if event.kind == "volume"] == ["create"]


async def test_a_bug_in_a_store_is_told_as_it_is_and_leaves_nothing(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core() as core:
        fakes.faults.fail("containers.create", ValueError("a bug"))
        with pytest.raises(ValueError, match="a bug"):
            await core.create(sample_config(volumes=("/a",)))
        assert not fakes.leftovers()


@pytest.mark.parametrize("after", [False, True])
async def test_where_the_machine_stops_a_durable_record_counts(fakes: Fakes, clock: MockClock, after: bool) -> None:
    fakes.faults.crash(MAKING, after=after)
    with pytest.raises((Crash, ActorStopped)):
        async with open_supervisor(fakes.ports()) as core:
            await core.create(sample_config(volumes=("/a", "/b")))
    fakes.faults.revive()
    recorded = {mount.volume for record in fakes.containers.load() for mount in record.config.mounts}
    assert set(fakes.volumes.placed) == recorded
    assert {record.state.status for record in fakes.containers.load()} <= {Status.CREATED}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", ["containers.save_state", "driver.cleanup", "volumes.remove", "containers.remove"])
async def test_a_removal_the_machine_stopped_in_is_finished_by_the_next_supervisor(
    fakes: Fakes, clock: MockClock, step: str, after: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_supervisor(fakes.ports(), on_exit=OnExit.DETACH) as core:
        actor = await core.create(sample_config(volumes=("/a", "/b")))
        fakes.faults.crash(step, after=after)
        with pytest.raises(ActorStopped):
            await actor.ref.ask(Remove(volumes=True))
    fakes.faults.revive()
    async with open_supervisor(fakes.ports(), on_exit=OnExit.DETACH) as core:
        for record in fakes.containers.load():
            core.adopt(record, None)
        await wait_all_tasks_blocked()
        begun = (step, after) != ("containers.save_state", False)
        assert len(core.views()) == (not begun), "what was not begun is as it was"
        assert not begun or not fakes.leftovers()
