"""What a start makes of each thing that an earlier engine can have left."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest

from bireme import _files
from bireme.storage import Layout, _format, empty_trash, recover
from bireme.storage.volumes import list_volumes
from bireme_actors import ContainerId, ContainerState, Status, StorageError, VolumeId, new_id
from tests.runtime.storage._stores import Stores, config_with_volumes, read, tree, write


async def test_a_root_in_order_stays_as_it_is(stores: Stores) -> None:
    configs = [config_with_volumes("/a"), config_with_volumes()]
    for config in configs:
        await stores.containers.create(config)
    before = tree(stores.layout.root)
    found = recover(stores.layout)
    assert {record.config.id for record in found.records} == {config.id for config in configs}
    assert (found.damaged, found.dropped, found.committed, found.lost) == ((), (), (), ())
    assert tree(stores.layout.root) == before


def test_an_empty_root_is_in_order(layout: Layout) -> None:
    assert recover(layout).records == ()
    empty_trash(layout)


async def test_a_whole_new_record_is_taken(stores: Stores) -> None:
    config = config_with_volumes("/a")
    stores.stage(config)
    write(stores.layout.config(config.id) + ".new", _format.encode_config(config))
    found = recover(stores.layout)
    assert [record.config for record in found.records] == [config]
    assert found.committed == (config.mounts[0].volume,)
    assert found.committed[0] in os.listdir(stores.layout.volumes)
    assert "config.json.new" not in os.listdir(stores.layout.container(config.id))


@pytest.mark.parametrize("length", [0, 1, 50, -1])
async def test_a_torn_new_record_is_dropped_with_all_that_was_made_for_it(stores: Stores, length: int) -> None:
    config = config_with_volumes("/a")
    stores.stage(config)
    write(stores.layout.config(config.id) + ".new", _format.encode_config(config)[:length])
    found = recover(stores.layout)
    empty_trash(stores.layout)
    assert (found.records, found.dropped) == ((), (config.id,))
    assert tree(stores.layout.containers) == [".trash"]
    assert tree(stores.layout.volumes) == [".staging", ".trash"]


async def test_a_torn_update_leaves_the_record_before_it(stores: Stores) -> None:
    config = config_with_volumes()
    await stores.containers.create(config)
    write(stores.layout.config(config.id) + ".new", _format.encode_config(replace(config, name="x"))[:100])
    assert [record.config for record in recover(stores.layout).records] == [config]
    write(stores.layout.config(config.id) + ".new", _format.encode_config(replace(config, name="x")))
    assert [record.config.name for record in recover(stores.layout).records] == ["x"]


async def test_the_new_record_of_another_container_is_not_taken(stores: Stores) -> None:
    config = config_with_volumes()
    await stores.containers.create(config)
    write(stores.layout.config(config.id) + ".new", _format.encode_config(config_with_volumes()))
    assert [record.config for record in recover(stores.layout).records] == [config]


async def test_a_staged_volume_goes_where_its_record_says(stores: Stores) -> None:
    config = config_with_volumes("/a", "/b")
    await stores.containers.create(config)
    first, second = (mount.volume for mount in config.mounts)
    os.rename(stores.layout.volume(second), stores.layout.staged(second))
    stranger = VolumeId(new_id())
    os.mkdir(stores.layout.staged(stranger))
    found = recover(stores.layout)
    assert found.committed == (second,)
    assert sorted(os.listdir(stores.layout.volumes)) == sorted([".staging", ".trash", first, second])
    assert os.listdir(stores.layout.staging) == []


async def test_a_volume_that_was_only_borrowed_does_not_count_as_owned(stores: Stores) -> None:
    config = config_with_volumes("/a")
    borrowed = replace(config, mounts=(replace(config.mounts[0], owned=False),))
    await stores.containers.create(borrowed)
    os.mkdir(stores.layout.staged(config.mounts[0].volume))
    found = recover(stores.layout)
    assert found.committed == ()
    assert found.lost == (config.mounts[0].volume,)


async def test_beside_a_damaged_record_nothing_is_dropped_that_could_be_its_own(
    stores: Stores, caplog: pytest.LogCaptureFixture
) -> None:
    config = config_with_volumes("/a")
    await stores.containers.create(config)
    volume = config.mounts[0].volume
    os.rename(stores.layout.volume(volume), stores.layout.staged(volume))
    whole = read(stores.layout.config(config.id))
    write(stores.layout.config(config.id), whole[:80])
    before = tree(stores.layout.root)
    with caplog.at_level(logging.WARNING):
        found = recover(stores.layout)
    empty_trash(stores.layout)
    assert (found.records, found.damaged, found.dropped) == ((), (config.id,), ())
    assert tree(stores.layout.root) == before
    assert f"volume {volume} is kept" in caplog.text
    write(stores.layout.config(config.id), whole)
    assert recover(stores.layout).committed == (volume,)


async def test_removals_are_handed_on(stores: Stores) -> None:
    configs = [config_with_volumes("/a"), config_with_volumes("/a")]
    for config, volumes in zip(configs, (True, False), strict=True):
        await stores.containers.create(config)
        state = ContainerState(status=Status.REMOVING, removing_volumes=volumes)
        stores.containers.save_state(config.id, state)
    await stores.volumes.remove(configs[0].mounts[0].volume)
    found = recover(stores.layout)
    assert {record.config.id: record.state.removing_volumes for record in found.removing} == {
        configs[0].id: True,
        configs[1].id: False,
    }
    assert found.lost == ()


async def test_a_volume_that_is_nowhere_is_told(stores: Stores, caplog: pytest.LogCaptureFixture) -> None:
    config = config_with_volumes("/a")
    await stores.containers.create(config)
    _files.remove_tree(stores.layout.volume(config.mounts[0].volume))
    with caplog.at_level(logging.ERROR):
        assert recover(stores.layout).lost == (config.mounts[0].volume,)
    assert f"volume {config.mounts[0].volume} of container {config.id} is not in" in caplog.text


def test_directories_without_a_record_are_removed(layout: Layout) -> None:
    names = [ContainerId(new_id()) for _ in range(3)]
    os.makedirs(layout.upper(names[0]) + "/etc")
    os.makedirs(layout.work(names[1]))
    os.makedirs(layout.container(names[2]))
    write(layout.log(names[2]), b"x")
    assert sorted(recover(layout).dropped) == sorted(names)
    empty_trash(layout)
    assert tree(layout.containers) == [".trash"]


def test_what_is_no_container_is_left_alone(layout: Layout) -> None:
    for directory in (layout.containers, layout.volumes, layout.staging):
        write(f"{directory}/README", b"by the administrator")
        os.makedirs(f"{directory}/lost+found/x")
    before = tree(layout.root)
    assert recover(layout).dropped == ()
    assert tree(layout.root) == before
    assert list(Stores(layout).containers.load()) == []
    assert list_volumes(layout) == []


def test_the_trash_is_emptied_and_what_cannot_be_is_told(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for directory in layout.trash:
        os.makedirs(f"{directory}/a/b/c")
        write(f"{directory}/f", b"x")
    real = _files.remove_tree

    def refuse(path: str) -> None:
        if path.endswith("volumes/.trash/a"):
            raise OSError(5, "Input/output error")
        real(path)

    monkeypatch.setattr(_files, "remove_tree", refuse)
    empty_trash(layout)
    assert "cannot delete" in caplog.text
    assert [os.listdir(directory) for directory in layout.trash] == [["a"], []]
    monkeypatch.undo()
    empty_trash(layout)
    assert [os.listdir(directory) for directory in layout.trash] == [[], []]


def test_a_root_that_cannot_be_read_is_told(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(StorageError, match=f"cannot put root {layout.root} in order: Input/output error"):
        recover(layout)


@pytest.mark.root
async def test_half_made_things_that_were_made_immutable_are_removed_too(stores: Stores, tmp_path: Path) -> None:
    config = config_with_volumes("/a")
    stores.stage(config)
    for path in (stores.layout.staged(config.mounts[0].volume), stores.layout.container(config.id)):
        _files._change_flags(path, None, on=_files._FROZEN)
    recover(stores.layout)
    empty_trash(stores.layout)
    assert tree(stores.layout.containers) == [".trash"]
    assert tree(stores.layout.volumes) == [".staging", ".trash"]
