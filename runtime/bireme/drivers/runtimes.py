"""The container runtimes that work can be farmed out to: what each is called, reads, and where it comes from."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from bireme_actors import InvalidConfig, MissingRequirement

OCI, LXC = "oci", "lxc"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PATIENCE = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """One of them."""

    name: str
    kind: str
    """What it reads: an OCI bundle or an LXC configuration."""
    program: str
    """Looked for in the usual places; or an absolute path."""
    package: str
    """Debian's, that has it."""
    options: tuple[str, ...] = ()
    """Put in front of all others."""

    def find(self) -> str:
        """The program's absolute path. Raises MissingRequirement."""
        found = shutil.which(self.program, path=_PATH)
        if found is None:
            where = f"install the Debian package {self.package}" if self.package else "nothing executable is there"
            raise MissingRequirement(f"the driver {self.name} needs the program {self.program}: {where}")
        return found

    def version(self) -> str:
        """What it says of itself; "" if it is not installed."""
        try:
            path = self.find()
            return _version(path, os.stat(path).st_mtime_ns)
        except (MissingRequirement, OSError, subprocess.SubprocessError):
            return ""


RUNTIMES: Mapping[str, Runtime] = {
    runtime.name: runtime
    for runtime in (
        Runtime(name="crun", kind=OCI, program="crun", package="crun", options=("--cgroup-manager=disabled",)),
        Runtime(name="runc", kind=OCI, program="runc", package="runc"),
        Runtime(name="lxc", kind=LXC, program="lxc-start", package="lxc"),
    )
}
"""By driver's name."""


def find_runtime(name: str) -> Runtime:
    """One of the table, or the OCI runtime at an absolute path. Raises InvalidConfig."""
    if name.startswith("/"):
        alike = RUNTIMES.get(os.path.basename(name))
        return Runtime(name=name, kind=OCI, program=name, package="", options=alike.options if alike else ())
    if name not in RUNTIMES:
        known = ", ".join(("native", *RUNTIMES))
        raise InvalidConfig(f"unknown driver '{name}'; known: {known}, and the absolute path of an OCI runtime")
    return RUNTIMES[name]


@functools.lru_cache(maxsize=16)
def _version(path: str, changed: int) -> str:
    """The first line that ``--version`` prints, without the program's name. Kept until the program changes."""
    done = subprocess.run(
        [path, "--version"], capture_output=True, text=True, errors="replace", timeout=_PATIENCE, check=True, env={}
    )
    line = done.stdout.partition("\n")[0].strip()
    return line.removeprefix(os.path.basename(path)).strip().removeprefix("version").strip()
