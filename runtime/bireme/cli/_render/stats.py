"""A container's use of the machine, between two samples of its counters. Pure."""

from __future__ import annotations

from bireme.cli._render.listing import Row
from bireme.cli._render.units import binary_size, human_size, short_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TITLES = {
    "BlockIO": "BLOCK I/O",
    "CPUPerc": "CPU %",
    "Container": "CONTAINER",
    "ID": "CONTAINER ID",
    "MemPerc": "MEM %",
    "MemUsage": "MEM USAGE / LIMIT",
    "Name": "NAME",
    "NetIO": "NET I/O",
    "PIDs": "PIDS",
}
TABLE = "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}"
_UNKNOWN = "--"


def stats_row(
    name: str, sample: dict[str, Any] | None, before: dict[str, Any] | None = None, *, whole: bool = False
) -> Row:
    """``sample`` is what the API gave, None if it gave nothing; ``before`` an earlier one, whose time is its own."""
    if sample is None:
        pair = f"{_UNKNOWN} / {_UNKNOWN}"
        unknown = dict.fromkeys(("CPUPerc", "ID", "MemPerc", "Name", "PIDs"), _UNKNOWN)
        return Row({**unknown, "BlockIO": pair, "Container": name, "MemUsage": pair, "NetIO": pair})
    used, limit = _memory(sample)
    read, written = _blocks(sample)
    received, sent = _network(sample)
    identifier = str(sample.get("id") or name)
    return Row(
        BlockIO=f"{human_size(read, 3)} / {human_size(written, 3)}",
        CPUPerc=f"{cpu_share(sample, before):.2f}%",
        Container=name,
        ID=identifier if whole else short_id(identifier),
        MemPerc=f"{used / limit * 100 if limit else 0:.2f}%",
        MemUsage=f"{binary_size(used)} / {binary_size(limit)}",
        Name=str(sample.get("name") or name).removeprefix("/"),
        NetIO=f"{human_size(received, 3)} / {human_size(sent, 3)}",
        PIDs=str((sample.get("pids_stats") or {}).get("current") or 0),
    )


def cpu_share(sample: dict[str, Any], before: dict[str, Any] | None) -> float:
    """Percent of one processor; with an earlier sample since that, otherwise since the one the engine tells of."""
    now = sample.get("cpu_stats") or {}
    then = (before or {}).get("cpu_stats") or sample.get("precpu_stats") or {}
    spent = _total(now) - _total(then)
    passed = int(now.get("system_cpu_usage") or 0) - int(then.get("system_cpu_usage") or 0)
    if spent <= 0 or passed <= 0:
        return 0.0
    processors = int(now.get("online_cpus") or 0) or len((now.get("cpu_usage") or {}).get("percpu_usage") or ()) or 1
    return spent / passed * processors * 100


def _total(cpu: dict[str, Any]) -> int:
    return int((cpu.get("cpu_usage") or {}).get("total_usage") or 0)


def _memory(sample: dict[str, Any]) -> tuple[int, int]:
    """What is used without the files that the kernel may drop, and the limit."""
    memory = sample.get("memory_stats") or {}
    details, used = memory.get("stats") or {}, int(memory.get("usage") or 0)
    cached = next((int(details[key]) for key in ("total_inactive_file", "inactive_file") if key in details), 0)
    return (used - cached if cached < used else used), int(memory.get("limit") or 0)


def _blocks(sample: dict[str, Any]) -> tuple[int, int]:
    read = written = 0
    for entry in (sample.get("blkio_stats") or {}).get("io_service_bytes_recursive") or ():
        operation, value = str(entry.get("op") or "").lower(), int(entry.get("value") or 0)
        read += value if operation == "read" else 0
        written += value if operation == "write" else 0
    return read, written


def _network(sample: dict[str, Any]) -> tuple[int, int]:
    networks = (sample.get("networks") or {}).values()
    return sum(int(item.get("rx_bytes") or 0) for item in networks), sum(
        int(item.get("tx_bytes") or 0) for item in networks
    )
