"""A Docker engine of the scenarios' own: to tell what Docker does, not what is remembered of it.

It is Debian's docker.io, installed or unpacked for the occasion, never the system's service. It runs in namespaces of
its own for mounts, processes and network, with its socket, its data and its cgroups in places of its own: killing one
process ends all of it, and only the directories and the empty cgroups are left to be removed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.parity._side import Side

_PACKAGES = ("docker.io", "containerd", "runc", "tini", "libdevmapper1.02.1")
_PROGRAMS = ("dockerd", "containerd", "containerd-shim-runc-v2", "runc", "docker")
_START = 60.0
"""Seconds the engine may take to answer first."""
_CGROUPS = Path("/sys/fs/cgroup")


class NoDocker(Exception):
    """There is no Docker engine to compare with, for the reason given."""


@contextlib.contextmanager
def open_docker(place: Path, *, bridge: bool = False) -> Iterator[Side]:
    """A Docker engine in ``place``, a directory with a short name, for the length of the block. Raises NoDocker.

    ``bridge``: with Docker's default network, inside its own network namespace.
    """
    if os.geteuid() != 0:
        raise NoDocker("a Docker engine needs root")
    environ = _environment(place)
    group = f"/parity-{os.getpid()}"
    socket = place / "docker.sock"
    with open(place / "dockerd.log", "wb") as log, subprocess.Popen(
        _command(place, socket, group, bridge), env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log
    ) as process:
        try:
            side = Side("docker", ["docker", "-H", f"unix://{socket}"], environ, socket)
            _wait_for_answer(side, process, place / "dockerd.log")
            yield side
        finally:
            _end(process)
            _remove_groups(group)


def _command(place: Path, socket: Path, group: str, bridge: bool) -> list[str]:
    namespaces = ["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc", "--net"]
    own_run = 'mount -t tmpfs run /run && exec "$@"'  # shims have their sockets in /run/containerd, come what may
    if bridge:
        own_run = f"busybox ifconfig lo up && {own_run}"
    return [
        "unshare", *namespaces, "sh", "-c", own_run, "sh", "dockerd", "--host", f"unix://{socket}",
        "--data-root", str(place / "data"),
        "--exec-root", str(place / "run"), "--pidfile", str(place / "docker.pid"), "--cgroup-parent", group,
        "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false", "--userland-proxy=false",
        *([] if bridge else ["--bridge=none"]),
    ]  # fmt: skip


def _environment(place: Path) -> dict[str, str]:
    """The environment in which Docker's programs are found; they are unpacked to ``place`` where they are missing."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
    environ |= {"DOCKER_CONFIG": str(place), "HOME": str(place)}
    if all(shutil.which(name) for name in _PROGRAMS):
        return environ
    unpacked = _unpack(place)
    environ["PATH"] = os.pathsep.join([f"{unpacked}/usr/sbin", f"{unpacked}/usr/bin", environ["PATH"]])
    environ["LD_LIBRARY_PATH"] = os.pathsep.join(str(path) for path in unpacked.glob("lib/*-linux-gnu"))
    return environ


def _unpack(place: Path) -> Path:
    """Debian's packages, nothing of them installed: no service, no group, no change to the host."""
    if not shutil.which("apt-get"):
        raise NoDocker("dockerd is not installed, and there is no apt-get to fetch Debian's docker.io with")
    downloads, unpacked = place / "packages", place / "programs"
    downloads.mkdir()
    downloads.chmod(0o777)  # apt downloads as a user of its own
    done = subprocess.run(
        ["apt-get", "download", *_PACKAGES], cwd=downloads, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise NoDocker(f"dockerd is not installed, and cannot be fetched: {done.stderr.strip()}")
    for package in sorted(downloads.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", package, unpacked], check=True)
    return unpacked


def _wait_for_answer(side: Side, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START
    while True:
        with contextlib.suppress(OSError):
            side.api("GET", "/version")
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise NoDocker(f"dockerd does not answer; the end of its log:\n{log.read_text()[-2000:]}")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the engine, which is PID 1 of all that it has started; ``unshare`` reaps it and ends."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
        process.wait(_START)
    process.kill()  # by --kill-child the engine goes along


def _remove_groups(group: str) -> None:
    for top in _CGROUPS.glob(f"**/{group.strip('/')}"):
        for directory, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
