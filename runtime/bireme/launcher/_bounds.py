"""A container's bounds as files of its cgroups: for each controller what to write on v2, and what on v1. Pure.

What is not asked for is not written. On v1 the bound of memory and swap together must never be below that of memory,
so which of the two can be written first depends on where they stand.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bireme.launcher.requests import LimitsRequest

    Bound = tuple[str, dict[str, str], dict[str, str]]
    """Controller, files of v2, files of v1."""

PERIOD = 100_000
"""Microseconds over which a share of the processors is counted."""


def changed(limits: LimitsRequest) -> Iterator[Bound]:
    """All bounds that are asked for; for processes -1 is none."""
    if limits["pids"]:
        text = str(limits["pids"]) if limits["pids"] > 0 else "max"
        yield "pids", {"pids.max": text}, {"pids.max": text}
    if limits["cpu"]:
        yield processors(limits["cpu"])
    if limits["memory"] or limits.get("memory_swap"):
        yield memory(limits)
    yield from rare(limits)


def processors(billionths: int) -> Bound:
    """A share of the processors."""
    quota = max(1000, billionths * PERIOD // 1_000_000_000)
    v1 = {"cpu.cfs_period_us": str(PERIOD), "cpu.cfs_quota_us": str(quota)}
    return "cpu", {"cpu.max": f"{quota} {PERIOD}"}, v1


def memory(limits: LimitsRequest) -> Bound:
    """Memory, and memory with swap (-1: as much as there is)."""
    most, both = limits["memory"], limits.get("memory_swap", 0)
    v2 = {"memory.max": str(most)} if most else {}
    v1 = {"memory.limit_in_bytes": str(most)} if most else {}
    if both:
        v2["memory.swap.max"] = "max" if both < 0 else str(max(0, both - most))
        v1["memory.memsw.limit_in_bytes"] = str(both)
    return "memory", v2, v1


def rare(limits: LimitsRequest) -> Iterator[Bound]:
    """What few containers have."""
    if kept := limits.get("memory_reservation"):
        yield "memory", {"memory.low": str(kept)}, {"memory.soft_limit_in_bytes": str(kept)}
    if shares := limits.get("cpu_shares"):
        weight = 1 + (min(max(shares, 2), 1 << 18) - 2) * 9999 // 262142
        yield "cpu", {"cpu.weight": str(weight)}, {"cpu.shares": str(shares)}
    sets = {f"cpuset.{name}": text for name in ("cpus", "mems") if (text := limits.get(f"cpuset_{name}"))}
    if sets:
        cpusets = {name: str(text) for name, text in sets.items()}
        yield "cpuset", cpusets, cpusets
