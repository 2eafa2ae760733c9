"""Installs the peers that are missing, from Debian's packages; none of their services is let run."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.processes import Failed

PACKAGES = {
    "cc": ("gcc", "libc6-dev"),
    "crun": ("crun",),
    "runc": ("runc",),
    "bwrap": ("bubblewrap",),
    "podman": ("podman", "crun", "conmon"),
    "dockerd": ("docker.io", "containerd", "runc", "tini"),
}
"""By the program that is looked for."""
_POLICY = Path("/usr/sbin/policy-rc.d")
_UNITS = {
    "docker.io": ("docker.service", "docker.socket"),
    "containerd": ("containerd.service",),
    "podman": (
        "podman.service", "podman.socket", "podman-restart.service", "podman-auto-update.service",
        "podman-auto-update.timer",
    ),
}  # fmt: skip
"""What a package would have started at every boot."""


def install() -> None:
    """What is there stays as it is. Raises Failed."""
    missing = {name for program, names in PACKAGES.items() if shutil.which(program) is None for name in names}
    if shutil.which("docker") is None:
        missing.add(_docker_command())
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise Failed(f"these packages (Debian's names) have to be installed first: {', '.join(sorted(missing))}")
    print(f"bench: installing {', '.join(sorted(missing))}")
    environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    options = ["-qq", "-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=120"]
    with _without_services():
        for arguments in (["update"], ["install", "-y", "--no-install-recommends", *sorted(missing)]):
            done = subprocess.run(
                ["apt-get", *options, *arguments], env=environ, stdin=subprocess.DEVNULL, capture_output=True,
                text=True, check=False,
            )  # fmt: skip
            if done.returncode:
                raise Failed(f"apt-get {arguments[0]}: {done.stderr.strip()[-600:]}")


@contextmanager
def _without_services() -> Iterator[None]:
    """Debian's way to say that nothing is to be started (policy-rc.d), now or, of what is new, at the next boot."""
    ours = not _POLICY.exists()
    before = {package for package in _UNITS if _is_installed(package)}
    if ours:
        _POLICY.write_text("#!/bin/sh\nexit 101\n")
        _POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            _POLICY.unlink()
        for package in set(_UNITS) - before:
            _disable(package)


def _disable(package: str) -> None:
    """The helper wants to know for which package."""
    if _is_installed(package) and shutil.which("deb-systemd-helper"):
        environ = os.environ | {"DPKG_MAINTSCRIPT_PACKAGE": package}
        command = ["deb-systemd-helper", "disable", *_UNITS[package]]
        subprocess.run(command, env=environ, capture_output=True, check=False)


def _is_installed(package: str) -> bool:
    command = ["dpkg-query", "-W", "-f", "${db:Status-Status}", package]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout == "installed"


def _docker_command() -> str:
    """A package of its own in Debian from 13 on."""
    release = platform.freedesktop_os_release()
    new = release.get("ID") == "debian" and int(release.get("VERSION_ID", "13")) >= 13
    return "docker-cli" if new else "docker.io"
