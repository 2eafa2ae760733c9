"""A container in the words of the OCI runtime specification: ``config.json``, with Docker's default mounts. Pure."""

from __future__ import annotations

from bireme.launcher import _mounts
from bireme.launcher.farm import _stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bireme.launcher.requests import RuntimeRequest, StartRequest

RLIMITS = (
    *("CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE"),
    *("MEMLOCK", "AS", "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME"),
)
"""Names by the kernel's numbers."""
CGROUP = "/payload/container"
"""Where a runtime that manages cgroups is to put the container, below the one it sees as the top."""

_STRICT = ["nosuid", "noexec", "nodev"]
_UNLIMITED = (1 << 64) - 1


def config(request: StartRequest, runtime: RuntimeRequest, stage: _stage.Stage) -> dict[str, Any]:
    """The whole document."""
    return {
        "ociVersion": "1.0.2",
        "process": _process(request, runtime, stage),
        "root": {"path": _stage.ROOTFS, "readonly": request["read_only"]},
        **({} if request["host_uts"] else {"hostname": request["hostname"]}),
        "mounts": mounts(request, stage),
        "linux": _linux(request, runtime),
    }


def _process(request: StartRequest, runtime: RuntimeRequest, stage: _stage.Stage) -> dict[str, Any]:
    process, identity = request["process"], stage.identity
    found: dict[str, Any] = {
        "terminal": process["tty"],
        "user": {"uid": identity.uid, "gid": identity.gid, "additionalGids": identity.groups, "umask": 0o022},
        "args": process["args"],
        "env": [f"{name}={value}" for name, value in stage.environment.items()],
        "cwd": process["cwd"],
        "capabilities": capabilities(runtime["capabilities"], identity.uid),
        "rlimits": [
            {"type": f"RLIMIT_{RLIMITS[which]}", "soft": _bound(soft), "hard": _bound(hard)}
            for which, soft, hard in stage.limits
        ],
        "noNewPrivileges": process["no_new_privileges"],
    }
    if process["oom_score_adj"]:
        found["oomScoreAdj"] = process["oom_score_adj"]
    if process.get("rows"):
        found["consoleSize"] = {"height": process["rows"], "width": process["columns"]}
    return found


def _bound(value: int) -> int:
    return _UNLIMITED if value < 0 else value


def capabilities(names: list[str], uid: int) -> dict[str, list[str]]:
    """What root holds and may ever hold; a user other than root holds nothing, and may get it by executing a file."""
    bounding = [f"CAP_{name}" for name in names]
    held = [] if uid else bounding
    return {"bounding": bounding, "effective": held, "permitted": held, "inheritable": [], "ambient": []}


def mounts(request: StartRequest, stage: _stage.Stage) -> list[dict[str, Any]]:
    """Docker's own but for those whose place is taken, then volumes in the order of the plan, then single files."""
    taken = {placed.target for placed in stage.mounts}
    own = [mount for mount in _default_mounts(request) if mount["destination"] not in taken]
    return own + [_bind(placed, nodev=stage.nodev) for placed in stage.mounts]


def _default_mounts(request: StartRequest) -> list[dict[str, Any]]:
    guarded = [] if request["privileged"] else ["ro"]
    pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
    shm = [*_STRICT, "mode=1777", f"size={request['shm_size']}"]
    return [
        _mount("/proc", "proc", "proc", _STRICT),
        _mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _mount("/dev/pts", "devpts", "devpts", pts),
        _mount("/sys", "sysfs", "sysfs", _STRICT + guarded),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", _STRICT + guarded),
        _mount("/dev/mqueue", "mqueue", "mqueue", _STRICT),
        _mount("/dev/shm", "tmpfs", "shm", shm),
    ]


def _mount(destination: str, kind: str, source: str, options: list[str]) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source, "options": options}


def _bind(placed: _stage.Placed, *, nodev: bool) -> dict[str, Any]:
    """What the mount is to be is said whole: with one flag, a runtime sets those that are not said back."""
    options = ["rbind", "rprivate", "ro" if placed.read_only else "rw", *placed.all_flags(nodev=nodev)]
    return _mount(placed.target, "bind", placed.source, options)


def _namespaces(request: StartRequest) -> list[str]:
    """Those that are its own: of what is not named the container is a member as the runtime is."""
    shared = {"network": request["host_network"], "uts": request["host_uts"], "pid": request["host_pid"]}
    return [kind for kind in ("pid", "mount", "ipc", "uts", "cgroup", "network") if not shared.get(kind)]


def _linux(request: StartRequest, runtime: RuntimeRequest) -> dict[str, Any]:
    privileged = request["privileged"]
    found: dict[str, Any] = {
        "cgroupsPath": CGROUP,
        "namespaces": [{"type": kind} for kind in _namespaces(request)],
        "resources": {"devices": [{"allow": privileged, "access": "rwm"}]},
    }
    if not privileged:
        found["maskedPaths"] = sorted((*_mounts.MASKED_DIRECTORIES, *_mounts.MASKED_FILES))
        found["readonlyPaths"] = sorted(_mounts.READ_ONLY)
    if runtime["seccomp"] is not None:
        found["seccomp"] = runtime["seccomp"]
    return found
