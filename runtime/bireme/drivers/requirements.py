"""What the native driver needs of the host: looked for before anything is started, so that one error names all of it.

The system calls are tried, each with arguments that cannot succeed: a new kernel may still lack them, in a sandbox.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from bireme import _syscalls as sys_
from bireme.drivers import capabilities
from bireme_actors import MissingRequirement

NEEDED = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETPCAP", "SETUID", "SYS_ADMIN")
"""Without these no container can be made; what else root has is handed on to containers if it is there."""

_NO_FLAG = 1 << 40
_FILE_SYSTEMS = "/proc/filesystems"
_MODULES = f"/lib/modules/{os.uname().release}/modules.dep"


def missing_requirements() -> tuple[str, ...]:
    """What is missing, one line each; nothing if containers can be run."""
    return (*_rights(), *_system_calls(), *_file_systems())


def check_requirements() -> None:
    """Raises MissingRequirement, with one line that says all that is missing."""
    missing = missing_requirements()
    if missing:
        raise MissingRequirement(f"the native driver cannot run containers here: {'; '.join(missing)}")


def _rights() -> list[str]:
    if os.geteuid() != 0:
        return ["it needs root: run as root (sudo)"]
    held = sys_.capget()[0]
    lacking = [f"CAP_{name}" for name in NEEDED if not held >> capabilities.NUMBERS[name] & 1]
    if not lacking:
        return []
    return [f"root lacks {', '.join(lacking)} here: give them (inside another container: run that one privileged)"]


def _system_calls() -> list[str]:
    calls: tuple[tuple[str, str, Callable[[], object]], ...] = (
        ("clone3", "5.7", lambda: sys_.clone3(_NO_FLAG)),
        ("openat2", "5.6", lambda: sys_.openat2(-1, "x", 0, resolve=sys_.RESOLVE_IN_ROOT)),
        ("mount_setattr", "5.12", lambda: sys_.mount_setattr(-1)),
    )
    lacking = [(name, since) for name, since, call in calls if not _exists(call)]
    if not lacking:
        return []
    words = ", ".join(f"{name} (Linux {since})" for name, since in lacking)
    return [f"the kernel {os.uname().release} has no {words}: Linux 5.12 or newer is needed"]


def _exists(call: Callable[[], object]) -> bool:
    try:
        call()
    except OSError as error:
        return error.errno != errno.ENOSYS
    return True


def _file_systems() -> list[str]:
    """Overlay is there, or is a module that the kernel will load for root when it is first mounted."""
    with open(_FILE_SYSTEMS, encoding="ascii") as file:
        if any(line.split()[-1] == "overlay" for line in file):
            return []
    try:
        with open(_MODULES, encoding="utf-8") as file:
            if any(line.partition(":")[0].rpartition("/")[2].startswith("overlay.ko") for line in file):
                return []
    except OSError:
        pass
    return ["the kernel has no overlay file system: load it (modprobe overlay) or take a kernel with CONFIG_OVERLAY_FS"]
