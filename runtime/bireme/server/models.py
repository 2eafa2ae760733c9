"""The bodies of requests, typed: what is of the wrong type never reaches the engine. Pure.

Field names are Docker's (Engine API), here in snake case. Fields that nobody here knows are ignored, as Docker does.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from bireme_actors import RestartPolicy

Int64 = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
Empty = dict[str, Any]
Words = list[str] | str


def words_of(words: Words) -> list[str]:
    """A command as Docker takes it: a list, or one word."""
    return [words] if isinstance(words, str) else words


class Model(Struct, rename="pascal", omit_defaults=True, frozen=True):
    """Base: a JSON object in Docker's spelling."""

    def document(self) -> dict[str, Any]:
        """What was given, as JSON again."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found


class Restart(Model, frozen=True):
    """``RestartPolicy``."""

    name: str = ""
    maximum_retry_count: Int64 = 0

    def policy(self) -> RestartPolicy:
        """As the engine has it."""
        return RestartPolicy(name=self.name or "no", maximum_retries=self.maximum_retry_count)


class Ulimit(Model, frozen=True):
    """One of ``Ulimits``."""

    name: str = ""
    soft: Int64 = 0
    hard: Int64 = 0


class LogConfig(Model, frozen=True):
    """Where output goes."""

    type: str = ""
    config: dict[str, str] = {}


class TmpfsSettings(Model, frozen=True):
    """``TmpfsOptions`` of one of ``Mounts``."""

    size_bytes: Int64 = 0
    mode: Annotated[int, Meta(ge=0, lt=1 << 32)] = 0
    options: list[Annotated[list[str], Meta(min_length=1, max_length=2)]] = []
    """Since version 1.46: each a word, or a name and its value."""

    def words(self) -> list[str]:
        """As ``--tmpfs PATH:OPTIONS`` has them, each for itself."""
        mode = [f"mode={self.mode:o}"] if self.mode else []
        size = [f"size={self.size_bytes}"] if self.size_bytes else []
        return [*mode, *size, *("=".join(option) for option in self.options)]


class MountPoint(Model, frozen=True):
    """One of ``Mounts``."""

    type: str = ""
    source: str = ""
    target: str = ""
    read_only: bool = False
    consistency: str = ""
    bind_options: Empty = {}
    volume_options: Empty = {}
    tmpfs_options: TmpfsSettings | None = None


class Resources(Model, frozen=True):
    """What can also be changed later (``ContainerUpdate``)."""

    cpu_shares: Int64 = 0
    memory: Int64 = 0
    nano_cpus: Int64 = 0
    cgroup_parent: str = ""
    blkio_weight: Int64 = 0
    blkio_weight_device: list[Empty] = []
    blkio_device_read_bps: list[Empty] = []
    blkio_device_write_bps: list[Empty] = []
    blkio_device_read_iops: list[Empty] = field(name="BlkioDeviceReadIOps", default_factory=list)
    blkio_device_write_iops: list[Empty] = field(name="BlkioDeviceWriteIOps", default_factory=list)
    cpu_period: Int64 = 0
    cpu_quota: Int64 = 0
    cpu_realtime_period: Int64 = 0
    cpu_realtime_runtime: Int64 = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    devices: list[Empty] = []
    device_cgroup_rules: list[str] = []
    device_requests: list[Empty] = []
    memory_reservation: Int64 = 0
    memory_swap: Int64 = 0
    memory_swappiness: Int64 = -1
    kernel_memory: Int64 = 0
    kernel_memory_tcp: Int64 = field(name="KernelMemoryTCP", default=0)
    oom_kill_disable: bool = False
    pids_limit: Int64 = 0
    ulimits: list[Ulimit] = []
    cpu_count: Int64 = 0
    cpu_percent: Int64 = 0
    io_maximum_iops: Int64 = field(name="IOMaximumIOps", default=0)
    io_maximum_bandwidth: Int64 = field(name="IOMaximumBandwidth", default=0)
    restart_policy: Restart = field(default_factory=Restart)


class HostConfig(Resources, frozen=True):
    """How a container is to run on its host."""

    binds: list[str] = []
    container_id_file: str = field(name="ContainerIDFile", default="")
    log_config: LogConfig = field(default_factory=LogConfig)
    network_mode: str = ""
    port_bindings: Empty = {}
    auto_remove: bool = False
    volume_driver: str = ""
    volumes_from: list[str] = []
    mounts: list[MountPoint] = []
    console_size: list[Int64] = []
    annotations: dict[str, str] = {}
    cap_add: Words = []
    cap_drop: Words = []
    cgroupns_mode: str = ""
    dns: list[str] = []
    dns_options: list[str] = []
    dns_search: list[str] = []
    extra_hosts: list[str] = []
    group_add: list[str] = []
    ipc_mode: str = ""
    cgroup: str = ""
    links: list[str] = []
    oom_score_adj: Int64 = 0
    pid_mode: str = ""
    privileged: bool = False
    publish_all_ports: bool = False
    readonly_rootfs: bool = False
    security_opt: list[str] = []
    storage_opt: dict[str, str] = {}
    tmpfs: dict[str, str] = {}
    uts_mode: str = field(name="UTSMode", default="")
    userns_mode: str = ""
    shm_size: Int64 = 0
    sysctls: dict[str, str] = {}
    runtime: str = ""
    isolation: str = ""
    masked_paths: list[str] | None = None
    readonly_paths: list[str] | None = None
    init: bool = False


class Healthcheck(Model, frozen=True):
    """How to see whether a container is well; times in nanoseconds."""

    test: list[str] = []
    interval: Int64 = 0
    timeout: Int64 = 0
    retries: Int64 = 0
    start_period: Int64 = 0
    start_interval: Int64 = 0


class AddressConfig(Model, frozen=True):
    """``IPAMConfig``: addresses that are chosen."""

    ipv4_address: str = field(name="IPv4Address", default="")
    ipv6_address: str = field(name="IPv6Address", default="")
    link_local_ips: list[str] = field(name="LinkLocalIPs", default_factory=list)


class Endpoint(Model, frozen=True):
    """How to join a network: what can be asked for. What an engine finds out itself (``IPAddress``) is passed over."""

    ipam_config: AddressConfig = field(name="IPAMConfig", default_factory=AddressConfig)
    links: list[str] = []
    aliases: list[str] = []
    mac_address: str = ""
    driver_opts: dict[str, str] = {}


class NetworkingConfig(Model, frozen=True):
    """Networks to join, by name."""

    endpoints_config: dict[str, Endpoint] = {}


class CreateBody(Model, frozen=True):
    """``ContainerCreate``."""

    image: str = ""
    hostname: str = ""
    domainname: str = ""
    user: str = ""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    exposed_ports: dict[str, Empty] = {}
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    env: list[str] = []
    cmd: Words = []
    healthcheck: Healthcheck | None = None
    args_escaped: bool = False
    volumes: dict[str, Empty] = {}
    working_dir: str = ""
    entrypoint: Words | None = None
    network_disabled: bool = False
    mac_address: str = ""
    labels: dict[str, str] = {}
    stop_signal: str = ""
    stop_timeout: Int64 | None = None
    shell: list[str] = []
    runtime: str = ""
    """Where older clients put it that send no ``HostConfig``."""
    host_config: HostConfig = field(default_factory=HostConfig)
    networking_config: NetworkingConfig = field(default_factory=NetworkingConfig)


class ExecBody(Model, frozen=True):
    """``ContainerExec``."""

    user: str = ""
    privileged: bool = False
    tty: bool = False
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    detach_keys: str = ""
    env: list[str] = []
    working_dir: str = ""
    cmd: Words = []
    console_size: list[Int64] = []


class ExecStartBody(Model, frozen=True):
    """``ExecStart``."""

    detach: bool = False
    tty: bool = False
    console_size: list[Int64] = []


class Nothing(Model, frozen=True):
    """A body without anything of interest in it."""

