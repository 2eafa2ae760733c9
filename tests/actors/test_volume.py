"""The volume actor by itself: populated once, before anybody attaches; removed when nobody holds it."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from bireme_actors import ActorStopped, Conflict, ContainerId, NotFound, StorageError, VolumeId, new_id
from bireme_actors import _messages as m
from bireme_actors._lifecycle import VolumeStatus
from bireme_actors._volume import VolumeActor
from bireme_actors.testing import Fakes, sample_config, virtual_time
from tests.actors.conftest import Later

ONE, TWO = ContainerId("one"), ContainerId("two")


def _new(fakes: Fakes, nursery: trio.Nursery, *, ready: bool = False) -> VolumeActor:
    actor = VolumeActor(VolumeId(new_id()), fakes.volumes, virtual_time, created=1 if ready else None)
    nursery.start_soon(actor.run)
    return actor


def _populate(container: ContainerId = ONE) -> m.Populate:
    return m.Populate(sample_config(id=container, name="db"), "/data")


async def test_attaching_waits_until_it_is_populated(
    fakes: Fakes, nursery: trio.Nursery, later: Later, clock: MockClock
) -> None:
    fakes.faults.delay("volumes.create", 5)
    actor = _new(fakes, nursery)
    populating = later(lambda: actor.ref.ask(_populate()))
    await wait_all_tasks_blocked()
    attaching = later(lambda: actor.ref.ask(m.Attach(TWO)))
    await trio.sleep(4)
    assert (populating.done, attaching.done, actor.status) == (False, False, VolumeStatus.POPULATING)
    await trio.sleep(2)
    assert (populating.error, attaching.error) == (None, None)
    assert actor.view.holders == (ONE, TWO)


async def test_it_is_populated_once(fakes: Fakes, nursery: trio.Nursery, clock: MockClock) -> None:
    actor = _new(fakes, nursery)
    await actor.ref.ask(_populate())
    with pytest.raises(Conflict, match="is ready: cannot populate it"):
        await actor.ref.ask(_populate(TWO))
    assert actor.view.holders == (ONE,)
    assert fakes.faults.called("volumes.create") == [actor.id]


async def test_a_failure_to_populate_fails_all_who_wait_and_ends_it(
    fakes: Fakes, nursery: trio.Nursery, later: Later, clock: MockClock
) -> None:
    fakes.faults.delay("volumes.create", 5)
    fakes.faults.fail("volumes.create", StorageError("disk full"))
    actor = _new(fakes, nursery)
    pending = [later(lambda: actor.ref.ask(_populate()))]
    await wait_all_tasks_blocked()
    pending.append(later(lambda: actor.ref.ask(m.Attach(TWO))))
    await trio.sleep(6)
    assert [type(asked.error) for asked in pending] == [StorageError] * 2
    assert actor.status is VolumeStatus.REMOVED
    with pytest.raises(ActorStopped):
        await actor.ref.ask(m.Attach(TWO))


async def test_its_maker_gives_up_a_copy_that_would_take_for_ever(
    fakes: Fakes, nursery: trio.Nursery, later: Later, clock: MockClock
) -> None:
    fakes.faults.hold("volumes.create")
    actor = _new(fakes, nursery)
    populating = later(lambda: actor.ref.ask(_populate()))
    await wait_all_tasks_blocked()
    assert await actor.ref.ask(m.Detach(ONE, True)) is True
    await wait_all_tasks_blocked()
    assert isinstance(populating.error, StorageError)
    assert not fakes.volumes.staged


async def test_letting_go_after_the_copy_removes_it(fakes: Fakes, nursery: trio.Nursery, clock: MockClock) -> None:
    actor = _new(fakes, nursery)
    await actor.ref.ask(_populate())
    assert await actor.ref.ask(m.Detach(ONE, True)) is True
    assert not fakes.volumes.staged


async def test_who_does_not_hold_it_lets_go_of_nothing(fakes: Fakes, nursery: trio.Nursery, clock: MockClock) -> None:
    actor = _new(fakes, nursery, ready=True)
    await actor.ref.ask(m.Attach(ONE))
    assert await actor.ref.ask(m.Detach(TWO, True)) is False
    assert actor.view.holders == (ONE,)
    assert actor.view.unheld_since == 0


async def test_a_container_that_mounts_it_twice_holds_it_once(
    fakes: Fakes, nursery: trio.Nursery, clock: MockClock
) -> None:
    actor = _new(fakes, nursery, ready=True)
    for _ in range(2):
        await actor.ref.ask(m.Attach(ONE))
    assert await actor.ref.ask(m.Detach(ONE, False)) is False
    assert actor.view.holders == ()
    assert actor.view.unheld_since == virtual_time()
    await actor.ref.ask(m.Attach(TWO))
    assert actor.view.unheld_since == 0


async def test_nobody_attaches_to_what_is_being_removed(
    fakes: Fakes, nursery: trio.Nursery, later: Later, clock: MockClock
) -> None:
    fakes.faults.delay("volumes.remove", 5)
    actor = _new(fakes, nursery, ready=True)
    removing = later(lambda: actor.ref.ask(m.RemoveVolume()))
    await wait_all_tasks_blocked()
    with pytest.raises(NotFound, match="is removing"):
        await actor.ref.ask(m.Attach(ONE))
    assert await actor.ref.ask(m.Detach(ONE, True)) is False
    await trio.sleep(6)
    assert removing.error is None


async def test_it_crashes_on_what_it_does_not_understand(fakes: Fakes, later: Later, clock: MockClock) -> None:
    actor = VolumeActor(VolumeId(new_id()), fakes.volumes, virtual_time, created=1)
    running = later(actor.run)
    with pytest.raises(ActorStopped):
        await actor.ref.ask(m.Start())
    await wait_all_tasks_blocked()
    assert isinstance(running.error, ExceptionGroup)
