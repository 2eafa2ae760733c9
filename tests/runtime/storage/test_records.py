"""Records: what is written is read, what is answered is on disk, what is damaged is told and kept."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from bireme import _files
from bireme import _syscalls as sys_
from bireme.storage import _format, durable
from bireme_actors import (
    ContainerConfig,
    ContainerId,
    ContainerState,
    Limits,
    Mount,
    RestartPolicy,
    Security,
    Status,
    StorageError,
    Tmpfs,
    VolumeId,
    VolumesFrom,
)
from tests.runtime.storage._stores import Stores, config_with_volumes, read, tree, write

# Round trips.

_text = st.text(max_size=20) | st.sampled_from(["\udcff", "a\udc80b", "\x00", "\U0001f6a2", '\\"'])
_texts = st.lists(_text, max_size=3).map(tuple)
_numbers = st.integers(-(2**63), 2**63 - 1)
_json = st.recursive(
    st.none() | st.booleans() | _numbers | st.floats(allow_nan=False, allow_infinity=False) | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=5,
)
_configs = st.builds(
    ContainerConfig,
    id=_text.map(ContainerId), name=_text, created=_numbers, image=_text, image_id=_text, args=_texts, driver=_text,
    entrypoint=st.none() | _texts, command=st.none() | _texts, env=_texts, user=_text, working_dir=_text,
    hostname=_text, labels=st.dictionaries(_text, _text, max_size=3), tty=st.booleans(), open_stdin=st.booleans(),
    stdin_once=st.booleans(), stop_signal=_numbers, stop_timeout=st.none() | _numbers, volumes=_texts,
    volumes_from=st.lists(st.builds(VolumesFrom, _text, st.none() | st.booleans()), max_size=2).map(tuple),
    mounts=st.lists(st.builds(Mount, _text.map(VolumeId), _text, st.booleans(), st.booleans()), max_size=2).map(tuple),
    tmpfs=st.lists(st.builds(Tmpfs, _text, _text, st.booleans()), max_size=2).map(tuple),
    network=_text, read_only=st.booleans(), init=st.booleans(), auto_remove=st.booleans(), ephemeral=st.booleans(),
    restart=st.builds(RestartPolicy, name=_text, maximum_retries=_numbers),
    security=st.builds(Security, cap_add=_texts, cap_drop=_texts, no_new_privileges=st.booleans(), seccomp=_text,
                       privileged=st.booleans(), group_add=_texts),
    limits=st.builds(Limits, memory=_numbers, nano_cpus=_numbers, pids=_numbers, shm_size=_numbers,
                     rlimits=st.dictionaries(_text, st.tuples(_numbers, _numbers), max_size=2),
                     oom_score_adj=_numbers),
    extra=st.dictionaries(_text, _json, max_size=3),
)  # fmt: skip
_states = st.builds(
    ContainerState, status=st.sampled_from(Status), pid=_numbers, exit_code=_numbers, exit_signal=st.none() | _numbers,
    oom_killed=st.booleans(), error=_text, started=_numbers, finished=_numbers, restart_count=_numbers,
    stopped_by_user=st.booleans(), removing_volumes=st.booleans(),
)  # fmt: skip


@given(_configs)
@settings(max_examples=200)
def test_every_configuration_is_read_as_it_was_written(config: ContainerConfig) -> None:
    data = _format.encode_config(config)
    assert _format.decode_config(data) == config
    assert b"\n" not in data


@given(_states)
@settings(max_examples=200)
def test_every_state_is_read_as_it_was_written(state: ContainerState) -> None:
    data = _format.encode_state(state)
    assert _format.decode_state(data) == state
    assert b"\n" not in data


@given(_configs, st.data())
@settings(max_examples=200)
def test_no_beginning_of_a_record_passes_for_a_record(config: ContainerConfig, data: st.DataObject) -> None:
    whole = _format.encode_config(config)
    length = data.draw(st.integers(0, len(whole) - 1))
    for torn in (whole[:length], whole[:length].ljust(len(whole), b"\0")):
        with pytest.raises(_format.Damaged):
            _format.decode_config(torn)


def test_fields_of_a_later_version_are_passed_over_and_missing_ones_have_their_defaults() -> None:
    config = config_with_volumes("/a")
    data = _format.encode_config(config)
    later = data.replace(b'{"version":1', b'{"new":{"a":[1]},"version":7').replace(b'"tty":', b'"novel":"x","tty":')
    assert _format.decode_config(later) == config
    for field in (b'"network":"none",', b'"tmpfs":[],'):
        assert field in data
        assert _format.decode_config(data.replace(field, b"")) == config
    with pytest.raises(_format.Damaged, match="`id`"):
        _format.decode_config(data.replace(f'"id":"{config.id}",'.encode(), b""))


# On disk.


def _calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What happens to the disk from now on, in order: the call, and the last part of the path."""
    calls: list[tuple[str, str]] = []
    names: dict[int, str] = {}

    def wrap(module: ModuleType, name: str) -> None:
        real = getattr(module, name)

        def call(first: Any, *arguments: Any, **options: Any) -> Any:
            path = names.get(first, "") if isinstance(first, int) else os.path.basename(first)
            calls.append((name, path))
            result = real(first, *arguments, **options)
            if name == "open":
                names[result] = path
            return result

        monkeypatch.setattr(module, name, call)

    for name in ("open", "write", "fsync", "rename"):
        wrap(os, name)
    wrap(sys_, "syncfs")
    return calls


