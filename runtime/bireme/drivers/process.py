"""From what a process is asked to be to what the launcher is told: pure functions, Docker's defaults."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from bireme_actors import ContainerConfig, InvalidConfig, Limits, ProcessSpec

if TYPE_CHECKING:
    from bireme.launcher.requests import LimitsRequest, ProcessRequest

RESOURCES = {
    "cpu": 0,
    "fsize": 1,
    "data": 2,
    "stack": 3,
    "core": 4,
    "rss": 5,
    "nproc": 6,
    "nofile": 7,
    "memlock": 8,
    "locks": 10,
    "sigpending": 11,
    "msgqueue": 12,
    "nice": 13,
    "rtprio": 14,
    "rttime": 15,
}
"""The limits that Docker's ``--ulimit`` knows, with Linux's numbers (not all of them are in ``resource``)."""

UNLIMITED = -1

DEFAULT_LIMITS: Mapping[str, tuple[int, int]] = {
    "core": (UNLIMITED, UNLIMITED),
    "nofile": (1 << 20, 1 << 20),
    "nproc": (UNLIMITED, UNLIMITED),
}
"""What Docker's service gives its containers, whatever the engine was started with; cut to what may be given."""


def process_request(
    config: ContainerConfig, process: ProcessSpec, *, capabilities: int, seccomp: str, size: tuple[int, int] = (0, 0)
) -> ProcessRequest:
    """A process of the container ``config``, its first one or another.

    ``capabilities`` and ``seccomp`` (a filter's name) are what it gets; ``size`` is its terminal's (rows, columns), 0
    for the kernel's default. Raises InvalidConfig for a NUL, no command, a relative directory, a limit that is none.
    """
    _check(process)
    request: ProcessRequest = {
        "args": list(process.args),
        "env": _environment(process.env),
        "user": process.user,
        "groups": list(config.security.group_add),
        "cwd": process.working_dir or "/",
        "tty": process.tty,
        "stdin": process.open_stdin,
        "hostname": hostname(config),
        "capabilities": capabilities,
        "seccomp": seccomp,
        "no_new_privileges": config.security.no_new_privileges,
        "rlimits": resource_limits(config.limits.rlimits),
        "oom_score_adj": config.limits.oom_score_adj,
    }
    rows, columns = size
    if process.tty and rows and columns:
        request["rows"], request["columns"] = rows, columns
    return request


def hostname(config: ContainerConfig) -> str:
    """The container's own, the host's if it shares the network, the beginning of its identifier otherwise."""
    return config.hostname or (os.uname().nodename if config.network == "host" else config.id[:12])


def limits_request(limits: Limits) -> LimitsRequest:
    """Bounds for the whole container."""
    usual: LimitsRequest = {"memory": limits.memory, "cpu": limits.nano_cpus, "pids": limits.pids}
    swap, kept = limits.memory and limits.memory_swap, limits.memory_reservation
    rare = swap or kept or limits.cpu_shares or limits.cpuset_cpus or limits.cpuset_mems
    return changed_limits(limits) if rare else usual


def changed_limits(limits: Limits) -> LimitsRequest:
    """All bounds: what is 0 stays as it is, -1 processes are no bound."""
    return {
        "memory": limits.memory,
        "cpu": limits.nano_cpus,
        "pids": limits.pids,
        "memory_swap": limits.memory_swap if limits.memory else 0,
        "memory_reservation": limits.memory_reservation,
        "cpu_shares": limits.cpu_shares,
        "cpuset_cpus": limits.cpuset_cpus,
        "cpuset_mems": limits.cpuset_mems,
    }


def resource_limits(given: Mapping[str, tuple[int, int]]) -> list[tuple[int, int, int]]:
    """(resource, soft, hard) of the limits given and of the default ones. Raises InvalidConfig."""
    for name, (soft, hard) in given.items():
        if name not in RESOURCES:
            raise InvalidConfig(f"invalid ulimit type: {name}; known: {', '.join(RESOURCES)}")
        if soft < UNLIMITED or hard < UNLIMITED:
            raise InvalidConfig(f"invalid ulimit {name}={soft}:{hard}: the least is 0, and -1 for no limit")
        if hard != UNLIMITED and (soft > hard or soft == UNLIMITED):
            raise InvalidConfig(f"invalid ulimit {name}={soft}:{hard}: the soft limit must not exceed the hard limit")
    merged = {**DEFAULT_LIMITS, **given}
    return [(RESOURCES[name], soft, hard) for name, (soft, hard) in merged.items()]


def console_size(config: ContainerConfig) -> tuple[int, int]:
    """(rows, columns) that the client's terminal had when the container was created, (0, 0) if it did not say."""
    host = config.extra.get("HostConfig")
    given = host.get("ConsoleSize") if isinstance(host, Mapping) else None
    if not isinstance(given, list | tuple) or len(given) != 2:
        return 0, 0
    rows, columns = (n if isinstance(n, int) and 0 <= n < 1 << 16 else 0 for n in given)
    return rows, columns


def _check(process: ProcessSpec) -> None:
    if not process.args or not process.args[0]:
        raise InvalidConfig("no command specified: give one, or an image that has one")
    _refuse_nul("the command", process.args)
    _refuse_nul("the user", (process.user,))
    _refuse_nul("the working directory", (process.working_dir,))
    if process.working_dir and not process.working_dir.startswith("/"):
        raise InvalidConfig(f"the working directory {process.working_dir!r} is invalid: it has to be absolute")


def _refuse_nul(what: str, texts: Iterable[str]) -> None:
    for text in texts:
        if "\0" in text:
            raise InvalidConfig(f"{what} {text!r} is invalid: it holds a NUL character")


def _environment(entries: Iterable[str]) -> list[str]:
    """``NAME=value`` entries, the last of each name; one without ``=`` takes the variable away, as in Docker."""
    found: dict[str, str] = {}
    for entry in entries:
        name, equals, _ = entry.partition("=")
        if not name or "\0" in entry:
            raise InvalidConfig(f"invalid environment variable {entry!r}: write NAME=value, without NUL characters")
        if equals:
            found[name] = entry
        else:
            found.pop(name, None)
    return list(found.values())
