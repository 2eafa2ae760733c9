"""Logs that are bounded: never larger than they may be, and readers that lose only what has gone."""

from __future__ import annotations

import os
from contextlib import aclosing
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from bireme.storage import ContainerLog, Position, Rotation
from bireme.storage import logs as module


@pytest.fixture(autouse=True)
def nothing_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every reader has to go to the files."""
    monkeypatch.setattr(module, "RECENT_BYTES", 0)
    monkeypatch.setattr(module, "READ_BYTES", 0)


def open_log(path: Path, rotation: Rotation) -> ContainerLog:
    times = count(1)
    return ContainerLog(str(path / "log.jsonl"), "c", lambda: next(times), rotation)


async def read(log: ContainerLog, **options: Any) -> list[bytes]:
    async with aclosing(log.read(**{"follow": False, **options})) as entries:
        return [entry.data async for entry in entries]


def sizes(path: Path) -> dict[str, int]:
    return {name: os.stat(path / name).st_size for name in sorted(os.listdir(path))}


async def test_the_oldest_goes_when_there_is_too_much(tmp_path: Path) -> None:
    log = open_log(tmp_path, Rotation(200, 3))
    lines = [b"line %04d\n" % number for number in range(100)]
    for line in lines:
        log.append("stdout", line)
    assert list(sizes(tmp_path)) == ["log.jsonl", "log.jsonl.1", "log.jsonl.2"]
    assert max(sizes(tmp_path).values()) <= 200
    found = await read(log)
    assert found == lines[-len(found) :]
    assert 6 <= len(found) <= 14


async def test_one_file_begins_anew(tmp_path: Path) -> None:
    log = open_log(tmp_path, Rotation(200))
    for number in range(50):
        log.append("stdout", b"%d\n" % number)
    assert list(sizes(tmp_path)) == ["log.jsonl"]
    assert (await read(log))[-1] == b"49\n"


async def test_the_next_engine_goes_on_with_what_is_there(tmp_path: Path) -> None:
    log = open_log(tmp_path, Rotation(200, 4))
    for number in range(30):
        log.append("stdout", b"%d\n" % number)
    before = await read(log)
    log.end()
    second = open_log(tmp_path, Rotation(200, 4))
    assert await read(second) == before
    second.append("stdout", b"more\n")
    assert (await read(second))[-2:] == [b"29\n", b"more\n"]


async def test_who_follows_loses_nothing_that_he_is_quick_enough_for(tmp_path: Path) -> None:
    log = open_log(tmp_path, Rotation(300, 3))
    found: list[bytes] = []

    async def follow() -> None:
        async with aclosing(log.read(follow=True)) as entries:
            async for entry in entries:
                found.append(entry.data)  # noqa: PERF401 - looked at meanwhile

    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow)
        for number in range(100):
            log.append("stdout", b"%d\n" % number)
            while len(found) <= number:
                await trio.lowlevel.checkpoint()
        log.end()
    assert found == [b"%d\n" % number for number in range(100)]


async def test_who_falls_behind_goes_on_with_the_oldest_there_is(tmp_path: Path) -> None:
    log = open_log(tmp_path, Rotation(200, 2))
    log.append("stdout", b"first\n")
    async with aclosing(log.read(follow=True)) as entries:
        assert (await anext(entries)).data == b"first\n"
        for number in range(100):
            log.append("stdout", b"%d\n" % number)
        log.end()
        rest = [entry.data async for entry in entries]
    assert rest == [b"%d\n" % number for number in range(100 - len(rest), 100)]
    assert rest


async def test_what_is_held_open_can_be_read_after_the_removal(tmp_path: Path) -> None:
    log = open_log(tmp_path, Rotation(200, 3))
    for number in range(20):
        log.append("stdout", b"%d\n" % number)
    before = await read(log)
    log.close()
    for name in os.listdir(tmp_path):
        os.unlink(tmp_path / name)
    assert await read(log) == before


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=40), max_size=30),
    rotation=st.builds(Rotation, st.integers(1, 400), st.integers(1, 4)),
    lines=st.integers(0, 10),
)
@settings(max_examples=150)
async def test_whatever_is_written_the_end_of_it_can_be_read(
    tmp_path_factory: Any, pieces: list[bytes], rotation: Rotation, lines: int
) -> None:
    path = tmp_path_factory.mktemp("log")
    log = open_log(path, rotation)
    for piece in pieces:
        log.append("stdout", piece)
    found = await read(log)
    assert found == pieces[len(pieces) - len(found) :]
    assert bool(found) == bool(pieces)
    assert len(sizes(path)) <= rotation.most_files
    last = b"".join(found).splitlines(keepends=True)[-lines:] if lines else []
    assert b"".join(await read(log, tail=lines)).splitlines(keepends=True) == last or b"\r" in b"".join(found)
    assert isinstance(log.position(), Position)
