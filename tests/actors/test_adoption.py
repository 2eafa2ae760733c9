"""Taking in what an earlier engine has left: by what is on disk and what runs, in every state."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from bireme_actors import (
    Conflict,
    ContainerRecord,
    ContainerState,
    InvalidConfig,
    Mount,
    OnExit,
    Pause,
    Remove,
    Restart,
    RestartPolicy,
    Start,
    Status,
    Stop,
    Supervisor,
    VolumeId,
    VolumesFrom,
    WaitCondition,
    new_id,
    open_supervisor,
)
from bireme_actors._adoption import LOST_CODE
from bireme_actors.testing import Fakes, sample_config
from tests.actors.conftest import Later, OpenCore


async def _adopt_all(core: Supervisor, fakes: Fakes) -> None:
    for record in fakes.containers.load():
        core.adopt(record, await fakes.driver.adopt(record.config))


async def test_what_runs_goes_on_and_its_exit_is_told(
    fakes: Fakes, open_core: OpenCore, later: Later, clock: MockClock
) -> None:
    async with open_core(OnExit.DETACH) as core:
        actor = await core.create(sample_config("app", name="db", volumes=("/d",)))
        user = await core.create(sample_config("app", name="user", volumes_from=(VolumesFrom("db"),)))
        await core.start_all(["db", "user"])
    async with open_core(OnExit.STOP) as core:
        await _adopt_all(core, fakes)
        adopted = core.get("db")
        assert adopted.view == actor.view
        (view,) = core.volumes()
        assert set(view.holders) == {actor.config.id, user.config.id}
        process = fakes.process(actor.config.id)
        waiting = later(adopted.exits.watch(WaitCondition.NOT_RUNNING, adopted.state).wait)
        process.output.feed(b"still here")
        await wait_all_tasks_blocked()
        process.exit(9)
        await wait_all_tasks_blocked()
        assert waiting.result() == 9
        assert fakes.logs.open_log(actor.config.id).output() == b"still here"
        assert fakes.events.actions(actor.config.id) == ["create", "start", "die"]
        await adopted.ref.ask(Restart(15, 10))


async def test_what_was_paused_is_paused_and_can_be_stopped(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core(OnExit.DETACH) as core:
        actor = await core.create(sample_config("app", name="db"))
        await actor.ref.ask(Start())
        await actor.ref.ask(Pause())
    async with open_core(OnExit.STOP) as core:
        await _adopt_all(core, fakes)
        adopted = core.get("db")
        assert adopted.state.status is Status.PAUSED
        with trio.fail_after(5):
            await adopted.ref.ask(Stop(15, 10))


async def test_an_exit_nobody_has_seen_is_told_now(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    async with open_core(OnExit.DETACH) as core:
        actor = await core.create(sample_config("app", name="db", auto_remove=True))
        await actor.ref.ask(Start())
    fakes.process(actor.config.id).exit(5)
    async with open_core(OnExit.STOP) as core:
        await _adopt_all(core, fakes)
        adopted = core.get("db")
        removed = adopted.exits.watch(WaitCondition.REMOVED, adopted.state)
        assert await removed.wait() == 5
        assert not core.views()


async def test_an_exit_that_was_told_is_not_told_again(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    async with open_core(OnExit.DETACH) as core:
        actor = await core.create(sample_config("app", name="db"))
        await actor.ref.ask(Start())
        fakes.process(actor.config.id).exit(5)
        await wait_all_tasks_blocked()
    async with open_core(OnExit.STOP) as core:
        await _adopt_all(core, fakes)
        adopted = core.get("db")
        await wait_all_tasks_blocked()
        assert adopted.state == actor.state
        assert await adopted.exits.watch(WaitCondition.NOT_RUNNING, adopted.state).wait() == 5
        assert fakes.events.actions(actor.config.id).count("die") == 1


async def test_a_start_the_record_does_not_know_of_is_found(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core(OnExit.DETACH) as core:
        actor = await core.create(sample_config("app", name="db"))
        await actor.ref.ask(Start())
    fakes.containers.records[actor.config.id] = ContainerRecord(actor.config, ContainerState())
    async with open_core(OnExit.STOP) as core:
        await _adopt_all(core, fakes)
        state = core.get("db").state
        assert (state.status, state.pid) == (Status.RUNNING, actor.state.pid)


async def test_what_was_lost_with_the_machine_says_so(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    async with open_core(OnExit.DETACH) as core:
        actor = await core.create(sample_config("app", name="db", restart=RestartPolicy(name="always")))
        await actor.ref.ask(Start())
    fakes.driver.lose_all()
    async with open_core(OnExit.STOP) as core:
        await _adopt_all(core, fakes)
        adopted = core.get("db")
        assert (adopted.state.status, adopted.state.exit_code, adopted.state.pid) == (Status.EXITED, LOST_CODE, 0)
        assert "not known" in adopted.state.error
        assert await adopted.exits.watch(WaitCondition.NOT_RUNNING, adopted.state).wait() == LOST_CODE
        await trio.sleep(100)
        assert adopted.state.status is Status.EXITED, "whether it runs again is its restorer's to say"
        await adopted.ref.ask(Start())


@pytest.mark.parametrize(
    ("status", "finished", "after"),
    [
        (Status.CREATED, 0, Status.CREATED),
        (Status.STARTING, 0, Status.CREATED),
        (Status.STARTING, 7, Status.EXITED),
        (Status.RUNNING, 0, Status.EXITED),
        (Status.PAUSED, 0, Status.EXITED),
        (Status.STOPPING, 0, Status.EXITED),
        (Status.RESTARTING, 7, Status.EXITED),
        (Status.EXITED, 7, Status.EXITED),
        (Status.REMOVING, 7, None),
        (Status.REMOVED, 7, None),
        (Status.DEAD, 7, None),
    ],
)
async def test_every_state_on_disk_without_a_process(
    fakes: Fakes, open_core: OpenCore, clock: MockClock, status: Status, finished: int, after: Status | None
) -> None:
    async with open_core(OnExit.STOP) as core:
        core.adopt(ContainerRecord(sample_config(name="db"), ContainerState(status=status, finished=finished)), None)
        await wait_all_tasks_blocked()
        assert [view.state.status for view in core.views()] == ([after] if after else [])


async def test_what_was_to_be_removed_at_its_exit_is_removed_now(
    fakes: Fakes, open_core: OpenCore, clock: MockClock
) -> None:
    async with open_core(OnExit.STOP) as core:
        for status in (Status.RUNNING, Status.EXITED, Status.CREATED):
            config = sample_config(name=str(status), auto_remove=True)
            core.adopt(ContainerRecord(config, ContainerState(status=status, finished=1)), None)
        await wait_all_tasks_blocked()
        assert [view.name for view in core.views()] == ["created"]


async def test_what_was_adopted_is_stopped_not_removed(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    async with open_core(OnExit.DETACH) as core:
        await core.create(sample_config("app", name="old", volumes=("/d",)))
        await core.start_all(["old"])
    async with open_supervisor(fakes.ports(), on_exit=OnExit.REMOVE) as core:
        await _adopt_all(core, fakes)
        await core.create(sample_config("app", name="new", volumes=("/d",)))
        await core.start_all(["new"])
    (record,) = fakes.containers.load()
    assert (record.config.name, record.state.status, record.state.exit_code) == ("old", Status.EXITED, 143)
    assert list(fakes.volumes.placed) == [record.config.mounts[0].volume]


async def test_records_are_the_truth_about_who_holds_what(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    volume = VolumeId(new_id())
    async with open_core(OnExit.STOP) as core:
        for name in ("one", "two"):
            config = sample_config(name=name, mounts=(Mount(volume, "/d", owned=name == "one"),))
            core.adopt(ContainerRecord(config, ContainerState()), None)
        (view,) = core.volumes()
        assert view.holders == tuple(actor.config.id for actor in core.registry)
        await core.get("one").ref.ask(Remove(volumes=True))
        assert len(core.volumes()) == 1
        await core.get("two").ref.ask(Remove(volumes=True))
        assert not core.volumes()


async def test_what_cannot_be_taken_in_leaves_no_trace(open_core: OpenCore, clock: MockClock) -> None:
    async with open_core(OnExit.STOP) as core:
        core.adopt(ContainerRecord(sample_config(name="db"), ContainerState()), None)
        with pytest.raises(Conflict):
            core.adopt(ContainerRecord(sample_config(name="db", volumes=("/d",)), ContainerState()), None)
        with pytest.raises(InvalidConfig, match="needs the driver 'lxc'"):
            core.adopt(ContainerRecord(sample_config(name="other", driver="lxc"), ContainerState()), None)
        assert len(core.views()) == 1
        assert not core.registry.has_name("other")