@pytest.mark.parametrize("unwritten", [0, 1 << 40])
async def test_a_record_is_on_disk_before_it_is_answered(
    stores: Stores, unwritten: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the one way or the other."""
    config = config_with_volumes("/a")
    calls = _calls(monkeypatch)
    monkeypatch.setattr(durable, "_unwritten", lambda: unwritten)
    await stores.containers.create(config)
    flushed = [path for call, path in calls if call in ("fsync", "syncfs")]
    one_by_one = ["config.json.new", config.id, "containers", ".staging"]
    assert flushed == (one_by_one if unwritten else ["config.json.new"])
    flushes = [number for number, (call, _) in enumerate(calls) if call in ("fsync", "syncfs")]
    assert calls.index(("write", "config.json.new")) < flushes[0]
    assert flushes[-1] < calls.index(("rename", "config.json.new"))
    assert calls[-1] == ("rename", config.mounts[0].volume)


async def test_a_create_costs_one_hop_and_few_calls(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_with_volumes("/a")
    stores.content.nothing.add("/a")
    monkeypatch.setattr(durable, "_unwritten", lambda: 0)
    calls, passes = _calls(monkeypatch), stores.disk.passes
    await stores.containers.create(config)
    assert stores.disk.passes == passes + 1
    assert len(calls) <= 14, calls
    assert [path for path, _ in stores.volumes.list()] == [config.mounts[0].volume]


async def test_many_creates_share_passes_and_flushes(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "_unwritten", lambda: 0)
    configs = [config_with_volumes("/a") for _ in range(100)]
    calls = _calls(monkeypatch)
    async with trio.open_nursery() as nursery:
        for config in configs:
            nursery.start_soon(stores.containers.create, config)
    assert stores.disk.passes <= 50
    assert len([call for call, _ in calls if call in ("fsync", "syncfs")]) <= stores.disk.passes
    assert {record.config.id for record in Stores(stores.layout).containers.load()} == {config.id for config in configs}


async def test_saving_a_state_waits_for_no_disk(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_with_volumes()
    await stores.containers.create(config)
    calls = _calls(monkeypatch)
    stores.containers.save_state(config.id, ContainerState(status=Status.RUNNING, pid=1))
    assert calls == [("open", "state.jsonl"), ("write", "state.jsonl")]


async def test_states_of_a_container_that_restarts_for_ever_take_bounded_space(stores: Stores) -> None:
    config = config_with_volumes()
    await stores.containers.create(config)
    for number in range(1000):
        stores.containers.save_state(config.id, ContainerState(status=Status.RUNNING, pid=number))
    assert os.stat(stores.layout.state(config.id)).st_size <= 1 << 16
    assert [record.state.pid for record in stores.containers.load()] == [999]
    assert not [name for name in os.listdir(stores.layout.container(config.id)) if name.startswith(".")]


async def test_a_state_cut_short_leaves_the_one_before(stores: Stores) -> None:
    config = config_with_volumes()
    await stores.containers.create(config)
    for pid in (1, 2):
        stores.containers.save_state(config.id, ContainerState(status=Status.RUNNING, pid=pid))
    path = stores.layout.state(config.id)
    write(path, read(path)[:-5])
    assert [record.state.pid for record in stores.containers.load()] == [1]
    stores.containers.save_state(config.id, ContainerState(status=Status.RUNNING, pid=3))
    assert [record.state.pid for record in stores.containers.load()] == [3]
    write(path, b"\0" * 100)
    assert [record.state.status for record in stores.containers.load()] == [Status.EXITED]


@pytest.mark.parametrize("damage", [b"", b"{", b"\0" * 500, b"[]", b"\xff\xfe", b'{"version":1,"config":{"id":7}}'])
async def test_a_damaged_record_is_told_skipped_and_kept(
    stores: Stores, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = config_with_volumes("/a"), config_with_volumes("/a")
    await stores.containers.create(good)
    await stores.containers.create(bad)
    path = stores.layout.config(bad.id)
    write(path, damage)
    with caplog.at_level(logging.ERROR):
        assert [record.config for record in stores.containers.load()] == [good]
    assert f"the record of container {bad.id} is damaged" in caplog.text
    assert read(path) == damage


async def test_a_record_of_another_container_is_damage(stores: Stores, caplog: pytest.LogCaptureFixture) -> None:
    one, two = config_with_volumes(), config_with_volumes()
    await stores.containers.create(one)
    await stores.containers.create(two)
    os.replace(stores.layout.config(one.id), stores.layout.config(two.id))
    _files.remove_tree(stores.layout.container(one.id))
    assert list(stores.containers.load()) == []
    assert f"it is the record of container {one.id}" in caplog.text


@pytest.mark.parametrize("call", ["mkdir", "open", "write", "fsync", "rename"])
async def test_what_cannot_be_written_leaves_nothing_and_says_so(
    stores: Stores, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, real, left = config_with_volumes("/a"), getattr(os, call), [1]

    def fail(*arguments: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise OSError(28, "No space left on device")
        return real(*arguments, **options)

    monkeypatch.setattr(durable, "_unwritten", lambda: 1 << 40)
    refusals = 0
    for step in range(1, 20):
        left[0] = step
        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            refused = await _refusal(stores, config)
        if not refused:
            break
        refusals += 1
        assert f"cannot make container {config.id}: No space left on device; free some space" in refused
        await stores.disk.trash.wait_empty()
        assert tree(stores.layout.containers) == [".trash"]
        assert tree(stores.layout.volumes) == [".staging", ".trash"]
    assert refusals > 0
    assert [record.config for record in stores.containers.load()] == [config]


async def _refusal(stores: Stores, config: ContainerConfig) -> str:
    try:
        await stores.containers.create(config)
    except StorageError as error:
        return str(error)
    return ""


async def test_removing_is_one_rename_and_leaves_nothing(stores: Stores) -> None:
    config = config_with_volumes()
    await stores.containers.create(config)
    stores.containers.save_state(config.id, ContainerState())
    os.makedirs(f"{stores.layout.upper(config.id)}/etc/deep")
    await stores.containers.remove(config.id)
    assert os.listdir(stores.layout.containers) == [".trash"]
    await stores.disk.trash.wait_empty()
    assert tree(stores.layout.trash[1]) == []
    with pytest.raises(StorageError, match=f"cannot write the record of container {config.id}: No such file"):
        await stores.containers.update(replace(config, name="late"))
    with pytest.raises(StorageError, match=f"cannot write the state of container {config.id}: No such file"):
        stores.containers.save_state(config.id, ContainerState())
    await stores.containers.remove(config.id)
