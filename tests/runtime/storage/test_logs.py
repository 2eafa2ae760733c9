"""Output is kept byte for byte and followed by anyone at their own pace."""

from __future__ import annotations

import gc
import io
import json
import logging
import os
import random
import subprocess
import sys
import tracemalloc
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from bireme.storage import ContainerLog, JsonLogs, Layout, LogEntry, Position, _log_lines, logs
from bireme_actors import ContainerId, new_id
from tests.runtime.storage._stores import read, write


class Clock:
    """Wall-clock time that only moves when it is told to."""

    now = 1000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "log.jsonl")


@pytest.fixture
def log(path: str, clock: Clock) -> ContainerLog:
    return ContainerLog(path, "c", clock)


async def collect(log: ContainerLog, **options: Any) -> bytes:
    options.setdefault("follow", False)
    async with aclosing(log.read(**options)) as entries:
        return b"".join([entry.data async for entry in entries])


# Kept.


@given(st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.binary(min_size=1, max_size=50)), max_size=20))
@settings(max_examples=100)
def test_every_entry_is_read_as_it_was_written(entries: list[tuple[str, bytes]]) -> None:
    written = [LogEntry(stream, number, data) for number, (stream, data) in enumerate(entries)]
    assert _log_lines.decode(b"".join(_log_lines.Line.of(entry) for entry in written)) == written


async def test_the_file_is_one_json_object_a_line(log: ContainerLog, path: str, clock: Clock) -> None:
    log.append("stdout", b"hi\n")
    clock.now = 1001
    log.append("stderr", b"\xff\x00")
    lines = [json.loads(line) for line in read(path).splitlines()]
    assert lines == [
        {"time": 1000, "stream": "stdout", "data": "hi\n"},
        {"time": 1001, "stream": "stderr", "base64": "/wA="},
    ]


