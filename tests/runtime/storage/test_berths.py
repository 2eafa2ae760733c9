"""Directories are made in a berth and moved into place; a berth is left behind neither by a close nor by a crash."""

from __future__ import annotations

import os
import threading

import pytest

from bireme.storage import Layout, empty_trash, open_disk
from bireme.storage._berths import CAPACITY, PREFIX, Berth


def berths(layout: Layout) -> list[str]:
    return [name for trash in layout.trash for name in os.listdir(trash) if name.startswith(PREFIX)]


def test_a_directory_is_made_as_asked_for(layout: Layout) -> None:
    berth = Berth(layout.trash[1])
    path = f"{layout.containers}/one"
    berth.make(path, 0o700)
    assert os.stat(path).st_mode & 0o7777 == 0o700
    assert os.listdir(path) == []
    assert len(berths(layout)) == 1
    berth.close()
    berth.close()
    assert not berths(layout)


def test_a_full_berth_gives_way_to_another(layout: Layout) -> None:
    berth = Berth(layout.trash[1])
    seen = set()
    for number in range(2 * CAPACITY + 1):
        berth.make(f"{layout.containers}/{number}", 0o700)
        (name,) = berths(layout)
        seen.add(name)
    assert len(seen) == 3


def test_what_cannot_be_moved_into_place_leaves_nothing(layout: Layout) -> None:
    berth = Berth(layout.trash[1])
    with pytest.raises(FileNotFoundError):
        berth.make(f"{layout.containers}/nowhere/one", 0o700)
    berth.close()
    assert not berths(layout)


def test_several_threads_make_directories_at_once(layout: Layout) -> None:
    berth = Berth(layout.trash[1])

    def make(thread: int) -> None:
        for number in range(4 * CAPACITY):
            berth.make(f"{layout.containers}/{thread}.{number}", 0o700)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(os.listdir(layout.containers)) == 12 * CAPACITY + 1
    assert len(berths(layout)) == 1


async def test_the_disk_leaves_none_behind_and_a_crash_leaves_trash(layout: Layout) -> None:
    async with open_disk(layout) as disk:
        disk.berth(layout.trash[0]).make(f"{layout.staging}/one", 0o755)
        assert len(berths(layout)) == 1
    assert not berths(layout)
    Berth(layout.trash[1]).make(f"{layout.containers}/two", 0o700)
    empty_trash(layout)
    assert not berths(layout)
