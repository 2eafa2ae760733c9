"""One container as Docker's JSON (Engine API, ``ContainerInspect``). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from bireme.engine._health import Health, health_json
from bireme.engine._log_options import read_log_options
from bireme.engine._signals import signal_name
from bireme.storage import Layout
from bireme_actors import (
    ContainerConfig,
    ContainerState,
    ContainerView,
    Limits,
    Mount,
    Nanoseconds,
    Security,
    Status,
    Tmpfs,
    VolumesFrom,
    tmpfs_options,
)

_ZERO_TIME = "0001-01-01T00:00:00Z"
_SHOWN = {Status.STARTING: "created", Status.STOPPING: "running", Status.REMOVED: "removing"}

_MASKED = [
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
    "/sys/firmware",
]
_READ_ONLY = [
    "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
]


def format_time(moment: Nanoseconds) -> str:
    """RFC 3339 with nanoseconds, as Go prints them; Go's zero time for 0."""
    if not moment:
        return _ZERO_TIME
    seconds, rest = divmod(moment, 1_000_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{text}{fraction}Z"


def shown_status(status: Status) -> str:
    """Docker's word for it: where the engine knows more states, the nearest."""
    return _SHOWN.get(status, str(status))


def inspect_container(
    view: ContainerView,
    layout: Layout,
    layers: tuple[str, ...],
    execs: tuple[str, ...],
    health: Health | None = None,
) -> dict[str, object]:
    """The whole object."""
    config, state = view.config, view.state
    files = layout.container(config.id)
    return {
        "Id": config.id,
        "Created": format_time(config.created),
        "Path": config.args[0],
        "Args": list(config.args[1:]),
        "State": _state(state) | ({"Health": health_json(health, format_time)} if health is not None else {}),
        "Image": config.image_id,
        "ResolvConfPath": f"{files}/resolv.conf",
        "HostnamePath": f"{files}/hostname",
        "HostsPath": f"{files}/hosts",
        "LogPath": f"{files}/log.jsonl" if read_log_options(config.extra).kept else "",
        "Name": f"/{config.name}",
        "RestartCount": state.restart_count,
        "Driver": "overlay2",
        "Runtime": config.driver,
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": list(execs) or None,
        "HostConfig": _host_config(config),
        "GraphDriver": _graph_driver(layout, config, layers),
        "Mounts": [*(mount_json(mount, layout) for mount in config.mounts), *tmpfs_json(config)],
        "Config": _config(config),
        "NetworkSettings": _network(config, state),
    }


def _state(state: ContainerState) -> dict[str, object]:
    return {
        "Status": shown_status(state.status),
        "Running": state.running,
        "Paused": state.status is Status.PAUSED,
        "Restarting": state.status is Status.RESTARTING,
        "OOMKilled": state.oom_killed,
        "Dead": state.status is Status.DEAD,
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": format_time(state.started),
        "FinishedAt": format_time(state.finished),
    }


def mount_json(mount: Mount, layout: Layout) -> dict[str, object]:
    """One entry of ``Mounts``."""
    return {
        "Type": "volume",
        "Name": mount.volume,
        "Source": layout.volume(mount.volume),
        "Destination": mount.destination,
        "Driver": "local",
        "Mode": "",
        "RW": not mount.read_only,
        "Propagation": "",
    }


def tmpfs_json(config: ContainerConfig) -> list[dict[str, object]]:
    """The entries of ``Mounts`` that are in memory: those asked for as mounts, as in Docker."""
    return [_tmpfs(tmpfs) for tmpfs in config.tmpfs if tmpfs.listed]


def _tmpfs(tmpfs: Tmpfs) -> dict[str, object]:
    return {
        "Type": "tmpfs",
        "Source": "",
        "Destination": tmpfs.destination,
        "Mode": "",
        "RW": "ro" not in tmpfs_options(tmpfs).flags,
        "Propagation": "",
    }


def _part(config: ContainerConfig, name: str) -> Mapping[str, object]:
    part = config.extra.get(name)
    return part if isinstance(part, Mapping) else {}


def _config(config: ContainerConfig) -> dict[str, object]:
    known = {
        "Hostname": config.hostname,
        "User": config.user,
        "Tty": config.tty,
        "OpenStdin": config.open_stdin,
        "StdinOnce": config.stdin_once,
        "Env": list(config.env),
        "Cmd": _list(config.command),
        "Image": config.image,
        "Volumes": {path: {} for path in config.volumes} or None,
        "WorkingDir": "" if config.working_dir == "/" else config.working_dir,
        "Entrypoint": _list(config.entrypoint),
        "Labels": dict(config.labels),
        "StopSignal": signal_name(config.stop_signal),
    }
    if config.stop_timeout is not None:
        known["StopTimeout"] = config.stop_timeout
    attached = {"AttachStdin": False, "AttachStdout": False, "AttachStderr": False}
    return {"Domainname": "", **attached, "OnBuild": None, **_part(config, "Config"), **known}


def _list(words: tuple[str, ...] | None) -> list[str] | None:
    return None if words is None else list(words)


_UNSET: Mapping[str, object] = {
    **dict.fromkeys(("Cgroup", "CgroupParent"), ""),
    **dict.fromkeys(("BlkioWeight", "CpuCount", "CpuPercent", "CpuPeriod", "CpuQuota"), 0),
    **dict.fromkeys(("CpuRealtimePeriod", "CpuRealtimeRuntime", "IOMaximumBandwidth", "IOMaximumIOps"), 0),
    **dict.fromkeys(("DeviceCgroupRules", "DeviceRequests", "MemorySwappiness"), None),
    "OomKillDisable": False,
}
"""Fields of Docker's HostConfig that say nothing here: programs and templates read them all the same."""


def _host_config(config: ContainerConfig) -> dict[str, object]:
    defaults: dict[str, object] = {
        "Binds": None,
        "ContainerIDFile": "",
        "LogConfig": {"Type": "json-file", "Config": {}},
        "PortBindings": {},
        "VolumeDriver": "",
        "ConsoleSize": [0, 0],
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "UsernsMode": "",
        "Isolation": "",
        "Dns": [],
        "DnsOptions": [],
        "DnsSearch": [],
        "ExtraHosts": None,
        "Links": None,
        "PublishAllPorts": False,
        "Devices": [],
        **_UNSET,
    }
    known = {
        "NetworkMode": config.network,
        "PidMode": config.pid_mode,
        "UTSMode": config.uts_mode,
        "RestartPolicy": {"Name": config.restart.name, "MaximumRetryCount": config.restart.maximum_retries},
        "AutoRemove": config.auto_remove,
        "VolumesFrom": [_reference(source) for source in config.volumes_from] or None,
        "ReadonlyRootfs": config.read_only,
        "Init": config.init,
        "Runtime": config.driver,
    }
    tmpfs = {one.destination: one.options for one in config.tmpfs if not one.listed}
    known |= {"Tmpfs": tmpfs} if tmpfs else {}
    return {**defaults, **_part(config, "HostConfig"), **known, **_security(config.security), **_limits(config.limits)}


def _reference(source: VolumesFrom) -> str:
    mode = {None: "", True: ":ro", False: ":rw"}[source.read_only]
    return source.container + mode


def _security(security: Security) -> dict[str, object]:
    options = ["no-new-privileges"] if security.no_new_privileges else []
    if security.seccomp != "default":
        options.append(f"seccomp={security.seccomp}")
    return {
        "CapAdd": _capabilities(security.cap_add),
        "CapDrop": _capabilities(security.cap_drop),
        "GroupAdd": list(security.group_add) or None,
        "Privileged": security.privileged,
        "SecurityOpt": options or None,
        "MaskedPaths": None if security.privileged else _MASKED,
        "ReadonlyPaths": None if security.privileged else _READ_ONLY,
    }


def _capabilities(names: tuple[str, ...]) -> list[str] | None:
    return [name if name == "ALL" else f"CAP_{name}" for name in names] or None


def _limits(limits: Limits) -> dict[str, object]:
    return {
        "Memory": limits.memory,
        "MemorySwap": limits.memory_swap,
        "MemoryReservation": limits.memory_reservation,
        "CpuShares": limits.cpu_shares,
        "CpusetCpus": limits.cpuset_cpus,
        "CpusetMems": limits.cpuset_mems,
        "NanoCpus": limits.nano_cpus,
        "PidsLimit": max(limits.pids, 0) or None,
        "ShmSize": limits.shm_size,
        "OomScoreAdj": limits.oom_score_adj,
        "Ulimits": [_ulimit(name, *bounds) for name, bounds in limits.rlimits.items()] or None,
    }


def _ulimit(name: str, soft: int, hard: int) -> dict[str, object]:
    return {"Name": name, "Soft": soft, "Hard": hard}


def _graph_driver(layout: Layout, config: ContainerConfig, layers: tuple[str, ...]) -> dict[str, object]:
    base = layout.container(config.id)
    return {
        "Name": "overlay2",
        "Data": {
            "LowerDir": ":".join(f"{layout.layers}/{layer}" for layer in reversed(layers)),
            "UpperDir": f"{base}/upper",
            "WorkDir": f"{base}/work",
        },
    }


def _network(config: ContainerConfig, state: ContainerState) -> dict[str, object]:
    endpoint = {
        "IPAMConfig": None,
        "Links": None,
        "Aliases": None,
        "NetworkID": network_id(config.network),
        "EndpointID": "",
        "Gateway": "",
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "MacAddress": "",
        "DriverOpts": None,
    }
    return {
        "Bridge": "",
        "SandboxID": "",
        "SandboxKey": f"/proc/{state.pid}/ns/net" if state.pid else "",
        "Ports": {},
        "IPAddress": "",
        "Gateway": "",
        "MacAddress": "",
        "Networks": {config.network: endpoint},
    }


def network_id(name: str) -> str:
    """The fixed identifier of one of the two networks, 64 hexadecimal digits."""
    return name.encode().hex().ljust(64, "0")
