"""Reading where the cgroups are: pure v2, pure v1, hybrid, a launcher that is in a group itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from bireme.launcher import _hierarchies


def test_a_line_of_the_mount_table() -> None:
    line = r"34 31 0:30 /docker\040x /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct"
    mounted = _hierarchies.Mounted(line)
    assert (mounted.root, mounted.place, mounted.kind) == ("/docker x", "/sys/fs/cgroup/cpu,cpuacct", "cgroup")
    assert {"cpu", "cpuacct"} <= mounted.options


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0::/user.slice/x.scope\n", {}),
        ("9:name=systemd:/\n4:memory:/a:b/c\n2:cpu,cpuacct:/d\n0::/\n", {"memory": "/a:b/c", "cpu": "/d"}),
        ("8:pids:/\n5:devices:/\n", {"pids": "/"}),
    ],
)
def test_own_groups(text: str, found: dict[str, str]) -> None:
    assert _hierarchies.own_groups(text) == found


@pytest.mark.root
def test_this_host_has_a_hierarchy(tmp_path: Path) -> None:
    import os

    v2, v1 = _hierarchies.open_all(str(tmp_path))
    assert v2 >= 0
    assert os.path.exists(f"/proc/self/fd/{v2}/cgroup.procs")
    for fd in (v2, *v1.values()):
        os.close(fd)
