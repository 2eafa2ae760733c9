"""The volume actor by itself: held by any number of containers, removed when none holds it."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from bireme_actors import ActorStopped, Conflict, ContainerId, NotFound, StorageError, VolumeId, new_id
from bireme_actors import _messages as m
from bireme_actors._lifecycle import VolumeStatus
from bireme_actors._volume import VolumeActor
from bireme_actors.testing import Fakes, virtual_time
from tests.actors.conftest import Later

ONE, TWO = ContainerId("one"), ContainerId("two")


def _new(fakes: Fakes, nursery: trio.Nursery, *holders: ContainerId) -> VolumeActor:
    actor = VolumeActor(VolumeId(new_id()), fakes.volumes, virtual_time, created=1, holders=holders)
    fakes.volumes.placed[actor.id] = 1
    actor.sleep(lambda: nursery.start_soon(actor.run))
    return actor


async def test_it_has_no_task_before_somebody_asks(fakes: Fakes, nursery: trio.Nursery, clock: MockClock) -> None:
    actor = _new(fakes, nursery, ONE)
    await wait_all_tasks_blocked()
    assert not nursery.child_tasks
    assert actor.view.holders == (ONE,)
    await actor.ref.ask(m.Detach(ONE, False))
    assert len(nursery.child_tasks) == 1
    assert not actor.view.holders


async def test_the_last_who_lets_go_has_it_removed(fakes: Fakes, nursery: trio.Nursery, clock: MockClock) -> None:
    actor = _new(fakes, nursery, ONE, TWO)
    assert await actor.ref.ask(m.Detach(ONE, True)) is False
    assert actor.id in fakes.volumes.placed
    assert await actor.ref.ask(m.Detach(TWO, True)) is True
    assert actor.id not in fakes.volumes.placed
    assert actor.status is VolumeStatus.REMOVED
    with pytest.raises(ActorStopped):
        await actor.ref.ask(m.Attach(ONE))


async def test_what_the_disk_refuses_to_remove_stays_and_can_be_removed_later(
    fakes: Fakes, nursery: trio.Nursery, clock: MockClock
) -> None:
    fakes.faults.fail("volumes.remove", StorageError("disk full"))
    actor = _new(fakes, nursery)
    with pytest.raises(StorageError, match="disk full"):
        await actor.ref.ask(m.RemoveVolume())
    assert actor.status is VolumeStatus.READY
    await actor.ref.ask(m.RemoveVolume())
    assert not fakes.volumes.placed


async def test_nobody_removes_what_is_held(fakes: Fakes, nursery: trio.Nursery, clock: MockClock) -> None:
    actor = _new(fakes, nursery, ONE)
    with pytest.raises(Conflict, match=r"volume is in use - \[one\]"):
        await actor.ref.ask(m.RemoveVolume())
    assert actor.id in fakes.volumes.placed


async def test_who_does_not_hold_it_lets_go_of_nothing(fakes: Fakes, nursery: trio.Nursery, clock: MockClock) -> None:
    actor = _new(fakes, nursery)
    await actor.ref.ask(m.Attach(ONE))
    assert await actor.ref.ask(m.Detach(TWO, True)) is False
    assert actor.view.holders == (ONE,)
    assert actor.view.unheld_since == 0


async def test_a_container_that_mounts_it_twice_holds_it_once(
    fakes: Fakes, nursery: trio.Nursery, clock: MockClock
) -> None:
    actor = _new(fakes, nursery)
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
    actor = _new(fakes, nursery)
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
