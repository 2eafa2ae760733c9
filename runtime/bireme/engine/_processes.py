"""A running container's processes, as the host sees them: ``top`` and ``stats``.

Which ones they are is read from their pid namespace; a nested one belongs to the container as well, so children count
too. Where that is the host's, it is read from their cgroup.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bireme.engine._inspect import format_time
from bireme_actors import DriverError, InvalidConfig, MissingRequirement

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a container's processes have used: nanoseconds of processor time, bytes of resident memory, how many."""

    cpu_user: int
    cpu_system: int
    memory: int
    processes: int


def process_ids(first: int, container: str) -> list[int]:
    """Every process of a container whose first one is ``first``."""
    try:
        namespace = os.stat(f"/proc/{first}/ns/pid").st_ino
    except FileNotFoundError:
        return []
    if namespace == os.stat("/proc/self/ns/pid").st_ino:
        return sorted(pid for pid in _all_ids() if _is_in_group(pid, container))
    return _in_namespace(namespace)


def _is_in_group(pid: int, container: str) -> bool:
    """Whether a process is in the cgroup of the container: the launcher calls it by the beginning of its identifier."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            found = next((line for line in file if line.startswith("0::")), "")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return f"/{container[:32]}." in found


def _in_namespace(namespace: int) -> list[int]:
    """Every process in a pid namespace, or below it."""
    inside = set()
    parents: dict[int, int] = {}
    for pid in _all_ids():
        try:
            parents[pid] = _stat_fields(pid)[1]
            if os.stat(f"/proc/{pid}/ns/pid").st_ino == namespace:
                inside.add(pid)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return sorted(pid for pid in parents if _descends(pid, parents, inside))


def _descends(pid: int, parents: dict[int, int], inside: set[int]) -> bool:
    seen = 0
    while pid and pid not in inside and seen < len(parents):
        pid, seen = parents.get(pid, 0), seen + 1
    return pid in inside


def _all_ids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _stat_fields(pid: int) -> tuple[str, int, int, int, int]:
    """State, parent, user and system ticks, resident pages."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return fields[0], int(fields[1]), int(fields[11]), int(fields[12]), int(fields[21])


def usage(first: int, container: str) -> Usage:
    """Summed over all of them, at this moment."""
    user = system = pages = count = 0
    for pid in process_ids(first, container):
        try:
            _, _, user_ticks, system_ticks, resident = _stat_fields(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
        user, system, pages, count = user + user_ticks, system + system_ticks, pages + resident, count + 1
    return Usage(user * 1_000_000_000 // _TICKS, system * 1_000_000_000 // _TICKS, pages * _PAGE, count)


def stats_json(
    container: str, name: str, first: int, before: tuple[int, Usage] | None, memory_limit: int
) -> dict[str, object]:
    """Docker's JSON of one reading; ``before`` is the reading that precedes it, with its time in nanoseconds."""
    now, used = time.time_ns(), usage(first, container) if first else Usage(0, 0, 0, 0)
    earlier_time, earlier = before if before is not None else (0, Usage(0, 0, 0, 0))
    return {
        "id": container,
        "name": f"/{name}",
        "read": format_time(now),
        "preread": format_time(earlier_time),
        "num_procs": 0,
        "pids_stats": {"current": used.processes} if used.processes else {},
        "networks": {},
        "memory_stats": {"usage": used.memory, "stats": {}, "limit": memory_limit or _total_memory()},
        "blkio_stats": {"io_service_bytes_recursive": None, "io_serviced_recursive": None},
        "storage_stats": {},
        "cpu_stats": _cpu_json(used, now),
        "precpu_stats": _cpu_json(earlier, earlier_time),
    }


def _cpu_json(used: Usage, now: int) -> dict[str, object]:
    processors = os.cpu_count() or 1
    return {
        "cpu_usage": {
            "total_usage": used.cpu_user + used.cpu_system,
            "usage_in_usermode": used.cpu_user,
            "usage_in_kernelmode": used.cpu_system,
        },
        "system_cpu_usage": now * processors,
        "online_cpus": processors,
        "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
    }


def _total_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * _PAGE


def top(first: int, container: str, arguments: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """What the host's ``ps`` says of them: titles and rows. Raises InvalidConfig if its output has no PID column."""
    command = ["ps", *(arguments or ("-ef",))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=30)
    except FileNotFoundError:
        raise MissingRequirement("top needs ps, which is missing: install the Debian package procps") from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[0]
        raise DriverError(f"ps failed: {reason}")
    lines = done.stdout.splitlines()
    titles = lines[0].split() if lines else []
    if "PID" not in titles:
        raise InvalidConfig("Couldn't find PID field in ps output: choose ps options that show it")
    column, wanted = titles.index("PID"), {str(pid) for pid in process_ids(first, container)}
    rows = (line.split(None, len(titles) - 1) for line in lines[1:])
    return titles, [row for row in rows if len(row) > column and row[column] in wanted]
