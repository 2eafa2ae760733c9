"""What a container's processes may do and use: Docker's security options and limits as the engine has them. Pure."""

from __future__ import annotations

import json

from bireme.server.models import HostConfig, Resources, Words, words_of
from bireme_actors import InvalidConfig, Limits, Security, Unsupported

_LEAST_MEMORY = 6 << 20


def security(host: HostConfig) -> Security:
    """Raises InvalidConfig, Unsupported."""
    options = dict(_security_option(text) for text in host.security_opt)
    return Security(
        cap_add=_capabilities(host.cap_add),
        cap_drop=_capabilities(host.cap_drop),
        no_new_privileges=options.get("no-new-privileges", "false") == "true",
        seccomp=options.get("seccomp", "default"),
        privileged=host.privileged,
        group_add=tuple(host.group_add),
    )


def _capabilities(words: Words) -> tuple[str, ...]:
    return tuple(name.upper().removeprefix("CAP_") for name in words_of(words))


def _security_option(text: str) -> tuple[str, str]:
    """Raises InvalidConfig, Unsupported."""
    cut = min((text.find(mark) for mark in "=:" if mark in text), default=len(text))
    name, value = text[:cut], text[cut + 1 :]
    if name == "no-new-privileges" and value.lower() in ("", "true", "false", "1", "0"):
        return name, "true" if value.lower() in ("", "true", "1") else "false"
    if name == "seccomp" and value:
        return name, _seccomp(value)
    if (name, value) in (("apparmor", "unconfined"), ("label", "disable"), ("systempaths", "unconfined")):
        return name, value
    if name in ("apparmor", "label"):
        raise Unsupported(f"invalid --security-opt {text!r}: this engine has neither AppArmor profiles nor labels")
    raise InvalidConfig(f"invalid --security-opt: {text!r}")


def _seccomp(value: str) -> str:
    if value in ("unconfined", "default", "builtin"):
        return "default" if value == "builtin" else value
    try:
        json.loads(value)
    except (ValueError, RecursionError) as error:
        raise InvalidConfig(f"Decoding seccomp profile failed: {error}") from None
    return value


def limits(resources: Resources, *, shm_size: int = 0, oom_score_adj: int = 0) -> Limits:
    """The bounds. Raises InvalidConfig where one contradicts itself or another."""
    if 0 < resources.memory < _LEAST_MEMORY:
        raise InvalidConfig("Minimum memory limit allowed is 6MB")
    if resources.memory < 0:
        raise InvalidConfig("Memory limit can not be less than 0")
    if shm_size < 0:
        raise InvalidConfig("SHM size can not be less than 0")
    if not -1000 <= oom_score_adj <= 1000:
        raise InvalidConfig(f"Invalid value {oom_score_adj}, range for oom score adj is [-1000, 1000]")
    return Limits(
        memory=resources.memory,
        memory_swap=resources.memory_swap,
        memory_reservation=resources.memory_reservation,
        nano_cpus=_nano_cpus(resources),
        cpu_shares=resources.cpu_shares,
        cpuset_cpus=resources.cpuset_cpus,
        cpuset_mems=resources.cpuset_mems,
        pids=max(resources.pids_limit, -1),
        rlimits={ulimit.name: (ulimit.soft, ulimit.hard) for ulimit in resources.ulimits},
        shm_size=shm_size or Limits().shm_size,
        oom_score_adj=oom_score_adj,
    )


def _nano_cpus(resources: Resources) -> int:
    nano, quota, period = resources.nano_cpus, resources.cpu_quota, resources.cpu_period
    if nano and (quota or period):
        other = "CPU Period" if period else "CPU Quota"
        raise InvalidConfig(f"Conflicting options: Nano CPUs and {other} cannot both be set.")
    if nano < 0:
        raise InvalidConfig("NanoCPUs can not be less than 0")
    if period and not 1000 <= period <= 1000000:
        raise InvalidConfig("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    if 0 < quota < 1000:
        raise InvalidConfig("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    return nano or max(quota, 0) * 1_000_000_000 // (period or 100_000)
