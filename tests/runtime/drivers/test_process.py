"""What the launcher is told of a process."""

from __future__ import annotations

import os
import resource
from dataclasses import replace
from typing import Any

import pytest

from bireme.drivers.process import RESOURCES, console_size, hostname, limits_request, process_request, resource_limits
from bireme_actors import ContainerConfig, ContainerId, InvalidConfig, Limits, ProcessSpec, Security

INFINITY = -1
CONFIG = ContainerConfig(
    id=ContainerId("0123456789abcdef" * 4), name="n", created=1, image="busybox", image_id="sha256:0", args=("true",)
)


def request(config: ContainerConfig | None = None, size: tuple[int, int] = (0, 0), **changes: Any) -> dict[str, Any]:
    spec = replace(ProcessSpec(args=("true",)), **changes)
    return dict(process_request(config or CONFIG, spec, capabilities=5, seccomp="name", size=size))


def test_everything_is_handed_on() -> None:
    config = replace(
        CONFIG,
        hostname="box",
        security=Security(group_add=("audio", "7"), no_new_privileges=True),
        limits=Limits(oom_score_adj=300),
    )
    found = request(config, args=("a", "b"), user="u:g", working_dir="/w", open_stdin=True, env=("A=1",))
    assert found.pop("rlimits")
    assert found == {
        "args": ["a", "b"],
        "env": ["A=1"],
        "user": "u:g",
        "groups": ["audio", "7"],
        "cwd": "/w",
        "tty": False,
        "stdin": True,
        "hostname": "box",
        "capabilities": 5,
        "seccomp": "name",
        "no_new_privileges": True,
        "oom_score_adj": 300,
    }


def test_the_terminals_size_is_told_only_where_there_is_one() -> None:
    assert "rows" not in request(size=(24, 80))
    assert "rows" not in request(tty=True)
    found = request(size=(24, 80), tty=True)
    assert (found["rows"], found["columns"]) == (24, 80)


@pytest.mark.parametrize(
    ("extra", "size"),
    [
        ({}, (0, 0)),
        ({"HostConfig": {"ConsoleSize": [24, 80]}}, (24, 80)),
        ({"HostConfig": {"ConsoleSize": (24, 80)}}, (24, 80)),
        ({"HostConfig": {"ConsoleSize": [24]}}, (0, 0)),
        ({"HostConfig": {"ConsoleSize": ["24", -1]}}, (0, 0)),
        ({"HostConfig": {"ConsoleSize": [1 << 16, 80]}}, (0, 80)),
        ({"HostConfig": {"ConsoleSize": None}}, (0, 0)),
        ({"HostConfig": None}, (0, 0)),
    ],
)
def test_the_clients_size(extra: dict[str, object], size: tuple[int, int]) -> None:
    assert console_size(replace(CONFIG, extra=extra)) == size


def test_the_directory_is_the_root_where_none_is_said() -> None:
    assert request(working_dir="")["cwd"] == "/"


def test_environment_the_last_counts_and_a_bare_name_takes_away() -> None:
    assert request(env=("A=1", "B=2", "A=3=4", "C=", "B"))["env"] == ["A=3=4", "C="]


@pytest.mark.parametrize("entry", ["", "=x", "A=\0", "A\0"])
def test_an_impossible_variable_is_refused(entry: str) -> None:
    with pytest.raises(InvalidConfig, match="invalid environment variable"):
        request(env=(entry,))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"args": ()}, "no command specified"),
        ({"args": ("", "x")}, "no command specified"),
        ({"args": ("a\0b",)}, "the command .* holds a NUL character"),
        ({"args": ("a", "\0")}, "the command .* holds a NUL character"),
        ({"user": "a\0"}, "the user .* holds a NUL character"),
        ({"working_dir": "/\0"}, "the working directory .* holds a NUL character"),
        ({"working_dir": "rel"}, "has to be absolute"),
    ],
)
def test_what_can_never_run_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidConfig, match=says):
        request(**changes)


def test_hostnames() -> None:
    config = CONFIG
    assert hostname(config) == config.id[:12]
    assert hostname(replace(config, network="host")) == os.uname().nodename
    assert hostname(replace(config, network="host", hostname="box")) == "box"


def test_limits() -> None:
    assert limits_request(Limits(memory=5, nano_cpus=6, pids=-1)) == {"memory": 5, "cpu": 6, "pids": -1}


def test_the_resources_numbers_are_linuxs() -> None:
    known = {name.removeprefix("RLIMIT_").lower(): getattr(resource, name) for name in dir(resource)
             if name.startswith("RLIMIT_")}  # fmt: skip
    known["nofile"] = known.pop("ofile")
    for name in RESOURCES.keys() & known.keys():
        assert RESOURCES[name] == known[name], name


def test_default_limits_are_those_of_dockers_service() -> None:
    found = {which: (soft, hard) for which, soft, hard in resource_limits({})}
    assert found == {
        resource.RLIMIT_CORE: (INFINITY, INFINITY),
        resource.RLIMIT_NOFILE: (1 << 20, 1 << 20),
        resource.RLIMIT_NPROC: (INFINITY, INFINITY),
    }


def test_what_is_asked_for_wins() -> None:
    found = resource_limits({"nofile": (10, 20), "rtprio": (0, 0), "stack": (INFINITY, INFINITY)})
    assert (resource.RLIMIT_NOFILE, 10, 20) in found
    assert (14, 0, 0) in found
    assert (resource.RLIMIT_STACK, INFINITY, INFINITY) in found
    assert len({which for which, _, _ in found}) == len(found) == 5


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"files": (1, 1)}, "invalid ulimit type: files; known: cpu, "),
        ({"NOFILE": (1, 1)}, "invalid ulimit type: NOFILE"),
        ({"nofile": (5, 3)}, "soft limit must not exceed"),
        ({"nofile": (-1, 3)}, "soft limit must not exceed"),
        ({"nofile": (-2, 3)}, "the least is 0"),
        ({"nofile": (1, -3)}, "the least is 0"),
    ],
)
def test_limits_that_are_none(given: dict[str, tuple[int, int]], says: str) -> None:
    with pytest.raises(InvalidConfig, match=says):
        resource_limits(given)
