"""The machine that was measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from bench.places import HERE
from bench.processes import own_group


def describe(scratch: Path) -> dict[str, str]:
    """What a reader has to know to believe the figures, or to compare them."""
    return {
        "processor": f"{os.cpu_count()} x {_line('/proc/cpuinfo', 'model name')}",
        "memory": f"{int(_line('/proc/meminfo', 'MemTotal').split()[0]) // 1024} MiB",
        "kernel": f"Linux {platform.release()}",
        "system": _line("/etc/os-release", "PRETTY_NAME", "=").strip('"'),
        "python": platform.python_version(),
        "cgroups": _cgroups(),
        "files": _file_system(scratch),
        "load": f"{os.getloadavg()[0]:.1f} when the run began",
        "claim": _claim(own_group()),
    }


def _line(path: str, key: str, separator: str = ":") -> str:
    for line in Path(path).read_text().splitlines():
        name, _, value = line.partition(separator)
        if name.strip() == key:
            return value.strip()
    return "unknown"


def _cgroups() -> str:
    kinds = {line.split()[2] for line in Path("/proc/mounts").read_text().splitlines()}
    return " and ".join(name for kind, name in (("cgroup", "v1"), ("cgroup2", "v2")) if kind in kinds) or "none"


def _claim(group: str) -> str:
    """What all that is measured may claim of the processors beside what else runs: 1024, or 100, is nothing special."""
    for place, name in (("/sys/fs/cgroup/cpu", "cpu.shares"), ("/sys/fs/cgroup", "cpu.weight")):
        path = Path(place + group, name)
        if path.exists():
            return f"{name} {path.read_text().strip()}"
    return "no more than any other"


def _file_system(path: Path) -> str:
    """The kind of file system that holds a path."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    holding = [(place, kind) for place, kind in mounts if path.is_relative_to(place)]
    return max(holding, key=lambda mount: len(mount[0]), default=("", "unknown"))[1]


def project() -> Path:
    """The directory of this project."""
    return HERE.parent
