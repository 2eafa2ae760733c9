"""What an engine says of itself and its host, as Docker's JSON."""

from __future__ import annotations

import os
import platform
import sys
import time
from typing import TYPE_CHECKING, Any

import bireme
from bireme.drivers import RUNTIMES, find_runtime
from bireme.engine._inspect import format_time
from bireme.images.registry import INDEX
from bireme_actors import Status

if TYPE_CHECKING:
    from bireme.engine._parts import Parts

API_VERSION, MIN_API_VERSION = "1.49", "1.24"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def architecture() -> str:
    """The host's, in Docker's words."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def version(parts: Parts) -> dict[str, Any]:
    """Engine API, ``SystemVersion``."""
    details = {
        "ApiVersion": API_VERSION,
        "MinAPIVersion": MIN_API_VERSION,
        "GitCommit": "",
        "GoVersion": f"Python {platform.python_version()}",
        "Os": "linux",
        "Arch": architecture(),
        "KernelVersion": platform.release(),
        "BuildTime": "",
    }
    return {
        "Platform": {"Name": "Bireme"},
        "Components": [
            {"Name": "Engine", "Version": bireme.__version__, "Details": {**details, "Experimental": "false"}}
        ],
        "Version": bireme.__version__,
        **details,
    }


def info(parts: Parts) -> dict[str, Any]:
    """Engine API, ``SystemInfo``."""
    views = parts.supervisor.views()
    counts = [view.state.status for view in views]
    running = sum(view.state.running and view.state.status is not Status.PAUSED for view in views)
    paused = counts.count(Status.PAUSED)
    return {
        "ID": parts.settings.root,
        "Name": platform.node(),
        "Containers": len(views),
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": len(views) - running - paused,
        "Images": len(parts.images.list()),
        "Driver": "overlay2",
        "DriverStatus": [["Backing Filesystem", "overlay"]],
        "DockerRootDir": parts.settings.root,
        "EnginePid": os.getpid(),
        "LauncherPid": parts.launcher.facts["pid"],
        "DefaultRuntime": parts.settings.driver,
        "Runtimes": _runtimes(parts.settings.driver),
        "SystemTime": format_time(time.time_ns()),
        **_host(),
        **_features(parts),
    }


def _runtimes(default: str) -> dict[str, dict[str, Any]]:
    """Every driver, installed or not; what other runtimes say of their versions is asked once."""
    found: dict[str, dict[str, Any]] = {"native": {"path": "", "version": bireme.__version__, "installed": True}}
    for name in dict.fromkeys((*RUNTIMES, *(() if default in found else (default,)))):
        runtime = find_runtime(name)
        version = runtime.version()
        found[name] = {"path": runtime.program, "version": version, "installed": bool(version)}
    return found


def _host() -> dict[str, Any]:
    return {
        "KernelVersion": platform.release(),
        "OperatingSystem": platform.freedesktop_os_release().get("PRETTY_NAME", "Linux"),
        "OSType": "linux",
        "Architecture": platform.machine(),
        "NCPU": os.cpu_count() or 1,
        "MemTotal": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "ServerVersion": bireme.__version__,
        "PythonVersion": ".".join(map(str, sys.version_info[:3])),
    }


def _features(parts: Parts) -> dict[str, Any]:
    can_limit = set(parts.launcher.facts["cgroups"])
    return {
        "Plugins": {"Volume": ["local"], "Network": ["host", "none"], "Authorization": None, "Log": ["json-file"]},
        "MemoryLimit": "memory" in can_limit,
        "CpuCfsQuota": "cpu" in can_limit,
        "CpuCfsPeriod": "cpu" in can_limit,
        "PidsLimit": "pids" in can_limit,
        "SwapLimit": "memory" in can_limit,
        "OomKillDisable": False,
        "IPv4Forwarding": True,
        "Debug": False,
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": "2",
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"],
        "LiveRestoreEnabled": True,
        "IndexServerAddress": INDEX,
        "RegistryConfig": parts.images.remote.registries.document(),
        "Labels": [],
        "ExperimentalBuild": False,
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "Swarm": {"LocalNodeState": "inactive", "NodeID": "", "NodeAddr": "", "RemoteManagers": None},
        "InitBinary": "tini",
        "Warnings": None,
    }
