"""The fakes' own habits, on which the other tests stand: faults, and what a fake process does."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from bireme_actors import CommandNotFound, DriverError, NotFound, ProcessSpec
from bireme_actors.testing import EPOCH, Crash, FakeProcess, Fakes, Faults, sample_config, virtual_time
from tests.actors.conftest import Later


async def test_an_operation_has_its_effect_and_is_listed(clock: MockClock) -> None:
    faults, effects = Faults(), list[int]()
    await faults.perform("store.write", "x", lambda: effects.append(1))
    assert (effects, faults.calls, faults.called("store.write")) == ([1], [("store.write", "x")], ["x"])


async def test_a_failure_has_no_effect_and_is_over_after_its_times(clock: MockClock) -> None:
    faults, effects = Faults(), list[int]()
    faults.fail("store.write", DriverError("no"), times=2)
    for _ in range(2):
        with pytest.raises(DriverError):
            await faults.perform("store.write", "x", lambda: effects.append(1))
    await faults.perform("store.write", "x", lambda: effects.append(1))
    assert effects == [1]


async def test_a_delay_takes_its_time_and_a_cancelled_one_has_no_effect(clock: MockClock) -> None:
    faults, effects = Faults(), list[int]()
    faults.delay("store.write", 5)
    with trio.move_on_after(4):
        await faults.perform("store.write", "x", lambda: effects.append(1))
    assert not effects
    await faults.perform("store.write", "x", lambda: effects.append(1))
    assert (effects, trio.current_time()) == ([1], 9)


async def test_a_hold_tells_when_it_is_entered_and_lets_go(later: Later, clock: MockClock) -> None:
    faults = Faults()
    hold = faults.hold("store.write")
    writing = later(lambda: faults.perform("store.write", "x", lambda: None))
    await hold.entered.wait()
    assert not writing.done
    hold.release()
    await wait_all_tasks_blocked()
    assert writing.done


@pytest.mark.parametrize("after", [False, True])
async def test_after_a_crash_nothing_has_an_effect_until_revived(clock: MockClock, after: bool) -> None:
    faults, effects = Faults(), list[str]()
    faults.crash("store.write", after=after)
    for operation in ("store.write", "store.read"):
        with pytest.raises(Crash):
            await faults.perform(operation, "x", lambda operation=operation: effects.append(operation))  # type: ignore[misc]  # bound
    assert effects == (["store.write"] if after else [])
    faults.revive()
    await faults.perform("store.read", "x", lambda: effects.append("again"))
    assert effects[-1] == "again"


async def test_wall_clock_time_goes_as_trios_does(clock: MockClock) -> None:
    assert virtual_time() == EPOCH
    await trio.sleep(1.5)
    assert virtual_time() == EPOCH + 1_500_000_000


async def test_a_process_ends_by_itself_when_its_time_is_over(clock: MockClock) -> None:
    fakes = Fakes()
    process = await fakes.driver.start(sample_config("sh", "-c", "echo hi; sleep 30; exit 3"))
    assert await process.output.receive_some() == b"hi\n"
    assert await process.output.receive_some() == b""
    assert await process.wait() == 3
    assert trio.current_time() == 30


async def test_signals_reach_a_frozen_process_when_it_is_thawed(clock: MockClock) -> None:
    process = FakeProcess(ProcessSpec(args=("app",)), 7, virtual_time, Faults())
    await process.set_frozen(True)
    await process.kill(15)
    assert not process.ended
    await process.set_frozen(False)
    assert await process.wait() == 143
    assert repr(process) == "<FakeProcess 7 app: exited 143>"


async def test_the_fake_shell_knows_what_it_knows(clock: MockClock) -> None:
    with pytest.raises(CommandNotFound, match="rm -rf"):
        await Fakes().driver.start(sample_config("sh", "-c", "rm -rf /"))


def test_who_never_ran_has_no_process() -> None:
    with pytest.raises(NotFound):
        Fakes().process("nosuch")
