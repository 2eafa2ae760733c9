"""Whatever step an engine is killed at, the next one finds everything whole or gone, and what was answered is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trio

from bireme.storage import JsonLogs, Layout, Recovered, empty_trash, open_root, recover
from bireme_actors import ContainerConfig, ContainerState, Status
from tests.runtime.storage._stores import Stores, config_with_volumes, tree

PROJECT = Path(__file__).parents[3]
PROGRAM = """
import sys
from bireme.storage._format import decode_config
from tests.runtime.storage._crash import main
main(sys.argv[1], sys.argv[2], sys.argv[3] == "middle", decode_config(sys.stdin.buffer.read()))
"""
MIDDLE = pytest.mark.parametrize("when", ["before", "middle"])


@dataclass(frozen=True)
class Wreck:
    """What one crash left, after the next start has put it in order."""

    step: int
    layout: Layout
    answered: list[str]
    found: Recovered


def crash_everywhere(base: Path, scenario: str, when: str, config: ContainerConfig) -> Iterator[Wreck]:
    """Every wreck, and last what an undisturbed run leaves. ``base/before`` is the root it begins with."""
    from bireme.storage._format import encode_config

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(base), scenario, when],
        cwd=PROJECT, input=encode_config(config), capture_output=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    outcome = json.loads(done.stdout)
    assert outcome["status"] == 0, done.stderr.decode()
    assert outcome["steps"] > 3, "it was never killed"
    for step in range(1, outcome["steps"] + 1):
        answered = Path(f"{base}/{step}.answered")
        with open_root(base / str(step)) as layout:
            found = recover(layout)
            assert recover(layout).records == found.records, "putting in order is done twice"
            empty_trash(layout)
            yield Wreck(step, layout, answered.read_text().split("\n")[:-1], found)


def prepare(base: Path, *configs: ContainerConfig) -> None:
    """A root in which these containers exist."""

    async def make() -> None:
        with open_root(base / "before") as layout:
            stores = Stores(layout)
            stores.content.files["/a"] = {"file": b"content"}
            for config in configs:
                await stores.containers.create(config)
                stores.containers.save_state(config.id, ContainerState(status=Status.EXITED, exit_code=3))

    trio.run(make)


def holds_nothing(layout: Layout) -> bool:
    names = [*os.listdir(layout.containers), *os.listdir(layout.volumes)]
    below = [path for path in tree(layout.containers) + tree(layout.volumes) if path not in (".trash", ".staging")]
    return sorted(names) == [".staging", ".trash", ".trash"] and not below


def is_whole(layout: Layout, config: ContainerConfig, content: Collection[str] = ("file",)) -> bool:
    wanted = ["config.json", "hostname", "hosts", "resolv.conf", "upper", "work"]
    files = [name for name in tree(layout.container(config.id)) if name != "state.jsonl"]
    volumes = {mount.destination: tree(layout.volume(mount.volume)) for mount in config.mounts}
    nowhere_else = not os.listdir(layout.staging)
    return files == wanted and volumes == {"/a": [*content], "/b": []} and nowhere_else


@MIDDLE
@pytest.mark.parametrize("scenario", ["create", "create_at_once"])
def test_creating(tmp_path: Path, when: str, scenario: str) -> None:
    content = ("file",) if scenario == "create" else ()
    prepare(tmp_path)
    config = config_with_volumes("/a", "/b")
    outcomes = set()
    for wreck in crash_everywhere(tmp_path, scenario, when, config):
        if wreck.found.records:
            assert [record.config for record in wreck.found.records] == [config], f"step {wreck.step}"
            assert is_whole(wreck.layout, config, content), f"step {wreck.step}: {tree(wreck.layout.root)}"
        else:
            assert not wreck.answered, f"step {wreck.step}: lost although answered"
            assert holds_nothing(wreck.layout), f"step {wreck.step}: {tree(wreck.layout.root)}"
        assert not wreck.found.damaged
        assert not wreck.found.lost
        outcomes.add((bool(wreck.found.records), bool(wreck.answered)))
    assert outcomes == {(False, False), (True, False), (True, True)}


@MIDDLE
def test_updating(tmp_path: Path, when: str) -> None:
    config = config_with_volumes("/a", "/b", name="before")
    prepare(tmp_path, config)
    names = []
    for wreck in crash_everywhere(tmp_path, "update", when, config):
        (record,) = wreck.found.records
        assert record.config == replace(config, name=record.config.name)
        assert record.state.exit_code == 3
        assert is_whole(wreck.layout, config)
        assert record.config.name == "after" or not wreck.answered
        names.append(record.config.name)
    assert set(names) == {"before", "after"}
    assert names == sorted(names, reverse=True), "once it is durable it stays"


@MIDDLE
def test_saving_states(tmp_path: Path, when: str) -> None:
    config = config_with_volumes("/a", "/b")
    prepare(tmp_path, config)
    for wreck in crash_everywhere(tmp_path, "save", when, config):
        (record,) = wreck.found.records
        before = int(wreck.answered[-1]) if wreck.answered else 0
        assert record.state.pid in ((before, 11) if before == 0 else (before, before + 1)), f"step {wreck.step}"
        assert is_whole(wreck.layout, config)


def test_removing(tmp_path: Path) -> None:
    config, other = config_with_volumes("/a", "/b"), config_with_volumes("/a", "/b")
    prepare(tmp_path, config, other)
    stages = set()
    for wreck in crash_everywhere(tmp_path, "remove", "before", config):
        states = {record.config.id: record.state for record in wreck.found.records}
        assert states.pop(other.id).exit_code == 3
        assert is_whole(wreck.layout, other)
        assert not wreck.found.lost
        if not states:
            stages.add("gone")
            volumes = {mount.volume for mount in other.mounts}
            assert set(os.listdir(wreck.layout.volumes)) == {".staging", ".trash"} | volumes
            assert not any(os.listdir(trash) for trash in wreck.layout.trash)
            continue
        assert "removed" not in wreck.answered
        if states[config.id].status is Status.REMOVING:
            stages.add("removing")
            assert [record.config for record in wreck.found.removing] == [config]
            assert states[config.id].removing_volumes
        else:
            stages.add("whole")
            assert is_whole(wreck.layout, config), f"step {wreck.step}"
    assert stages == {"whole", "removing", "gone"}


@MIDDLE
def test_logging(tmp_path: Path, when: str) -> None:
    config = config_with_volumes("/a", "/b")
    prepare(tmp_path, config)
    for wreck in crash_everywhere(tmp_path, "log", when, config):
        lines = trio.run(_log_of, wreck.layout, config)
        assert lines[-1] == b"afterwards\n"
        written = [f"line {number}\n".encode() for number in range(3)]
        assert lines[:-1] == written[: len(lines) - 1], f"step {wreck.step}"
        assert len(lines) - 1 >= len(wreck.answered)


async def _log_of(layout: Layout, config: ContainerConfig) -> list[bytes]:
    """What an engine finds that goes on with the log."""
    log = JsonLogs(layout).open_log(config.id)
    log.append("stdout", b"afterwards\n")
    async with aclosing(JsonLogs(layout).open_log(config.id).read(follow=False)) as entries:
        return [entry.data async for entry in entries]
