"""From the body of ``ContainerCreate`` to the keywords of the engine's ``create``, field by field. Pure.

What would make a container other than was asked for is refused, with the reason; what makes no difference where there
is no network, or only bounds what is bounded otherwise, is let pass with a warning. Either stands in a table here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bireme.server.models import CreateBody, HostConfig, Model, MountPoint, Resources, Words

if TYPE_CHECKING:
    from bireme.engine import CreateOptions
from bireme_actors import InvalidConfig, Limits, Security, Unsupported

NETWORKS = {"": "none", "default": "none", "bridge": "none", "none": "none", "host": "host"}
"""What ``NetworkMode`` can say, and what it means here: Docker's default has no network to offer."""

NO_SOURCE = "volumes have no names and no chosen source here (Docker's data-volume specification): give only the path"

_LEAST_MEMORY = 6 << 20
_LOG_DRIVERS = ("", "json-file", "local")

_REFUSED: Mapping[str, str] = {
    "tmpfs": "tmpfs mounts are not supported: take a volume (-v PATH), or /dev/shm",
    "devices": "devices of the host cannot be handed to a container",
    "device_requests": "devices of the host cannot be handed to a container",
    "device_cgroup_rules": "device rules are not supported: a container has Docker's default devices",
    "sysctls": "sysctls are not supported",
    "storage_opt": "storage options are not supported",
    "links": "links are not supported: there is no network between containers",
}
"""Fields of HostConfig that must be empty."""

_MODES: Mapping[str, tuple[str, ...]] = {
    "ipc_mode": ("", "private", "none", "shareable"),
    "pid_mode": ("", "private"),
    "uts_mode": ("", "private"),
    "userns_mode": ("", "host", "private"),
    "cgroupns_mode": ("", "private"),
    "cgroup": ("",),
    "isolation": ("", "default"),
    "volume_driver": ("", "local"),
}
"""Fields of HostConfig that know only these values."""

_WARNED: Mapping[str, str] = {
    "port_bindings": "Published ports are ignored: containers have no network besides loopback, or the host's own",
    "publish_all_ports": "Published ports are ignored: containers have no network besides loopback, or the host's own",
    "dns": "DNS options are ignored: there is no network besides loopback, or the host's own",
    "dns_search": "DNS options are ignored: there is no network besides loopback, or the host's own",
    "dns_options": "DNS options are ignored: there is no network besides loopback, or the host's own",
    "extra_hosts": "Extra hosts are ignored",
    "cpu_shares": "CPU shares are ignored: limit processors with NanoCpus or CpuQuota",
    "cpuset_cpus": "Cpusets are ignored: limit processors with NanoCpus or CpuQuota",
    "cpuset_mems": "Cpusets are ignored: limit memory with Memory",
    "blkio_weight": "The block I/O weight is ignored",
    "cpu_realtime_period": "Real-time scheduling limits are ignored",
    "cpu_realtime_runtime": "Real-time scheduling limits are ignored",
    "memory_reservation": "The memory reservation is ignored",
    "memory_swap": "The swap limit is ignored",
    "kernel_memory": "The kernel memory limit is ignored",
    "oom_kill_disable": "OomKillDisable is ignored: the kernel's OOM killer stays on",
    "cgroup_parent": "CgroupParent is ignored: every container has a cgroup of the engine's own",
    "masked_paths": "MaskedPaths is ignored: the default paths are masked unless the container is privileged",
    "readonly_paths": "ReadonlyPaths is ignored: the default paths are read-only unless the container is privileged",
}
"""Fields of HostConfig that are let pass."""


def keywords(body: CreateBody, name: str) -> CreateOptions:
    """Raises InvalidConfig, Unsupported with the specification's or the engine's reason."""
    host = body.host_config
    _check_host(host)
    found: CreateOptions = {
        "name": name.removeprefix("/"),
        "volumes": _volumes(body),
        "volumes_from": host.volumes_from,
        "env": body.env,
        "user": body.user,
        "workdir": body.working_dir,
        "hostname": body.hostname,
        "domainname": body.domainname,
        "labels": body.labels,
        "tty": body.tty,
        "stdin_open": body.open_stdin,
        "stdin_once": body.stdin_once,
        "network": _network(body),
        "read_only": host.readonly_rootfs,
        "init": host.init,
        "auto_remove": host.auto_remove,
        "stop_timeout": body.stop_timeout,
        "restart": host.restart_policy.policy(),
        "security": _security(host),
        "limits": limits(host, shm_size=host.shm_size, oom_score_adj=host.oom_score_adj),
        "extra": _extra(body),
    }
    if body.entrypoint:
        found["entrypoint"] = body.entrypoint
    if body.stop_signal:
        found["stop_signal"] = body.stop_signal
    if host.runtime:
        found["driver"] = host.runtime
    return found


