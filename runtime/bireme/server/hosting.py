"""What a container may be asked for of its host, and what becomes of what this engine has not. Pure.

What would make a container other than was asked for is refused, with the reason; what makes no difference where there
is no network, or only bounds what is bounded otherwise, is let pass with a warning. Each stands in a table here.
"""

from __future__ import annotations

from collections.abc import Mapping

from bireme.server.endpoints import NO_LINKS, network_warnings
from bireme.server.models import CreateBody, HostConfig, Model, Resources
from bireme_actors import InvalidConfig, Unsupported

_LOG_WARNED = frozenset({"compress", "env", "env-regex", "labels", "labels-regex", "max-buffer-size", "mode", "tag"})

REFUSED: Mapping[str, str] = {
    "devices": "devices of the host cannot be handed to a container",
    "device_requests": "devices of the host cannot be handed to a container",
    "sysctls": "sysctls are not supported",
    "storage_opt": "storage options are not supported",
    "links": NO_LINKS,
}
"""Fields of HostConfig that must be empty."""

_MODES: Mapping[str, tuple[str, ...]] = {
    "ipc_mode": ("", "private", "none", "shareable"),
    "userns_mode": ("", "host", "private"),
    "cgroupns_mode": ("", "private"),
    "cgroup": ("",),
    "isolation": ("", "default"),
}
"""Fields of HostConfig that know only these values."""

_WARNED: Mapping[str, str] = {
    "port_bindings": "Published ports are ignored: containers have no network besides loopback, or the host's own",
    "publish_all_ports": "Published ports are ignored: containers have no network besides loopback, or the host's own",
    "blkio_weight": "The block I/O weight is ignored",
    "blkio_weight_device": "Block I/O limits are ignored",
    "blkio_device_read_bps": "Block I/O limits are ignored",
    "blkio_device_write_bps": "Block I/O limits are ignored",
    "blkio_device_read_iops": "Block I/O limits are ignored",
    "blkio_device_write_iops": "Block I/O limits are ignored",
    "memory_swappiness": "The memory swappiness is ignored",
    "cpu_realtime_period": "Real-time scheduling limits are ignored",
    "cpu_realtime_runtime": "Real-time scheduling limits are ignored",
    "kernel_memory": "The kernel memory limit is ignored",
    "kernel_memory_tcp": "The kernel memory limit is ignored",
    "cpu_count": "CpuCount is ignored: it is for Windows",
    "cpu_percent": "CpuPercent is ignored: it is for Windows",
    "io_maximum_iops": "IOMaximumIOps is ignored: it is for Windows",
    "io_maximum_bandwidth": "IOMaximumBandwidth is ignored: it is for Windows",
    "oom_kill_disable": "OomKillDisable is ignored: the kernel's OOM killer stays on",
    "device_cgroup_rules": "Device rules are ignored: a container has Docker's default devices",
    "cgroup_parent": "CgroupParent is ignored: every container has a cgroup of the engine's own",
    "masked_paths": "MaskedPaths is ignored: the default paths are masked unless the container is privileged",
    "annotations": "Annotations are ignored",
    "readonly_paths": "ReadonlyPaths is ignored: the default paths are read-only unless the container is privileged",
}
"""Fields of HostConfig that are let pass."""


def warnings(body: CreateBody) -> list[str]:
    """What the user should know about a container that was created all the same."""
    found = [text for field, text in _WARNED.items() if _given(body.host_config, field)]
    log = body.host_config.log_config
    found += [f"The log option {name} is ignored" for name in log.config if log.type == "none" or name in _LOG_WARNED]
    return list(dict.fromkeys([*found, *network_warnings(body)]))


def resource_warnings(resources: Resources) -> list[str]:
    """The same of bounds that are changed."""
    fields = resources.__struct_fields__
    return list(dict.fromkeys(text for field, text in _WARNED.items() if field in fields and _given(resources, field)))


def _given(model: Model, field: str) -> bool:
    value = getattr(model, field)
    return value not in (None, 0, -1, "", [], {}) or (value == [] and field.endswith("_paths"))


def check_host(host: HostConfig) -> None:
    """Raises Unsupported with the reason, InvalidConfig."""
    for field, reason in REFUSED.items():
        if getattr(host, field):
            raise Unsupported(reason)
    for field, known in _MODES.items():
        value = getattr(host, field)
        if value not in known:
            shown = ", ".join(repr(word) for word in known if word) or "nothing"
            raise Unsupported(f"invalid {field.replace('_', ' ')} {value!r}: this engine knows {shown}")
    if host.console_size and (len(host.console_size) != 2 or min(host.console_size) < 0):
        raise InvalidConfig("invalid ConsoleSize: it must be a height and a width")