def test_the_disk_is_not_asked_before_there_is_output(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", lambda path: pytest.fail(f"{path} is looked for"))
        log = ContainerLog(path, "c")
    assert log.position() == Position(0, 0, 0)


def test_nothing_is_made_before_there_is_output(log: ContainerLog, path: str) -> None:
    log.append("stdout", b"")
    log.end()
    log.close()
    assert not os.path.exists(path)


async def test_after_its_end_another_process_finds_all_of_it(log: ContainerLog, path: str) -> None:
    for number in range(1000):
        log.append("stdout", b"%d\n" % number)
    log.end()
    count = "import sys, json; print(sum(json.loads(line)['data'].count('\\n') for line in open(sys.argv[1])))"
    done = await trio.run_process([sys.executable, "-c", count, path], capture_stdout=True)
    assert done.stdout == b"1000\n"


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_later_engine_goes_on_after_what_is_there(log: ContainerLog, path: str, at_once: bool) -> None:
    log.append("stdout", b"first\n")
    log.end()
    later = ContainerLog(path, "c")
    assert at_once or await collect(later) == b"first\n"
    later.append("stdout", b"second\n")
    assert await collect(later) == b"first\nsecond\n"
    assert await collect(ContainerLog(path, "c")) == b"first\nsecond\n"


@pytest.mark.parametrize("torn", [b'{"time":1,"stre', b'{"time":1,"stream":"stdout","data":"x"}', b"\0\0\0"])
async def test_a_line_cut_short_by_a_crash_spoils_no_other(log: ContainerLog, path: str, torn: bytes) -> None:
    log.append("stdout", b"first\n")
    write(path, read(path) + torn)
    later = ContainerLog(path, "c")
    assert (await collect(later)).replace(b"x", b"") == b"first\n"
    later.append("stdout", b"second\n")
    assert (await collect(later)).replace(b"x", b"") == b"first\nsecond\n"
    assert (await collect(ContainerLog(path, "c"))).replace(b"x", b"") == b"first\nsecond\n"


async def test_a_full_disk_loses_output_not_work(
    log: ContainerLog, path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log.append("stdout", b"kept\n")
    real, room = os.write, [5]

    def full(fd: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        taken, room[0] = room[0], 0
        return real(fd, data[:taken])

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(os, "write", full)
        for _ in range(3):
            log.append("stdout", b"lost\n")
    assert len(caplog.records) == 1
    assert "cannot keep the output of container c: No space left on device; free some space" in caplog.text
    log.append("stdout", b"again\n")
    log.end()
    assert await collect(ContainerLog(path, "c")) == b"kept\nagain\n"


async def test_on_a_full_disk_who_follows_still_sees_everything(
    log: ContainerLog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*arguments: object) -> int:
        raise OSError(28, "No space left on device")

    start = log.position()
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        log.append("stdout", b"seen ")
        log.append("stdout", b"all the same")
        log.end()
    assert await collect(log, start=start, follow=True) == b"seen all the same"


# Followed.


async def test_a_follower_of_what_has_not_started_sees_the_whole_next_run_and_no_more(log: ContainerLog) -> None:
    log.append("stdout", b"before ")
    log.end()
    start = log.position()
    log.append("stdout", b"a")
    log.append("stdout", b"b")
    log.end()
    log.append("stdout", b"the run after")
    log.end()
    assert await collect(log, start=start, follow=True) == b"ab"
    assert await collect(log, start=start) == b"abthe run after"


async def test_a_run_without_output_ends_its_followers(log: ContainerLog) -> None:
    start, ended = log.position(), []

    async def follow() -> None:
        ended.append(await collect(log, start=start, follow=True))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow)
        await trio.testing.wait_all_tasks_blocked()
        assert ended == []
        log.end()
    assert ended == [b""]


async def test_the_place_is_that_of_the_call_not_of_the_first_step(log: ContainerLog) -> None:
    log.append("stdout", b"old ")
    reading, following = log.read(follow=False), log.read(follow=True)
    log.append("stdout", b"new ")
    log.end()
    log.append("stdout", b"next run")
    async with aclosing(reading), aclosing(following):
        assert b"".join([entry.data async for entry in reading]) == b"old "
        assert b"".join([entry.data async for entry in following]) == b"old new "


async def test_followers_of_any_pace_miss_nothing_and_hold_up_nobody(log: ContainerLog) -> None:
    chunk, seen = b"x" * 65536, dict[int, bytes]()

    async def follow(pace: int) -> None:
        digest = bytearray()
        async with aclosing(log.read(follow=True)) as entries:
            async for entry in entries:
                digest += entry.data[:1]
                for _ in range(pace):
                    await trio.lowlevel.checkpoint()
        seen[pace] = bytes(digest)

    async with trio.open_nursery() as nursery:
        for pace in (0, 1, 7, 100):
            nursery.start_soon(follow, pace)
        await trio.testing.wait_all_tasks_blocked()
        for number in range(200):
            log.append("stdout", b"%d" % (number % 10) + chunk)
            if number % 3 == 0:
                await trio.lowlevel.checkpoint()
        log.end()
    assert seen == dict.fromkeys((0, 1, 7, 100), b"0123456789" * 20)


@pytest.mark.parametrize("seed", range(60))
async def test_what_a_reader_gets_does_not_depend_on_when_it_reads(log: ContainerLog, seed: int) -> None:
    """Random runs, random readers: each gets exactly what lies between its place and the end of its run."""
    dice = random.Random(seed)
    got: dict[int, bytes] = {}
    due: dict[int, bytes] = {}

    async def follow(reader: int, start: Position) -> None:
        got[reader] = await collect(log, start=start, follow=True)

    async with trio.open_nursery() as nursery:
        for run in range(dice.randrange(1, 5)):
            written, places = b"", [(log.position(), 0)]
            for _ in range(dice.randrange(8)):
                data = bytes([dice.randrange(256)]) * dice.choice([1, 10, 5000, 40000])
                log.append("stdout", data)
                written += data
                places.append((log.position(), len(written)))
                if dice.random() < 0.3:
                    await trio.lowlevel.checkpoint()
            late = dice.random() < 0.5
            if late:
                log.end()
            for start, offset in dice.choices(places, k=3):
                reader = len(due)
                due[reader] = written[offset:]
                nursery.start_soon(follow, reader, start, name=f"reader {reader} of run {run}")
                if dice.random() < 0.3:
                    await trio.lowlevel.checkpoint()
            if not late:
                log.end()
    assert got == due


async def test_closing_ends_followers_and_keeps_the_output_of_whom_still_has_the_log(path: str, tmp_path: Path) -> None:
    log = ContainerLog(path, "c")
    start = log.position()
    for number in range(100):
        log.append("stdout", b"%02d" % number + b"x" * 4998)
    log.end()
    log.close()
    os.unlink(path)
    log.append("stdout", b"too late")
    assert len(await collect(log, start=start, follow=True)) == 500_000
    assert not os.listdir(tmp_path)


async def test_a_reader_that_leaves_in_the_middle_leaves_nothing(log: ContainerLog) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(100):
        log.append("stdout", b"x" * 5000)
    async with aclosing(log.read(follow=True)) as entries:
        await anext(entries)
    with trio.move_on_after(0) as scope:
        await collect(log, follow=True)
    assert scope.cancelled_caught
    log.end()
    assert "0 read" in repr(log)
    assert len(os.listdir("/proc/self/fd")) == descriptors


async def test_no_descriptor_outlives_a_log(layout: Layout) -> None:
    gc.collect()  # what earlier tests have left to it
    descriptors = len(os.listdir("/proc/self/fd"))
    store = JsonLogs(layout)
    containers = [ContainerId(new_id()) for _ in range(10)]
    for container in containers:
        os.mkdir(layout.container(container))
        store.open_log(container).append("stdout", b"x")
        assert store.open_log(container) is store.open_log(container)
        store.close_log(container)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == descriptors


# Chosen.


async def test_times_choose_entries_inclusively(log: ContainerLog, clock: Clock) -> None:
    for clock.now in (10, 20, 30, 40):
        log.append("stdout", b"%d " % clock.now)
    assert await collect(log, since=20, until=30) == b"20 30 "
    assert await collect(log, since=21) == b"30 40 "
    assert await collect(log, until=9) == b""


async def test_following_ends_when_the_time_has_come(log: ContainerLog, clock: Clock, autojump_clock: Any) -> None:
    clock.now = 10**9
    log.append("stdout", b"x")
    begun = trio.current_time()
    assert await collect(log, follow=True, until=3 * 10**9) == b"x"
    assert trio.current_time() - begun == pytest.approx(2)


TEXT = [("stdout", b"1\n2\n3"), ("stderr", b"e1\ne2\n"), ("stdout", b"3\n4\n"), ("stdout", b"5\n6")]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (0, b""), (1, b"6"), (2, b"5\n6"), (3, b"4\n5\n6"), (4, b"3\n4\n5\n6"), (5, b"e2\n3\n4\n5\n6"),
        (6, b"3e1\ne2\n3\n4\n5\n6"), (7, b"2\n3e1\ne2\n3\n4\n5\n6"), (8, b"1\n2\n3e1\ne2\n3\n4\n5\n6"),
        (100, b"1\n2\n3e1\ne2\n3\n4\n5\n6"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("reopened", [False, True])
async def test_a_tail_counts_lines_not_entries(path: str, lines: int, expected: bytes, reopened: bool) -> None:
    log = ContainerLog(path, "c")
    for stream, data in TEXT:
        log.append(stream, data)
    log = ContainerLog(path, "c") if reopened else log
    assert await collect(log, tail=lines) == expected


@given(
    st.lists(st.lists(st.binary(max_size=5), max_size=6).map(b"\n".join), max_size=10),
    st.integers(1, 30),
    st.integers(1, 40),
)
@settings(max_examples=200)
def test_any_tail_is_the_last_lines(tmp_path_factory: Any, pieces: list[bytes], lines: int, block: int) -> None:
    path = tmp_path_factory.mktemp("tail") / "log"
    path.write_bytes(b"".join(_log_lines.Line.of(LogEntry("stdout", 1, piece)) for piece in pieces if piece))
    whole = b"".join(pieces)
    fd = os.open(path, os.O_RDONLY)
    before, _log_lines._BLOCK = _log_lines._BLOCK, block
    try:
        offset, cut = _log_lines.find_tail(partial(os.pread, fd), 0, path.stat().st_size, lines)
    finally:
        _log_lines._BLOCK = before
        os.close(fd)
    found = b"".join(entry.data for entry in _log_lines.decode(path.read_bytes()[offset:]))[cut:]
    assert found == b"".join(io.BytesIO(whole).readlines()[-lines:])


async def test_a_tail_is_followed_on(log: ContainerLog) -> None:
    for number in range(5):
        log.append("stdout", b"%d\n" % number)
    following = log.read(follow=True, tail=2)
    log.append("stdout", b"new\n")
    log.end()
    async with aclosing(following):
        assert b"".join([entry.data async for entry in following]) == b"3\n4\nnew\n"
    nothing = log.read(follow=True, tail=0)
    log.append("stdout", b"newer\n")
    log.end()
    async with aclosing(nothing):
        assert b"".join([entry.data async for entry in nothing]) == b"newer\n"


# A lot.


def _fill(path: str, lines: int, text: bytes) -> None:
    line = _log_lines.Line.of(LogEntry("stdout", 1, text))
    with open(path, "wb") as file:
        file.writelines(line * 1000 for _ in range(lines // 1000))


async def _count(log: ContainerLog, **options: Any) -> int:
    count = 0
    async with aclosing(log.read(follow=False, **options)) as entries:
        async for _ in entries:
            count += 1
    return count


async def test_a_million_lines_are_read(path: str) -> None:
    _fill(path, 1_000_000, b"one of a million lines\n")
    log = ContainerLog(path, "c")
    assert await _count(log) == 1_000_000
    assert await _count(log, tail=10) == 10
    assert await _count(log, tail=999_999) == 999_999


async def test_reading_takes_little_memory(path: str) -> None:
    _fill(path, 100_000, b"x" * 300 + b"\n")
    tracemalloc.start()
    try:
        assert await _count(ContainerLog(path, "c")) == 100_000
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


async def test_what_is_remembered_is_bounded_whoever_reads(log: ContainerLog) -> None:
    async def read_slowly(started: trio.Event) -> None:
        async with aclosing(log.read(follow=True)) as entries:
            async for _ in entries:
                started.set()
                await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        started = trio.Event()
        nursery.start_soon(read_slowly, started)
        log.append("stdout", b"x")
        await started.wait()
        for _ in range(100):
            log.append("stdout", b"x" * 65536)
        assert log._recent.bytes <= logs.READ_BYTES
        nursery.cancel_scope.cancel()
    log.append("stdout", b"x")
    assert log._recent.bytes <= logs.RECENT_BYTES


@pytest.mark.parametrize("tail", [None, 3])
async def test_a_file_that_has_gone_is_told_and_what_is_at_hand_is_read(
    path: str, tail: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    log = ContainerLog(path, "c")
    for number in range(10):
        log.append("stdout", b"%d" % number * 5000 + b"\n")
    log.end()
    os.unlink(path)
    assert (await collect(log, tail=tail)).endswith(b"9" * 5000 + b"\n")
    assert "cannot read the output of container c: No such file or directory" in caplog.text


async def test_many_small_entries_arrive_in_order_across_memory_and_file(log: ContainerLog) -> None:
    async with aclosing(log.read(follow=True)) as entries:
        for number in range(20_000):
            log.append("stdout", b"%d\n" % number)
        log.end()
        assert [int(entry.data) async for entry in entries] == list(range(20_000))


def test_appending_needs_no_event_loop(path: str) -> None:
    script = "import sys; from bireme.storage import ContainerLog; log = ContainerLog(sys.argv[1], 'c');"
    script += "log.append('stdout', b'x'); log.end(); log.close()"
    subprocess.run([sys.executable, "-c", script, path], check=True)
    assert b'"data":"x"' in read(path)
