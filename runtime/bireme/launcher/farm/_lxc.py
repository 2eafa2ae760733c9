"""A container in the words of LXC: its configuration and its seccomp profile. Pure.

Values are quoted whole, so that blanks at their ends count; none can hold a line feed. What LXC sets up of ``/dev`` is
left to it (``lxc.autodev``), all else is said line by line.

Where LXC is not like the others: each environment has ``container=lxc`` in it besides; a terminal is one to read, write
and resize, but not the session's controlling terminal, so that shells say there is no job control.
"""

from __future__ import annotations

import re

from bireme.launcher import _mounts
from bireme.launcher._protocol import INVALID, Failure
from bireme.launcher.farm import _oci, _stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bireme.launcher.requests import RuntimeRequest, StartRequest

MOUNT_PLACE = f"{_stage.HOME}/lxc"
PROFILE = f"{_stage.BUNDLE}/seccomp"

_STRICT = "nosuid,noexec,nodev"
_DEV_BYTES = 64 << 20
_OWN_NAMESPACES = 5
_ACTIONS = {
    "SCMP_ACT_ALLOW": "allow",
    "SCMP_ACT_KILL_THREAD": "kill",
    "SCMP_ACT_KILL_PROCESS": "kill",
    "SCMP_ACT_TRAP": "trap",
}


def config(request: StartRequest, runtime: RuntimeRequest, stage: _stage.Stage) -> str:
    """The whole file."""
    lines = [
        *_container(request),
        *(("lxc.mount.entry", entry) for entry in mount_entries(request, stage)),
        *_process(request, runtime, stage),
    ]
    return "".join(f"{key} = {_value(key, value)}\n" for key, value in lines)


def _value(key: str, value: str) -> str:
    if "\n" in value:
        about = value.partition("=")[0] if key == "lxc.environment" else value
        raise Failure(INVALID, f"lxc takes no value with a line feed in it ({key}): {about!r}")
    return f'"{value}"' if key == "lxc.environment" else value


def _container(request: StartRequest) -> Iterator[tuple[str, str]]:
    yield "lxc.rootfs.path", f"dir:{_stage.ROOTFS}"
    yield "lxc.rootfs.mount", MOUNT_PLACE
    yield "lxc.rootfs.managed", "0"
    if request["read_only"]:
        yield "lxc.rootfs.options", "ro"
    if not request["host_uts"]:
        yield "lxc.uts.name", request["hostname"]
    own = ["cgroup", "ipc", "mnt", *([] if request["host_pid"] else ["pid"]), *([] if request["host_uts"] else ["uts"])]
    if len(own) < _OWN_NAMESPACES:
        yield "lxc.namespace.clone", " ".join(own)
    yield "lxc.net.0.type", "none"
    yield "lxc.apparmor.profile", "unconfined"
    yield "lxc.cgroup.relative", "1"
    yield "lxc.monitor.signal.pdeath", "0"
    yield "lxc.autodev", "1"
    yield "lxc.autodev.tmpfs.size", str(_DEV_BYTES)
    yield "lxc.console.path", "none"
    yield "lxc.tty.max", "0"
    yield "lxc.pty.max", "1024"


def mount_entries(request: StartRequest, stage: _stage.Stage) -> list[str]:
    """The kernel's file systems and what Docker masks in them, volumes in the order of the plan, then single files."""
    taken = {placed.target for placed in stage.mounts}
    own = [entry for target, entry in _default_entries(request) if target not in taken]
    return own + [_bind(placed, nodev=stage.nodev) for placed in stage.mounts]


def _default_entries(request: StartRequest) -> Iterator[tuple[str, str]]:
    guarded = "" if request["privileged"] else "ro,"
    shm = f"{_STRICT},mode=1777,size={request['shm_size']},create=dir"
    yield "/proc", f"proc proc proc {_STRICT} 0 0"
    yield "/sys", f"sysfs sys sysfs {guarded}{_STRICT} 0 0"
    yield "/sys/fs/cgroup", f"cgroup sys/fs/cgroup cgroup2 {guarded}{_STRICT} 0 0"
    yield "/dev/mqueue", f"mqueue dev/mqueue mqueue {_STRICT},create=dir 0 0"
    yield "/dev/shm", f"shm dev/shm tmpfs {shm} 0 0"
    if request["privileged"]:
        return
    for path in _mounts.MASKED_DIRECTORIES:
        yield path, f"tmpfs {path[1:]} tmpfs ro,{_STRICT},size=0k,nr_inodes=2,optional 0 0"
    for path in _mounts.MASKED_FILES:
        yield path, f"/dev/null {path[1:]} none bind,optional 0 0"
    for path in _mounts.READ_ONLY:
        yield path, f"{path[1:]} {path[1:]} none rbind,ro,{_STRICT},relative,optional 0 0"


