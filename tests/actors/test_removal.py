"""Removing containers and volumes: what is refused, what goes along, what a disk that refuses leaves."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from bireme_actors import (
    ActorStopped,
    Conflict,
    ContainerActor,
    IllegalTransition,
    NotFound,
    Pause,
    Reconfigure,
    Remove,
    Start,
    Status,
    StorageError,
    Supervisor,
    VolumesFrom,
    WaitCondition,
)
from bireme_actors.testing import Fakes, sample_config
from tests.actors.conftest import AskLater, Later, OpenCore


async def _pair(core: Supervisor) -> tuple[ContainerActor, ContainerActor, str]:
    """A container with a volume, a second one that uses it, and the volume."""
    owner = await core.create(sample_config(name="owner", volumes=("/data",)))
    user = await core.create(sample_config(name="user", volumes_from=(VolumesFrom("owner"),)))
    return owner, user, owner.config.mounts[0].volume


# Containers.


async def test_what_runs_is_not_removed_but_by_force(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        actor = await core.create(sample_config())
        await actor.ref.ask(Start())
        with pytest.raises(Conflict, match=r"cannot remove a running container .* Stop the container before"):
            await actor.ref.ask(Remove())
        await actor.ref.ask(Pause())
        with pytest.raises(Conflict, match=r"cannot remove a paused container .* Unpause and then stop"):
            await actor.ref.ask(Remove())
        assert actor.state.status is Status.PAUSED
        await actor.ref.ask(Remove(force=True))
        assert not fakes.leftovers()


async def test_the_name_is_free_as_soon_as_the_removal_is_answered(open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        for _ in range(20):
            actor = await core.create(sample_config("app", name="db"))
            await actor.ref.ask(Start())
            await actor.ref.ask(Remove(force=True))
            with pytest.raises(NotFound, match="No such container: db"):
                core.get("db")
            assert not core.views()


async def test_the_name_is_free_as_soon_as_the_removal_is_seen(open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        for _ in range(20):
            actor = await core.create(sample_config("true", name="db", auto_remove=True))
            removed = actor.exits.watch(WaitCondition.REMOVED, actor.state)
            await actor.ref.ask(Start())
            await removed.wait()
            assert not core.registry.has_name("db")


async def test_all_who_remove_at_once_are_answered(
    fakes: Fakes, open_core: OpenCore, ask: AskLater, clock: MockClock
) -> None:
    fakes.faults.delay("containers.remove", 5)
    async with open_core() as core:
        actor = await core.create(sample_config())
        await actor.ref.ask(Start())
        pending = [ask(actor, Remove(force=True, volumes=bool(number % 2))) for number in range(6)]
        await trio.sleep(2)
        pending.append(ask(actor, Remove()))
        await trio.sleep(5)
        assert [asked.result() for asked in pending] == [None] * 7
        assert len(fakes.faults.called("containers.remove")) == 1


async def test_volumes_go_if_any_of_the_removals_says_so(
    fakes: Fakes, open_core: OpenCore, ask: AskLater, clock: MockClock
) -> None:
    async with open_core() as core:
        actor = await core.create(sample_config(volumes=("/data",)))
        await actor.ref.ask(Start())
        fakes.faults.delay("process.kill", 1)
        first = ask(actor, Remove(force=True, volumes=True))
        await wait_all_tasks_blocked()
        await actor.ref.ask(Remove(force=True, volumes=False))
        await wait_all_tasks_blocked()
        assert first.done
        assert not core.volumes()


async def test_an_abandoned_removal_goes_on(fakes: Fakes, open_core: OpenCore, ask: AskLater, clock: MockClock) -> None:
    fakes.faults.delay("containers.remove", 5)
    async with open_core() as core:
        actor = await core.create(sample_config())
        pending = ask(actor, Remove())
        await wait_all_tasks_blocked()
        pending.scope.cancel()
        await trio.sleep(6)
        assert not core.views()
        assert not fakes.leftovers()


@pytest.mark.parametrize("step", ["driver.cleanup", "volumes.remove", "containers.remove"])
async def test_a_removal_that_fails_leaves_a_dead_container_that_can_be_removed_again(
    fakes: Fakes, open_core: OpenCore, later: Later, clock: MockClock, step: str
) -> None:
    async with open_core() as core:
        actor = await core.create(sample_config(name="db", volumes=("/data",)))
        waiting = later(actor.exits.watch(WaitCondition.REMOVED, actor.state).wait)
        fakes.faults.fail(step, StorageError("disk broken"))
        with pytest.raises(StorageError, match="disk broken"):
            await actor.ref.ask(Remove(volumes=True))
        assert (actor.state.status, actor.state.error) == (Status.DEAD, "disk broken")
        assert not waiting.done
        with pytest.raises(Conflict, match="is dead: cannot start it"):
            await actor.ref.ask(Start())
        await actor.ref.ask(Remove(volumes=True))
        await wait_all_tasks_blocked()
        assert waiting.done
        assert not fakes.leftovers()


async def test_nothing_that_was_removed_comes_back(
    fakes: Fakes, open_core: OpenCore, ask: AskLater, clock: MockClock
) -> None:
    for operation in ("containers.update", "containers.save_state"):
        fakes.faults.delay(operation, 3)
    async with open_core() as core:
        actor = await core.create(sample_config())
        await actor.ref.ask(Start())
        fakes.process(actor.config.id).exit(1)
        change = ask(actor, Reconfigure(lambda config: replace(config, hostname="h")))
        await wait_all_tasks_blocked()
        await actor.ref.ask(Remove(force=True))
        await trio.sleep(20)
        assert change.done
        assert not fakes.leftovers()


async def test_what_is_being_removed_is_not_changed_nor_started(
    fakes: Fakes, open_core: OpenCore, ask: AskLater, clock: MockClock
) -> None:
    fakes.faults.delay("containers.remove", 5)
    async with open_core() as core:
        actor = await core.create(sample_config(name="db"))
        removal = ask(actor, Remove())
        await wait_all_tasks_blocked()
        with pytest.raises(Conflict, match="is removing: cannot start it"):
            await actor.ref.ask(Start())
        with pytest.raises(Conflict, match="cannot be changed any more"):
            await core.rename("db", "other")
        assert not core.registry.has_name("other")
        with pytest.raises(Conflict, match="already in use"):
            await core.create(sample_config(name="db"))
        await trio.sleep(6)
        assert removal.done
        await core.create(sample_config(name="db"))


# Volumes.


async def test_without_volumes_they_stay_and_are_held_by_nobody(open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        actor = await core.create(sample_config(volumes=("/data",)))
        await trio.sleep(5)
        await actor.ref.ask(Remove())
        (view,) = core.volumes()
        assert (view.holders, view.unheld_since - view.created) == ((), 5 * 10**9)
        await core.remove_volume(view.id)
        assert not core.volumes()


async def test_a_volume_goes_with_its_last_holder(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        owner, user, volume = await _pair(core)
        await owner.ref.ask(Remove(volumes=True))
        (view,) = core.volumes()
        assert (view.id, view.holders) == (volume, (user.config.id,))
        await user.ref.ask(Remove(volumes=True))
        assert not core.volumes()
        assert fakes.events.actions(volume) == ["create", "destroy"]


async def test_a_held_volume_is_not_removed(open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        owner, user, volume = await _pair(core)
        for _ in range(2):
            with pytest.raises(Conflict, match="volume is in use"):
                await core.remove_volume(volume)
            await owner.ref.ask(Remove()) if core.registry.has(owner.config.id) else await user.ref.ask(Start())
        await user.ref.ask(Remove(force=True))
        await core.remove_volume(volume)


async def test_an_unknown_or_removed_volume_is_not_found(open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        actor = await core.create(sample_config(volumes=("/data",)))
        volume = actor.config.mounts[0].volume
        await actor.ref.ask(Remove(volumes=True))
        for unknown in (volume, "nosuch"):
            with pytest.raises(NotFound, match=f"get {unknown}: no such volume"):
                await core.remove_volume(unknown)


async def test_of_two_who_remove_a_volume_one_does(
    fakes: Fakes, open_core: OpenCore, later: Later, clock: MockClock
) -> None:
    fakes.faults.delay("volumes.remove", 1)
    async with open_core() as core:
        actor = await core.create(sample_config(volumes=("/data",)))
        volume = actor.config.mounts[0].volume
        await actor.ref.ask(Remove())
        pending = [later(lambda: core.remove_volume(volume)) for _ in range(2)]
        await trio.sleep(3)
        assert sorted(type(asked.error).__name__ for asked in pending) == ["IllegalTransition", "NoneType"]


async def test_a_volume_the_disk_keeps_is_there_still(fakes: Fakes, open_core: OpenCore, clock: MockClock) -> None:
    async with open_core() as core:
        actor = await core.create(sample_config(volumes=("/data",)))
        volume = actor.config.mounts[0].volume
        await actor.ref.ask(Remove())
        fakes.faults.fail("volumes.remove", StorageError("disk broken"))
        with pytest.raises(StorageError, match="disk broken"):
            await core.remove_volume(volume)
        assert [view.id for view in core.volumes()] == [volume]
        await core.remove_volume(volume)


@pytest.mark.parametrize("moment", range(8))
async def test_who_comes_while_a_volume_goes_is_told_that_it_is_not_there(
    fakes: Fakes, open_core: OpenCore, later: Later, clock: MockClock, moment: int
) -> None:
    async with open_core() as core:
        owner = await core.create(sample_config(name="owner", volumes=("/data",)))
        kept = await core.create(sample_config(name="kept", volumes=("/data",)))
        await kept.ref.ask(Remove())
        hold = fakes.faults.hold("volumes.remove")
        fakes.faults.delay("containers.remove", 1)
        volume = kept.config.mounts[0].volume
        going = [later(lambda: core.remove_volume(volume)), later(lambda: owner.ref.ask(Remove(volumes=True)))]
        await wait_all_tasks_blocked()
        hold.release()
        for _ in range(moment):
            await trio.lowlevel.checkpoint()
        coming = [
            later(lambda: core.remove_volume(volume)),
            later(lambda: core.create(sample_config(volumes_from=(VolumesFrom("owner"),)))),
        ]
        await trio.sleep(2)
        assert [pending.error for pending in going] == [None, None]
        assert isinstance(coming[0].error, NotFound | IllegalTransition)
        assert isinstance(coming[1].error, NotFound)


async def test_an_abandoned_removal_of_a_volume_is_told_of_all_the_same(
    fakes: Fakes, open_core: OpenCore, later: Later, clock: MockClock
) -> None:
    fakes.faults.delay("volumes.remove", 1)
    async with open_core() as core:
        actor = await core.create(sample_config(volumes=("/data",)))
        volume = actor.config.mounts[0].volume
        await actor.ref.ask(Remove())
        removing = later(lambda: core.remove_volume(volume))
        await wait_all_tasks_blocked()
        removing.scope.cancel()
        await trio.sleep(2)
        assert fakes.events.actions(volume) == ["create", "destroy"]


@pytest.mark.parametrize("first", ["attach", "remove"])
async def test_the_last_holder_who_goes_and_the_newcomer_cannot_both_win(
    fakes: Fakes, open_core: OpenCore, later: Later, clock: MockClock, first: str
) -> None:
    async with open_core() as core:
        owner = await core.create(sample_config(name="owner", volumes=("/data",)))
        fakes.faults.delay("containers.create", 1)
        fakes.faults.delay("volumes.remove", 1)
        steps = {
            "attach": lambda: core.create(sample_config(volumes_from=(VolumesFrom("owner"),))),
            "remove": lambda: owner.ref.ask(Remove(volumes=True)),
        }
        pending = {}
        for name in sorted(steps, key=lambda name: name != first):
            pending[name] = later(steps[name])
            await wait_all_tasks_blocked()
        await trio.sleep(3)
        assert pending["remove"].error is None
        if first == "attach":
            user = pending["attach"].result()
            (view,) = core.volumes()
            assert view.holders == (user.config.id,)
        else:
            assert isinstance(pending["attach"].error, NotFound)
            assert "has just been removed with its container" in str(pending["attach"].error)
            assert not core.volumes()
            assert not fakes.leftovers()


async def test_a_crashed_container_keeps_its_name_and_its_volumes(
    fakes: Fakes, open_core: OpenCore, clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_core() as core:
        fragile = await core.create(sample_config(name="fragile", volumes=("/data",)))
        sound = await core.create(sample_config(name="sound"))
        fakes.faults.fail("driver.start", ValueError("a bug"))
        with pytest.raises(ActorStopped):
            await fragile.ref.ask(Start())
        await wait_all_tasks_blocked()
        assert "this is a bug in bireme" in caplog.text
        await sound.ref.ask(Start())
        assert sound.state.running
        with pytest.raises(NotFound):
            core.get("fragile")
        with pytest.raises(Conflict):
            await core.create(sample_config(name="fragile"))
        with pytest.raises(Conflict, match="volume is in use"):
            await core.remove_volume(fragile.config.mounts[0].volume)
        for leftover in (fakes.containers.records, fakes.volumes.placed):
            leftover.clear()
