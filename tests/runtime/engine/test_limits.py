"""Bounds: which can be, and that they hold in a container that runs, at once and after its next start."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bireme.engine import Container, Runtime, open_runtime
from bireme.engine._bounds import check_limits, merge_limits, new_limits
from bireme.launcher import _bounds
from bireme_actors import InvalidConfig, Limits

MB = 1 << 20


def test_what_is_not_given_stays() -> None:
    now = Limits(memory=64 * MB, pids=7, cpuset_cpus="0")
    assert merge_limits(now, Limits(pids=9)) == Limits(memory=64 * MB, pids=9, cpuset_cpus="0")
    assert merge_limits(now, Limits(pids=-1)).pids == -1
    assert merge_limits(now, Limits()) == now


@pytest.mark.parametrize(
    ("limits", "word"),
    [
        (Limits(memory=5 * MB), "6MB"),
        (Limits(memory=-1), "less than 0"),
        (Limits(memory_swap=10 * MB), "always set the Memory limit"),
        (Limits(memory=20 * MB, memory_swap=10 * MB), "memoryswap"),
        (Limits(memory=20 * MB, memory_reservation=30 * MB), "reservation"),
        (Limits(memory_reservation=1), "6MB"),
        (Limits(nano_cpus=-1), "NanoCPUs"),
        (Limits(cpu_shares=-1), "shares"),
        (Limits(cpuset_cpus="one"), "cpuset"),
        (Limits(cpuset_mems="0,"), "cpuset"),
    ],
)
def test_what_cannot_be(limits: Limits, word: str) -> None:
    with pytest.raises(InvalidConfig, match=word):
        check_limits(limits)


def test_there_is_as_much_swap_as_memory_where_nothing_else_is_said() -> None:
    assert new_limits(Limits(memory=20 * MB)).memory_swap == 40 * MB
    assert new_limits(Limits(memory=20 * MB, memory_swap=-1)).memory_swap == -1
    assert new_limits(Limits()) == Limits()


def test_more_memory_than_memory_with_swap_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="update the memoryswap"):
        merge_limits(Limits(memory=20 * MB, memory_swap=30 * MB), Limits(memory=40 * MB))


def test_the_files_of_both_hierarchies() -> None:
    found = list(_bounds.changed({"memory": 100, "memory_swap": 150, "cpu": 500_000_000, "pids": -1, "cpu_shares": 2}))
    assert found == [
        ("pids", {"pids.max": "max"}, {"pids.max": "max"}),
        ("cpu", {"cpu.max": "50000 100000"}, {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000"}),
        (
            "memory",
            {"memory.max": "100", "memory.swap.max": "50"},
            {"memory.limit_in_bytes": "100", "memory.memsw.limit_in_bytes": "150"},
        ),
        ("cpu", {"cpu.weight": "1"}, {"cpu.shares": "2"}),
    ]
    assert list(_bounds.changed({"memory": 0, "cpu": 0, "pids": 0})) == []


# In containers.


def bound(container: Container, controller: str, v1: str, v2: str) -> str:
    """What the kernel holds of a container's first process."""
    pid = container.view.state.pid
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            for base in (f"/sys/fs/cgroup/{controller}", f"/sys/fs/cgroup/{names}"):
                if os.path.exists(f"{base}{path}/{v1}"):
                    return Path(f"{base}{path}/{v1}").read_text().strip()
        if not names and os.path.exists(f"/sys/fs/cgroup{path}/{v2}"):
            return Path(f"/sys/fs/cgroup{path}/{v2}").read_text().strip()
    pytest.skip(f"the cgroups of {controller} are somewhere else here")


def told(container: Container, name: str) -> str:
    """What the kernel tells of a container's first process."""
    return Path(f"/proc/{container.view.state.pid}/{name}").read_text()


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    async with open_runtime(root=tmp_path / "root", run_dir=tmp_path / "run") as opened:
        can = opened.info()
        if not (can["MemoryLimit"] and can["PidsLimit"] and can["CpuCfsQuota"]):
            pytest.skip("this host has no cgroups for memory, processors and processes")
        yield opened


def memory(container: Container) -> str:
    return bound(container, "memory", "memory.limit_in_bytes", "memory.max")


def processes(container: Container) -> str:
    return bound(container, "pids", "pids.max", "pids.max")


@pytest.mark.root
async def test_bounds_change_while_it_runs_and_hold_after_the_next_start(runtime: Runtime) -> None:
    async with runtime.open_container("busybox", ["sleep", "100"]) as container:
        await container.update(limits=Limits(memory=64 * MB, pids=77))
        assert (memory(container), processes(container)) == (str(64 * MB), "77")
        await container.update(limits=Limits(memory=32 * MB, pids=-1, cpu_shares=512))
        assert (memory(container), processes(container)) == (str(32 * MB), "max")
        inside = await container.exec(["cat", "/proc/self/cgroup"])
        outside = told(container, "cgroup")
        assert inside.stdout is not None
        assert len(inside.stdout.splitlines()) == len(outside.splitlines())
        await container.restart(timeout=0)
        assert memory(container) == str(32 * MB)
        host: Any = container.inspect()["HostConfig"]
        assert (host["Memory"], host["CpuShares"], host["PidsLimit"]) == (32 * MB, 512, None)


@pytest.mark.root
async def test_what_runs_already_is_bounded_too(runtime: Runtime) -> None:
    async with runtime.open_container("busybox", ["sh", "-c", "sleep 100 & sleep 100 & wait"]) as container:
        await container.exec(["true"])
        await container.update(limits=Limits(pids=3))
        assert processes(container) == "3"
        forked = await container.exec(["sh", "-c", "sleep 0.01 & wait"])
        assert int(forked.exit_status)


@pytest.mark.root
async def test_memory_and_swap_change_in_whatever_order_they_have_to(runtime: Runtime) -> None:
    limits = Limits(memory=32 * MB, memory_swap=48 * MB)
    async with runtime.open_container("busybox", ["sleep", "100"], limits=limits) as container:
        for factor in (4, 1):
            await container.update(limits=Limits(memory=32 * MB * factor, memory_swap=48 * MB * factor))
            assert memory(container) == str(32 * MB * factor)
        with pytest.raises(InvalidConfig, match="update the memoryswap"):
            await container.update(limits=Limits(memory=64 * MB))
        assert memory(container) == str(32 * MB)


@pytest.mark.root
async def test_processors_can_be_chosen_where_the_host_lets_them(runtime: Runtime) -> None:
    async with runtime.open_container("busybox", ["sleep", "100"]) as container:
        try:
            await container.update(limits=Limits(cpuset_cpus="0"))
        except Exception as error:  # noqa: BLE001 - what it says tells
            pytest.skip(f"no cpusets here: {error}")
        assert "Cpus_allowed_list:\t0\n" in told(container, "status")
        with pytest.raises(InvalidConfig, match="limit cannot be set"):
            await container.update(limits=Limits(cpuset_cpus="4095"))
