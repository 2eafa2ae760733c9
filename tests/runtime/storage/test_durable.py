"""One pass for all who wait, one flush for all that need it."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from bireme import _files
from bireme import _syscalls as sys_
from bireme.storage import Disk, Layout, durable, open_disk
from bireme.storage.durable import Flush, Steps, perform
from bireme_actors import StorageError


class Gate:
    """A job that holds its worker thread until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def job(self) -> str:
        self.entered.set()
        assert self.opened.wait(30)
        return "through"

    async def wait_entered(self) -> None:
        await trio.to_thread.run_sync(self.entered.wait, 30)


@pytest.fixture
def flushes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is flushed, instead of doing it."""
    done: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: done.append("file"))
    monkeypatch.setattr(_files, "sync_directory", lambda path: done.append(path))
    monkeypatch.setattr(sys_, "syncfs", lambda fd: done.append("everything"))
    monkeypatch.setattr(durable, "_unwritten", lambda: 1 << 40)
    return done


async def _run_all(disk: Disk, *jobs: Any) -> None:
    async def run(job: Any) -> None:
        await disk.run(*job)

    async with trio.open_nursery() as nursery:
        for job in jobs:
            nursery.start_soon(run, job)


async def test_a_job_is_answered_and_its_failure_is_its_own() -> None:
    disk = Disk()
    assert await disk.run(int, "7") == 7
    with pytest.raises(ValueError, match="invalid literal"):
        await disk.run(int, "x")
    assert await disk.run(os.path.join, "a", "b") == "a/b"


async def test_all_that_wait_at_the_same_time_share_a_pass() -> None:
    disk, threads = Disk(), list[int]()
    await _run_all(disk, *[(lambda: threads.append(threading.get_ident()),)] * durable.LARGEST_PASS)
    assert (len(threads), len(set(threads)), disk.passes) == (durable.LARGEST_PASS, 1, 1)


async def test_of_very_many_few_wait_for_one_that_hangs() -> None:
    """Those who are in a pass with it, and those who are too few for another."""
    disk, held = Disk(), Gate()
    early = 100 - durable.LARGEST_PASS - (durable.LARGEST_PASS - 1)
    answered, all_early = list[int](), trio.Event()

    async def run(number: int) -> None:
        await (disk.run(held.job) if number == 99 else disk.run(int))
        answered.append(number)
        if len(answered) == early:
            all_early.set()

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(run, number)
        await held.wait_entered()
        with trio.fail_after(30):
            await all_early.wait()
        held.opened.set()
    assert disk.passes == -(-100 // durable.LARGEST_PASS)


async def test_while_a_pass_is_under_way_others_gather_and_full_ones_go_beside_it() -> None:
    disk = Disk()
    gates = [Gate() for _ in range(durable.LANES)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(disk.run, gates[0].job)
        await gates[0].wait_entered()
        for gate in gates[1:]:
            for _ in range(durable.LARGEST_PASS - 1):
                nursery.start_soon(disk.run, int)
            await trio.testing.wait_all_tasks_blocked()
            assert f"{durable.LARGEST_PASS - 1} jobs wait" in repr(disk)
            nursery.start_soon(disk.run, gate.job)
            await gate.wait_entered()
        for _ in range(50):
            nursery.start_soon(disk.run, int)
        await trio.testing.wait_all_tasks_blocked()
        assert f"50 jobs wait, {durable.LANES} passes under way" in repr(disk)
        for gate in gates:
            gate.opened.set()
    assert disk.passes == durable.LANES - (-50 // durable.LARGEST_PASS)


async def test_flushes_of_one_pass_are_made_together(flushes: list[str]) -> None:
    order: list[str] = []

    def job(name: str) -> Steps[str]:
        order.append(f"{name} writes")
        yield Flush(0, (name, "shared"))
        order.append(f"{name} goes on")
        return name

    disk = Disk()
    await _run_all(disk, (job, "a"), (job, "b"))
    assert order == ["a writes", "b writes", "a goes on", "b goes on"] or order == [
        "b writes",
        "a writes",
        "b goes on",
        "a goes on",
    ]
    assert flushes[:2] == ["file", "file"]
    assert sorted(flushes[2:]) == ["a", "b", "shared"]
    assert await disk.run(job, "c") == "c"


async def test_where_little_is_unwritten_all_share_one_flush_of_the_file_system(
    flushes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def job() -> Steps[None]:
        yield Flush(0, ("d",))

    jobs = [(job,)] * durable.LARGEST_PASS
    await _run_all(Disk(), *jobs)
    assert flushes == ["file"] * durable.LARGEST_PASS + ["d"]
    flushes.clear()
    monkeypatch.setattr(durable, "_unwritten", lambda: 0)
    await _run_all(Disk(), *jobs)
    assert flushes == ["everything"]


async def test_a_failed_flush_of_the_file_system_fails_all_who_share_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(sys_, "syncfs", fail)
    monkeypatch.setattr(durable, "_unwritten", lambda: 0)
    failed: list[int] = []

    def job() -> Steps[None]:
        yield Flush(0)

    async def ask(number: int) -> None:
        with pytest.raises(OSError, match="Input/output error"):
            await disk.run(job)
        failed.append(number)

    disk = Disk()
    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(ask, number)
    assert sorted(failed) == [0, 1, 2]


def test_what_the_system_has_not_written_can_be_told() -> None:
    assert durable._unwritten() >= 0


async def test_a_failed_flush_fails_whom_it_concerns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(durable, "_unwritten", lambda: 1 << 40)
    undone: list[str] = []

    def job(name: str, directory: str) -> Steps[str]:
        fd = os.open(tmp_path, os.O_RDONLY)
        try:
            yield Flush(fd, (directory,))
        except OSError:
            undone.append(name)
            raise
        finally:
            os.close(fd)
        return name

    disk = Disk()
    outcomes: dict[str, object] = {}

    async def ask(name: str, directory: str) -> None:
        try:
            outcomes[name] = await disk.run(job, name, directory)
        except OSError as error:
            outcomes[name] = type(error)

    await _run_all(disk, (int,))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, "good", str(tmp_path))
        nursery.start_soon(ask, "bad", str(tmp_path / "nothing"))
    assert outcomes == {"good": "good", "bad": FileNotFoundError}
    assert undone == ["bad"]


async def test_a_job_cancelled_while_it_waits_is_not_done_and_the_others_are() -> None:
    disk, done, gate = Disk(), list[str](), Gate()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(disk.run, gate.job)
        await gate.wait_entered()
        async with trio.open_nursery() as waiting:
            waiting.start_soon(disk.run, done.append, "cancelled")
            await trio.testing.wait_all_tasks_blocked()
            waiting.cancel_scope.cancel()
        nursery.start_soon(disk.run, done.append, "done")
        await trio.testing.wait_all_tasks_blocked()
        gate.opened.set()
    assert done == ["done"]


async def test_a_leader_that_is_cancelled_hands_the_lead_on() -> None:
    disk, done = Disk(), list[str]()
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            scope.cancel()
            nursery.start_soon(disk.run, done.append, "second")
            await disk.run(done.append, "first")
        assert scope.cancelled_caught
    await disk.run(done.append, "third")
    assert done == ["second", "third"]


async def test_a_job_that_has_begun_is_done_and_answered_whoever_is_cancelled() -> None:
    disk, gate, answers = Disk(), Gate(), list[str]()

    async def ask() -> None:
        answers.append(await disk.run(gate.job))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        nursery.start_soon(ask)
        await gate.wait_entered()
        nursery.cancel_scope.cancel()
        gate.opened.set()
    assert answers == ["through", "through"]


async def test_without_a_thread_each_is_told_and_nothing_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk()

    async def refuse(*arguments: object, **options: object) -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("can't start new thread")

    failures: list[str] = []

    async def ask() -> None:
        with pytest.raises(StorageError) as failure:
            await disk.run(int)
        failures.append(str(failure.value))

    with monkeypatch.context() as patch:
        patch.setattr(trio.to_thread, "run_sync", refuse)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            nursery.start_soon(ask)
    assert len(failures) == 2
    assert "can't start new thread" in failures[0]
    assert await disk.run(int) == 0


async def test_what_was_thrown_away_is_deleted_while_the_disk_is_open_or_before_it_is_closed(layout: Layout) -> None:
    for directory in layout.trash:
        os.makedirs(f"{directory}/left/by/an/earlier/engine")
    async with open_disk(layout) as disk:
        os.mkdir(f"{layout.trash[0]}/thrown")
        disk.trash.delete(f"{layout.trash[0]}/thrown")
    assert [os.listdir(directory) for directory in layout.trash] == [[], []]


async def test_closing_does_not_wait_for_ever(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    forever = threading.Event()
    monkeypatch.setattr(_files, "remove_tree", lambda path: forever.wait(30))
    monkeypatch.setattr(durable, "CLOSE_SECONDS", 0.0)
    os.mkdir(f"{layout.trash[0]}/large")
    try:
        async with open_disk(layout):
            pass
        assert os.listdir(layout.trash[0]) == ["large"]
    finally:
        forever.set()


def test_one_job_can_be_done_here_and_now(flushes: list[str]) -> None:
    def job() -> Steps[int]:
        yield Flush(0)
        yield Flush(0)
        return 5

    assert perform(job) == 5
    assert flushes == ["file", "file"]
