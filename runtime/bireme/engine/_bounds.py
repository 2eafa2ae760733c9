"""A container's bounds while it lives: new ones over those it has, and what cannot be. Pure; Docker's rules."""

from __future__ import annotations

import re
from dataclasses import replace

from bireme_actors import InvalidConfig, Limits

_LEAST_MEMORY = 6 << 20
_CPUSET = re.compile(r"\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*")


def merge_limits(now: Limits, change: Limits) -> Limits:
    """What is 0 (or empty) in ``change`` stays as it is. Raises InvalidConfig where the whole contradicts itself."""
    memory = change.memory or now.memory
    if change.memory and not change.memory_swap and 0 < now.memory_swap < memory:
        raise InvalidConfig(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
        )
    merged = replace(
        now,
        memory=memory,
        memory_swap=change.memory_swap or now.memory_swap,
        memory_reservation=change.memory_reservation or now.memory_reservation,
        nano_cpus=change.nano_cpus or now.nano_cpus,
        cpu_shares=change.cpu_shares or now.cpu_shares,
        cpuset_cpus=change.cpuset_cpus or now.cpuset_cpus,
        cpuset_mems=change.cpuset_mems or now.cpuset_mems,
        pids=change.pids or now.pids,
    )
    return check_limits(merged)


def new_limits(limits: Limits) -> Limits:
    """Of a container that is made: as much swap as memory, where nothing else is said. Raises InvalidConfig."""
    if limits.memory > 0 and not limits.memory_swap:
        limits = replace(limits, memory_swap=2 * limits.memory)
    return check_limits(limits)


def check_limits(limits: Limits) -> Limits:
    """The same. Raises InvalidConfig where it contradicts itself."""
    if limits.memory < 0:
        raise InvalidConfig("Memory limit can not be less than 0")
    if 0 < limits.memory < _LEAST_MEMORY:
        raise InvalidConfig("Minimum memory limit allowed is 6MB")
    _check_swap(limits)
    if limits.nano_cpus < 0:
        raise InvalidConfig("NanoCPUs can not be less than 0")
    if limits.cpu_shares < 0:
        raise InvalidConfig("CPU shares can not be less than 0")
    for text in filter(None, (limits.cpuset_cpus, limits.cpuset_mems)):
        if not _CPUSET.fullmatch(text):
            raise InvalidConfig(f"Invalid value {text} for cpuset: write it as 0-3,7")
    return limits


def _check_swap(limits: Limits) -> None:
    memory, swap, kept = limits.memory, limits.memory_swap, limits.memory_reservation
    if swap > 0 and not memory:
        raise InvalidConfig("You should always set the Memory limit when using Memoryswap limit, see usage")
    if swap < -1 or 0 < swap < memory:
        raise InvalidConfig("Minimum memoryswap limit should be larger than memory limit, see usage")
    if kept < 0 or 0 < kept < _LEAST_MEMORY:
        raise InvalidConfig("Minimum memory reservation allowed is 6MB")
    if 0 < memory < kept:
        raise InvalidConfig("Minimum memory limit can not be less than memory reservation limit, see usage")