def command(words: Words) -> list[str]:
    """A command as Docker takes it: a list, or one word."""
    return [words] if isinstance(words, str) else words


def warnings(body: CreateBody) -> list[str]:
    """What the user should know about a container that was created all the same."""
    found = [text for field, text in _WARNED.items() if _given(body.host_config, field)]
    if body.healthcheck.get("Test") not in (None, [], ["NONE"]):
        found.append("The health check is kept but not run")
    return list(dict.fromkeys(found))


def _given(model: Model, field: str) -> bool:
    value = getattr(model, field)
    return value not in (None, 0, -1, "", [], {}) or (value == [] and field.endswith("_paths"))


def _check_host(host: HostConfig) -> None:
    for field, reason in _REFUSED.items():
        if getattr(host, field):
            raise Unsupported(reason)
    for field, known in _MODES.items():
        value = getattr(host, field)
        if value not in known:
            shown = ", ".join(repr(word) for word in known if word) or "nothing"
            raise Unsupported(f"invalid {field.replace('_', ' ')} {value!r}: this engine knows {shown}")
    if host.log_config.type not in _LOG_DRIVERS:
        raise InvalidConfig(f"logger: no log driver named '{host.log_config.type}' is registered")
    if host.console_size and (len(host.console_size) != 2 or min(host.console_size) < 0):
        raise InvalidConfig("invalid ConsoleSize: it must be a height and a width")


def _network(body: CreateBody) -> str:
    for name in (body.host_config.network_mode, *body.networking_config.endpoints_config):
        if name.startswith("container:"):
            raise Unsupported(f"invalid network mode '{name}': a container cannot share another one's network")
        if name not in NETWORKS:
            raise InvalidConfig(f"network {name} not found: there are none (loopback only) and host")
    return "none" if body.network_disabled else NETWORKS[body.host_config.network_mode]


def _volumes(body: CreateBody) -> list[str]:
    return [*body.volumes, *body.host_config.binds, *(_mount_target(mount) for mount in body.host_config.mounts)]


def _mount_target(mount: MountPoint) -> str:
    if mount.type not in ("volume", "bind", "tmpfs", "npipe", "cluster", "image"):
        raise InvalidConfig(f"invalid mount config for type {mount.type!r}: mount type unknown")
    if mount.type == "tmpfs":
        raise Unsupported(_REFUSED["tmpfs"])
    if mount.type != "volume" or mount.source:
        raise Unsupported(f"invalid mount of {mount.source or mount.type!r} at {mount.target!r}: {NO_SOURCE}")
    if mount.read_only or set(mount.volume_options) - {"NoCopy"} or mount.volume_options.get("NoCopy"):
        raise Unsupported(
            f"invalid mount at {mount.target!r}: a new volume has no options; mount it read-only elsewhere with "
            "--volumes-from CONTAINER:ro"
        )
    return mount.target


def _security(host: HostConfig) -> Security:
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
    return tuple(name.upper().removeprefix("CAP_") for name in command(words))


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
        nano_cpus=_nano_cpus(resources),
        pids=max(resources.pids_limit, 0),
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


_ENGINE_KNOWS = {
    "Image", "Hostname", "Domainname", "User", "Tty", "OpenStdin", "StdinOnce", "Env", "Cmd", "Volumes", "WorkingDir",
    "Entrypoint", "Labels", "StopSignal", "StopTimeout", "HostConfig", "NetworkingConfig",
}  # fmt: skip


def _extra(body: CreateBody) -> dict[str, object]:
    document: dict[str, Any] = body.document()
    host = {key: value for key, value in document.pop("HostConfig", {}).items() if key not in _HOST_KNOWN}
    return {
        "Config": {key: value for key, value in document.items() if key not in _ENGINE_KNOWS},
        "HostConfig": host,
    }


_HOST_KNOWN = {
    "AutoRemove", "CapAdd", "CapDrop", "GroupAdd", "Init", "Memory", "NanoCpus", "NetworkMode", "OomScoreAdj",
    "PidsLimit", "Privileged", "ReadonlyRootfs", "RestartPolicy", "Runtime", "SecurityOpt", "ShmSize", "Ulimits",
    "VolumesFrom",
}  # fmt: skip
