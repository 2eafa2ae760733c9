"""From the body of ``ContainerCreate`` to the keywords of the engine's ``create``, field by field. Pure."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

from bireme.server.bounds import limits, security
from bireme.server.endpoints import network
from bireme.server.hosting import check_host
from bireme.server.models import CreateBody, HostConfig, MountPoint
from bireme.server.ports import check_ports
from bireme_actors import InvalidConfig, Tmpfs, Unsupported

if TYPE_CHECKING:
    from bireme.engine import CreateOptions

NO_SOURCE = "volumes have no names and no chosen source here (Docker's data-volume specification): give only the path"


def keywords(body: CreateBody, name: str) -> CreateOptions:
    """Raises InvalidConfig, Unsupported with the specification's or the engine's reason."""
    host = body.host_config
    check_host(host)
    check_ports(body.exposed_ports, host.port_bindings)
    found: CreateOptions = {
        "name": name.removeprefix("/"),
        "volumes": _volumes(body),
        "volumes_from": host.volumes_from,
        "tmpfs": _tmpfs(host),
        "env": body.env,
        "user": body.user,
        "workdir": body.working_dir,
        "hostname": body.hostname,
        "domainname": body.domainname,
        "labels": body.labels,
        "tty": body.tty,
        "stdin_open": body.open_stdin,
        "stdin_once": body.stdin_once,
        "network": network(body),
        "pid_mode": host.pid_mode,
        "uts_mode": host.uts_mode,
        "read_only": host.readonly_rootfs,
        "init": host.init,
        "auto_remove": host.auto_remove,
        "stop_timeout": body.stop_timeout,
        "restart": host.restart_policy.policy(),
        "security": security(host),
        "limits": limits(host, shm_size=host.shm_size, oom_score_adj=host.oom_score_adj),
        "log_driver": host.log_config.type or "json-file",
        "log_opts": host.log_config.config,
        "extra": _extra(body),
    }
    if body.entrypoint:
        found["entrypoint"] = body.entrypoint
    if body.stop_signal:
        found["stop_signal"] = body.stop_signal
    if host.runtime or body.runtime:
        found["driver"] = host.runtime or body.runtime
    return found


def _volumes(body: CreateBody) -> list[str]:
    host = body.host_config
    targets = [_mount_target(mount) for mount in host.mounts if mount.type != "tmpfs"]
    found = [*body.volumes, *host.binds, *targets]
    if found and host.volume_driver not in ("", "local"):
        raise Unsupported(f"invalid volume driver {host.volume_driver!r}: this engine knows 'local'")
    return found


def _mount_target(mount: MountPoint) -> str:
    if mount.type not in ("volume", "bind", "npipe", "cluster", "image"):
        raise InvalidConfig(f"invalid mount config for type {mount.type!r}: mount type unknown")
    if mount.type != "volume" or mount.source:
        raise Unsupported(f"invalid mount of {mount.source or mount.type!r} at {mount.target!r}: {NO_SOURCE}")
    if mount.read_only or set(mount.volume_options) - {"NoCopy"} or mount.volume_options.get("NoCopy"):
        raise Unsupported(
            f"invalid mount at {mount.target!r}: a new volume has no options; mount it read-only elsewhere with "
            "--volumes-from CONTAINER:ro"
        )
    return mount.target


def _tmpfs(host: HostConfig) -> list[Tmpfs]:
    """Where a volume is asked for as a mount, no tmpfs can be; elsewhere it takes a volume's place (as in Docker)."""
    volumes = {_clean(path) for path in host.binds}
    own = [_apart(Tmpfs(path, options), volumes) for path, options in host.tmpfs.items()]
    volumes.update(_clean(mount.target) for mount in host.mounts if mount.type != "tmpfs")
    return own + [_apart(_listed(mount), volumes) for mount in host.mounts if mount.type == "tmpfs"]


def _apart(tmpfs: Tmpfs, volumes: set[str]) -> Tmpfs:
    if _clean(tmpfs.destination) in volumes:
        raise InvalidConfig(f"Duplicate mount point: {tmpfs.destination}")
    return tmpfs


def _clean(path: str) -> str:
    return posixpath.normpath(path).lstrip("/")


def _listed(mount: MountPoint) -> Tmpfs:
    for name, given in (("Source", mount.source), ("BindOptions", mount.bind_options)):
        if given:
            raise InvalidConfig(f'invalid mount config for type "tmpfs": field {name} must not be specified')
    words = ["ro"] if mount.read_only else []
    if mount.tmpfs_options is not None:
        words += mount.tmpfs_options.words()
    return Tmpfs(mount.target, ",".join(words), listed=True)


_ENGINE_KNOWS = {
    "Image", "Hostname", "Domainname", "User", "Tty", "OpenStdin", "StdinOnce", "Env", "Cmd", "Volumes", "WorkingDir",
    "Entrypoint", "Labels", "StopSignal", "StopTimeout", "Runtime", "HostConfig", "NetworkingConfig",
}  # fmt: skip


def _extra(body: CreateBody) -> dict[str, object]:
    document: dict[str, Any] = body.document()
    host = {key: value for key, value in document.pop("HostConfig", {}).items() if key not in _HOST_KNOWN}
    return {
        "Config": {key: value for key, value in document.items() if key not in _ENGINE_KNOWS},
        "HostConfig": host,
    }


_HOST_KNOWN = {
    "AutoRemove", "CapAdd", "CapDrop", "GroupAdd", "Init", "LogConfig", "Memory", "NanoCpus", "NetworkMode",
    "OomScoreAdj", "PidMode", "PidsLimit", "Privileged", "ReadonlyRootfs", "RestartPolicy", "Runtime", "SecurityOpt",
    "ShmSize", "Tmpfs", "UTSMode", "Ulimits", "VolumesFrom",
}  # fmt: skip