def _bind(placed: _stage.Placed, *, nodev: bool) -> str:
    kind = "file" if placed.is_file else "dir"
    options = ["rbind", f"create={kind}", *(["ro"] if placed.read_only else []), *placed.all_flags(nodev=nodev)]
    return f"{_escaped(placed.source)} {_escaped(placed.target[1:])} none {','.join(options)} 0 0"


def _escaped(path: str) -> str:
    """As in ``/etc/fstab``."""
    for character in "\\ \t\n":
        path = path.replace(character, f"\\{ord(character):03o}")
    return path


def _process(request: StartRequest, runtime: RuntimeRequest, stage: _stage.Stage) -> Iterator[tuple[str, str]]:
    process, identity = request["process"], stage.identity
    yield "lxc.init.uid", str(identity.uid)
    yield "lxc.init.gid", str(identity.gid)
    yield "lxc.init.groups", ",".join(map(str, identity.groups))
    yield "lxc.init.cwd", process["cwd"]
    for name, value in stage.environment.items():
        yield "lxc.environment", f"{name}={value}"
    yield "lxc.cap.keep", " ".join(name.lower() for name in runtime["capabilities"]) or "none"
    for which, soft, hard in stage.limits:
        yield f"lxc.prlimit.{_oci.RLIMITS[which].lower()}", f"{_bound(soft)}:{_bound(hard)}"
    if process["oom_score_adj"]:
        yield "lxc.proc.oom_score_adj", str(process["oom_score_adj"])
    if process["no_new_privileges"]:
        yield "lxc.no_new_privs", "1"
    if runtime["seccomp"] is not None:
        yield "lxc.seccomp.profile", PROFILE


def _bound(value: int) -> str:
    return "unlimited" if value < 0 else str(value)


def profile(seccomp: dict[str, Any]) -> str:
    """The seccomp profile, version 2 of LXC's form. Raises Failure for an action that LXC has no word for."""
    lines = ["2", f"allowlist {_action(seccomp['defaultAction'], seccomp.get('defaultErrnoRet'))}", "[all]"]
    for entry in seccomp["syscalls"]:
        action = _action(entry["action"], entry.get("errnoRet"))
        conditions = " ".join(map(_condition, entry.get("args", ())))
        lines += [f"{name} {action} {conditions}".rstrip() for name in entry["names"]]
    return "".join(f"{line}\n" for line in lines)


def _action(name: str, number: int | None) -> str:
    if name == "SCMP_ACT_ERRNO":
        return f"errno {number}"
    if name not in _ACTIONS:
        raise Failure(INVALID, f"lxc knows no seccomp action {name}: allow, kill, trap and errno are possible")
    return _ACTIONS[name]


def _condition(argument: dict[str, Any]) -> str:
    """Of a masked comparison, LXC wants the mask last."""
    if argument["op"] == "SCMP_CMP_MASKED_EQ":
        return f"[{argument['index']},{argument['valueTwo']},{argument['op']},{argument['value']}]"
    return f"[{argument['index']},{argument['value']},{argument['op']}]"


def ended(log: str) -> tuple[int, int]:
    """How the container's first process has ended, as LXC's log tells it: (exit code, signal or 0)."""
    found = re.findall(r"- Child <\d+> ended on (error|signal) .*\((\d+)\)$", log, re.MULTILINE)
    if not found:
        return 0, 0
    kind, number = found[-1]
    return (int(number), 0) if kind == "error" else (128 + int(number), int(number))


def started(log: str) -> int:
    """The pid in LXC's notice that the command has been executed; 0 if there is none yet."""
    found = re.search(r'- \S+:post_start:\d+ - Started ".*?" with pid "(\d+)"\n', log, re.DOTALL)
    return int(found[1]) if found else 0
