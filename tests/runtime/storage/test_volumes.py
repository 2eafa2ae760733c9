"""Volumes are directories; a new one appears once, whole, or not at all."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import trio
import trio.testing

from bireme import _syscalls as sys_
from bireme.storage import Layout, VolumeDirectories, containers, durable
from bireme_actors import InvalidConfig, StorageError, VolumeId
from tests.runtime.storage._stores import Stores, config_with_volumes, read, tree, write


async def test_the_directory_is_the_volume(stores: Stores) -> None:
    config = config_with_volumes("/a")
    stores.content.files["/a"] = {"f": b"from the image"}
    volume = config.mounts[0].volume
    before = time.time_ns()
    await stores.containers.create(config)
    assert tree(stores.volumes.path(volume)) == ["f"]
    assert read(f"{stores.volumes.path(volume)}/f") == b"from the image"
    assert os.stat(stores.volumes.path(volume)).st_mode & 0o7777 == 0o755
    ((listed, created),) = stores.volumes.list()
    assert listed == volume
    assert before - 10**9 <= created <= time.time_ns()


async def test_the_time_it_was_made_stays_whatever_is_written_to_it(stores: Stores, layout: Layout) -> None:
    volume = await stores.create_volume()
    write(f"{stores.volumes.path(volume)}/f", b"x")
    os.utime(stores.volumes.path(volume), (1, 1))
    made = stores.volumes.created(volume)
    assert made == sys_.birth_time(stores.volumes.path(volume))
    assert list(VolumeDirectories(layout, stores.content).list()) == [(volume, made)]


async def test_content_is_on_disk_before_the_record(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(durable, "_unwritten", lambda: 0)
    monkeypatch.setattr(sys_, "syncfs", lambda fd: flushed.append(os.readlink(f"/proc/self/fd/{fd}")))
    stores.content.files["/a"] = {"f": b"x"}
    config = config_with_volumes("/a", "/empty")
    await stores.containers.create(config)
    content, record = flushed
    assert content == stores.layout.staged(config.mounts[0].volume)
    assert record == stores.layout.config(config.id) + ".new"


async def test_listing_and_looking_up_read_no_directory(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    list(stores.volumes.list())

    def refuse(path: object) -> None:
        raise AssertionError("the directory is read again")

    monkeypatch.setattr(os, "scandir", refuse)
    made = [await stores.create_volume() for _ in range(20)]
    assert [volume for volume, _ in stores.volumes.list()] == made
    assert stores.volumes.list() is stores.volumes.list()
    assert stores.volumes.created(made[0]) is not None
    assert stores.volumes.created(VolumeId("0" * 64)) is None


@pytest.mark.parametrize("failure", [InvalidConfig("cannot mount volume over existing file"), StorageError("full")])
async def test_a_failed_copy_leaves_nothing(stores: Stores, failure: Exception) -> None:
    stores.content.files["/a"] = {"f": b"x"}
    stores.content.failure = failure
    with pytest.raises(type(failure)):
        await stores.containers.create(config_with_volumes("/empty", "/a"))
    await stores.disk.trash.wait_empty()
    assert tree(stores.layout.volumes) == [".staging", ".trash"]
    assert tree(stores.layout.containers) == [".trash"]


async def test_a_cancelled_copy_leaves_nothing(stores: Stores) -> None:
    stores.content.files["/a"] = {"f": b"x"}
    stores.content.blocked = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stores.containers.create, config_with_volumes("/empty", "/a"))
        await stores.content.blocked.wait()
        nursery.cancel_scope.cancel()
    await stores.disk.trash.wait_empty()
    assert tree(stores.layout.volumes) == [".staging", ".trash"]
    assert tree(stores.layout.containers) == [".trash"]


async def test_a_large_volume_is_gone_at_once_and_deleted_on_the_side(stores: Stores) -> None:
    volume = await stores.create_volume()
    for number in range(2000):
        os.mkdir(f"{stores.volumes.path(volume)}/{number}")
    await stores.volumes.remove(volume)
    assert volume not in os.listdir(stores.layout.volumes)
    assert list(stores.volumes.list()) == []
    await stores.disk.trash.wait_empty()
    assert tree(stores.layout.volumes) == [".staging", ".trash"]
    assert "0 trees wait, 0 threads" in repr(stores.disk.trash)


async def test_what_is_not_deleted_when_the_program_ends_is_left_to_the_next(stores: Stores) -> None:
    """The engine may be in a hurry: waiting for the trash can be given up at any time."""
    volume = await stores.create_volume()
    await stores.volumes.remove(volume)
    with trio.CancelScope() as scope:
        scope.cancel()
        await stores.disk.trash.wait_empty()
    assert scope.cancelled_caught
    await stores.disk.trash.wait_empty()


async def test_a_volume_that_is_mounted_over_is_refused_by_name(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = await stores.create_volume()

    def busy(source: str, target: str) -> None:
        if source.endswith(f"volumes/{volume}"):
            raise OSError(16, "Device or resource busy")
        raise FileNotFoundError

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", busy)
        with pytest.raises(StorageError, match=f"cannot remove volume {volume}: Device or resource busy.*unmount"):
            await stores.volumes.remove(volume)
    assert [known for known, _ in stores.volumes.list()] == [volume]
    await stores.volumes.remove(volume)


async def test_a_staged_volume_can_be_removed_too(stores: Stores) -> None:
    config = config_with_volumes("/a")
    stores.stage(config)
    await stores.volumes.remove(config.mounts[0].volume)
    await stores.disk.trash.wait_empty()
    assert tree(stores.layout.volumes) == [".staging", ".trash"]


def test_undoing_is_bounded() -> None:
    assert 0 < containers.UNDO_SECONDS < 120


@pytest.mark.root
async def test_a_volume_with_immutable_files_is_removed(stores: Stores, tmp_path: Path) -> None:
    from bireme import _files

    volume = await stores.create_volume()
    path = stores.volumes.path(volume)
    write(f"{path}/f", b"x")
    for frozen in (f"{path}/f", path):
        _files._change_flags(frozen, None, on=_files._FROZEN)
    await stores.volumes.remove(volume)
    await stores.disk.trash.wait_empty()
    assert tree(stores.layout.volumes) == [".staging", ".trash"]
