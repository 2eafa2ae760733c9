"""Plain loops over the command line of an OCI runtime, on bundles laid out beforehand: no engine around it.

*Bare*: the least that is still a container: namespaces, /proc, a tmpfs at /dev, one volume; one root for all. *Not
bare*: the same bundle as Bireme's containers have: an overlay root (mounted within the time, by system call), seccomp,
capabilities, /dev with its file systems, /sys, masked and read-only paths, the three files in /etc.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.peers.session import Life, Session, Site, Times
from bench.peers.shares import timed
from bench.places import SLEEP, capability_names, oci_filter, spread
from bench.processes import Failed, call, told

_NAMESPACES = ("pid", "mount", "ipc", "uts", "network", "cgroup")
_THREADS = 16
_libc = ctypes.CDLL(None, use_errno=True)
_MNT_DETACH = 2
_FILES = ("hostname", "hosts", "resolv.conf")
_MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/scsi", "/sys/devices/virtual/powercap", "/sys/firmware", "/proc/interrupts",
    "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug", "/proc/timer_list", "/proc/timer_stats",
)  # fmt: skip
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


class Loop:
    """A runtime that is called once a container."""

    def __init__(self, program: str, *, bare: bool) -> None:
        self._program = program
        self._bare = bare

    @contextmanager
    def opened(self, site: Site) -> Iterator[Session]:
        with site.namespace.pool(_THREADS) as pool:
            calls = _Calls(self._program, self._bare, site, pool)
            yield Session(
                version=told([self._program, "--version"]).split("\n")[0],
                start=calls.start,
                run={"command": calls.life},
                executing=calls.executing,
            )


class _Calls:
    def __init__(self, program: str, bare: bool, site: Site, pool: ThreadPoolExecutor) -> None:
        self._command = [program, f"--root={site.place / 'state'}"]
        if program == "crun":
            self._command.append("--cgroup-manager=disabled")
        self._bare = bare
        self._site = site
        self._pool = pool
        self._bundles = spread(site.place / "bundles")
        self._filter = {} if bare else oci_filter()
        self._numbers = itertools.count()

    def start(self, count: int, parallel: int) -> Times:
        bundles = [self._bundle(SLEEP) for _ in range(count)]
        try:
            return timed(self._pool, bundles, parallel, self._start)
        finally:
            list(self._pool.map(self._remove, bundles))

    def life(self) -> float:
        """``run`` to its end; the overlay mounted and unmounted within the time, the bundle laid out before."""
        bundle = self._bundle(("true",))
        try:
            return self._pool.submit(self._live, bundle).result()
        finally:
            shutil.rmtree(bundle)

    def _live(self, bundle: Path) -> float:
        begin = time.perf_counter()
        self._mount(bundle)
        call([*self._command, "run", f"--bundle={bundle}", bundle.name])
        self._unmount(bundle)
        return time.perf_counter() - begin

    @contextmanager
    def executing(self) -> Iterator[dict[str, Life]]:
        bundle = self._bundle(SLEEP)
        self._pool.submit(self._start, bundle).result()
        try:
            yield {"command": lambda: self._pool.submit(self._execute, bundle.name).result()}
        finally:
            self._pool.submit(self._remove, bundle).result()

    def _execute(self, name: str) -> float:
        begin = time.perf_counter()
        call([*self._command, "exec", name, "/bin/true"])
        return time.perf_counter() - begin

    # Bundles

    def _bundle(self, command: Sequence[str]) -> Path:
        bundle = self._bundles / f"{self._site.place.name}-{next(self._numbers)}"
        for part in ("rootfs", "upper", "work", "volume"):
            (bundle / part).mkdir(parents=True)
        for name in _FILES:
            (bundle / name).write_text("bench\n" if name == "hostname" else "127.0.0.1\tlocalhost\n")
        (bundle / "config.json").write_text(json.dumps(self._config(bundle, command)))
        return bundle

    def _config(self, bundle: Path, command: Sequence[str]) -> dict[str, object]:
        root = self._site.layer if self._bare else bundle / "rootfs"
        process: dict[str, object] = {
            "args": [f"/bin/{command[0]}", *command[1:]], "env": ["PATH=/bin"], "cwd": "/",
            "user": {"uid": 0, "gid": 0}, "noNewPrivileges": self._bare,
        }  # fmt: skip
        linux: dict[str, object] = {"namespaces": [{"type": kind} for kind in _NAMESPACES]}
        if not self._bare:
            names = capability_names()
            process["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), names)
            linux |= {"seccomp": self._filter, "maskedPaths": _MASKED, "readonlyPaths": _READ_ONLY}
        return {
            "ociVersion": "1.0.2", "process": process, "root": {"path": str(root), "readonly": self._bare},
            "hostname": "bench", "mounts": _mounts(bundle, bare=self._bare), "linux": linux,
        }  # fmt: skip

    def _start(self, bundle: Path) -> None:
        self._mount(bundle)
        call([*self._command, "run", "-d", f"--bundle={bundle}", bundle.name])

    def _remove(self, bundle: Path) -> None:
        with suppress(Failed):
            call([*self._command, "delete", "-f", bundle.name])
        self._unmount(bundle)
        shutil.rmtree(bundle)

    def _mount(self, bundle: Path) -> None:
        if self._bare:
            return
        options = f"lowerdir={self._site.layer},upperdir={bundle}/upper,workdir={bundle}/work,volatile"
        if _libc.mount(b"overlay", os.fsencode(bundle / "rootfs"), b"overlay", ctypes.c_ulong(0), options.encode()) < 0:
            raise Failed(f"overlay: {os.strerror(ctypes.get_errno())}")

    def _unmount(self, bundle: Path) -> None:
        if not self._bare:
            _libc.umount2(os.fsencode(bundle / "rootfs"), _MNT_DETACH)


def _mounts(bundle: Path, *, bare: bool) -> list[dict[str, object]]:
    strict = ["nosuid", "noexec", "nodev"]
    found: list[dict[str, object]] = [
        _mount("/proc", "proc"),
        _mount("/dev", "tmpfs", "nosuid", "mode=755", "size=65536k"),
        {"destination": "/data", "type": "bind", "source": str(bundle / "volume"), "options": ["rbind", "rw"]},
    ]
    if bare:
        return found
    found += [
        _mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        _mount("/dev/shm", "tmpfs", *strict, "mode=1777", "size=65536k"),
        _mount("/dev/mqueue", "mqueue", *strict),
        _mount("/sys", "sysfs", *strict, "ro"),
    ]
    for name in _FILES:
        source = str(bundle / name)
        found.append({"destination": f"/etc/{name}", "type": "bind", "source": source, "options": ["rbind", "rw"]})
    return found


def _mount(destination: str, kind: str, *options: str) -> dict[str, object]:
    return {"destination": destination, "type": kind, "source": kind, "options": list(options)}
