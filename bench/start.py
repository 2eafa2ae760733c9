"""How fast containers start: Bireme, and beside it a plain loop of ``crun run -d`` (and ``runc``), if installed.

Every container runs ``true`` of busybox in PID, mount, IPC, UTS, network and cgroup namespaces of its own, with one
volume. Bireme makes an overlay root for each and has its configuration on the disk before it starts; the loops get
their bundle written beforehand, on one shared root without an overlay, and a bind mount: less work than Bireme's.
With ``--overlay`` they mount an overlay root for each container too, as an engine that farms out to them has to.

*Started*: from ``create`` to a running process, N containers; the best of several degrees of parallelism.
*To exit*: one container after the other, from ``create`` (or from ``crun run``) until the exit status is known.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

import bireme

NAMESPACES = ("pid", "mount", "ipc", "uts", "network", "cgroup")
LATENCIES = 50
"""Containers run one after the other for the time to exit."""


@dataclass(frozen=True, slots=True)
class Result:
    """``rates``: containers a second by parallelism; ``latencies``: seconds until the exit is known."""

    name: str
    rates: dict[int, float]
    latencies: Sequence[float]

    def row(self) -> str:
        best = max(self.rates, key=self.rates.__getitem__)
        middle = statistics.median(self.latencies) * 1000
        slow = statistics.quantiles(self.latencies, n=10)[-1] * 1000
        every = ", ".join(f"{parallel}: {rate:.0f}" for parallel, rate in self.rates.items())
        return f"{self.name:<34}{self.rates[best]:>10.0f}{best:>10}{middle:>10.1f}{slow:>10.1f}   {every}"


# Bireme


async def measure_bireme(root: str, count: int, parallels: Sequence[int]) -> Result:
    """Through the library, the engine's own lists and records included."""
    async with bireme.open_runtime(root=root) as runtime:
        await runtime.run("busybox", ["true"])  # makes the image
        rates = {parallel: await bireme_rate(runtime, count, parallel) for parallel in parallels}
        return Result("bireme", rates, [await bireme_latency(runtime) for _ in range(LATENCIES)])


async def bireme_rate(runtime: bireme.Runtime, count: int, parallel: int) -> float:
    """Containers a second, ``parallel`` of them in the making at any time."""
    containers: list[bireme.Container] = []

    async def start_some(number: int) -> None:
        for _ in range(number):
            container = await runtime.create("busybox", ["true"], volumes=["/data"])
            containers.append(container)
            await container.start()

    begin = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for share in shares(count, parallel):
            nursery.start_soon(start_some, share)
    seconds = time.perf_counter() - begin
    async with trio.open_nursery() as nursery:
        for container in containers:
            nursery.start_soon(finish, container)
    return count / seconds


async def finish(container: bireme.Container) -> None:
    status = await container.wait()
    assert status == 0, status
    await container.remove(volumes=True)


async def bireme_latency(runtime: bireme.Runtime) -> float:
    begin = time.perf_counter()
    container = await runtime.create("busybox", ["true"], volumes=["/data"])
    await container.start()
    await container.wait()
    seconds = time.perf_counter() - begin
    await container.remove(volumes=True)
    return seconds


# OCI runtimes, each call a process


class Loop:
    """A plain loop over an OCI runtime's command line, on bundles written beforehand."""

    def __init__(self, program: str, directory: Path, *, overlay: bool) -> None:
        self.directory = directory
        self.overlay = overlay
        self.name = f"{program} run -d, in a loop{', overlay' if overlay else ''}"
        self.command = [program, f"--root={directory / 'state'}"]
        if program == "crun":
            self.command.append("--cgroup-manager=disabled")
        self.image = directory / "image"
        make_busybox(self.image)

    def measure(self, count: int, parallels: Sequence[int]) -> Result:
        rates = {parallel: self.rate(count, parallel) for parallel in parallels}
        return Result(self.name, rates, [self.latency(number) for number in range(LATENCIES)])

    def rate(self, count: int, parallel: int) -> float:
        bundles = [self.bundle(f"c{number}") for number in range(count)]
        with ThreadPoolExecutor(parallel) as pool:
            begin = time.perf_counter()
            list(pool.map(self.start, bundles))
            seconds = time.perf_counter() - begin
            list(pool.map(self.remove, bundles))
        return count / seconds

    def latency(self, number: int) -> float:
        bundle = self.bundle(f"w{number}")
        begin = time.perf_counter()
        self.mount(bundle)
        self.call("run", f"--bundle={bundle}", bundle.name)
        seconds = time.perf_counter() - begin
        self.remove(bundle)
        return seconds

    def bundle(self, name: str) -> Path:
        """A bundle with one volume, its root the shared image or (still to be mounted) an overlay on it."""
        bundle = self.directory / name
        for part in ("rootfs", "upper", "work", "volume"):
            (bundle / part).mkdir(parents=True)
        root = bundle / "rootfs" if self.overlay else self.image
        (bundle / "config.json").write_text(json.dumps(oci_config(root, bundle / "volume", read_only=not self.overlay)))
        return bundle

    def start(self, bundle: Path) -> None:
        self.mount(bundle)
        self.call("run", "-d", f"--bundle={bundle}", bundle.name)

    def mount(self, bundle: Path) -> None:
        if self.overlay:
            options = f"lowerdir={self.image},upperdir={bundle / 'upper'},workdir={bundle / 'work'}"
            call(["mount", "-t", "overlay", "overlay", "-o", options, str(bundle / "rootfs")])

    def remove(self, bundle: Path) -> None:
        subprocess.run([*self.command, "delete", "-f", bundle.name], check=False, capture_output=True)
        if self.overlay:
            call(["umount", str(bundle / "rootfs")])
        shutil.rmtree(bundle)

    def call(self, *arguments: str) -> None:
        call([*self.command, *arguments])


def measure_loop(program: str, directory: Path, overlay: bool, count: int, parallels: Sequence[int]) -> Result:
    if os.path.ismount("/sys/fs/cgroup/unified"):
        # crun refuses v1 and v2 side by side, even where it is to leave cgroups alone. The namespace is our own.
        call(["umount", "--lazy", "/sys/fs/cgroup/unified"])
    return Loop(program, directory, overlay=overlay).measure(count, parallels)


def call(command: list[str]) -> None:
    null = subprocess.DEVNULL
    done = subprocess.run(command, stdin=null, stdout=null, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")


def make_busybox(root: Path) -> None:
    for part in ("bin", "data", "dev", "proc", "sys"):
        (root / part).mkdir(parents=True)
    shutil.copy2("/bin/busybox", root / "bin/busybox")
    (root / "bin/true").symlink_to("busybox")


def oci_config(root: Path, volume: Path, *, read_only: bool) -> dict[str, object]:
    """The smallest configuration that does the same: namespaces, /proc, /dev, the volume, no capabilities to spare."""
    return {
        "ociVersion": "1.0.2",
        "process": {
            "args": ["/bin/true"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "user": {"uid": 0, "gid": 0},
            "noNewPrivileges": True,
        },
        "root": {"path": str(root), "readonly": read_only},
        "hostname": "bench",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/data", "type": "bind", "source": str(volume), "options": ["rbind", "rw"]},
        ],
        "linux": {"namespaces": [{"type": kind} for kind in NAMESPACES]},
    }


# Together


def shares(count: int, parallel: int) -> list[int]:
    return [count // parallel + (number < count % parallel) for number in range(parallel)]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="containers a second and milliseconds to exit")
    parser.add_argument("--containers", type=int, default=200, help="how many to start for each measurement")
    parser.add_argument("--parallel", type=int, nargs="+", default=[1, 2, 4, 8], help="how many at a time")
    parser.add_argument("--peers", nargs="*", default=["crun", "runc"], help="OCI runtimes to loop over")
    parser.add_argument("--overlay", action="store_true", help="loops mount an overlay root a container, too")
    parser.add_argument("--json", metavar="FILE", help="also write the figures there")
    return parser.parse_args()


def in_own_mount_namespace() -> None:
    """Begin anew where mounts are nobody else's; what is left mounted ends with this process."""
    if os.environ.get("BENCH_NAMESPACE") != "own":
        os.environ["BENCH_NAMESPACE"] = "own"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])


def main() -> None:
    options = arguments()
    if os.geteuid() != 0:
        raise SystemExit("bench/start.py: containers need root")
    in_own_mount_namespace()
    with tempfile.TemporaryDirectory(prefix="bireme-bench-") as scratch:
        results = list(measure(Path(scratch), options))
    if options.json:
        rows = [{"name": result.name, "rates": result.rates, "latencies": list(result.latencies)} for result in results]
        Path(options.json).write_text(json.dumps(rows))


def measure(scratch: Path, options: argparse.Namespace) -> Sequence[Result]:
    count, parallels = options.containers, options.parallel
    peers = [peer for peer in options.peers if shutil.which(peer)]
    ours = partial(trio.run, measure_bireme, str(scratch / "root"), count, parallels)
    measurements: list[Callable[[], Result]] = [ours]
    for peer in peers:
        for overlay in (False, True) if options.overlay else (False,):
            directory = scratch / f"{peer}-{overlay}"
            measurements.append(partial(measure_loop, peer, directory, overlay, count, parallels))
    host = f"Linux {platform.release()}, {os.cpu_count()} processors, Python {platform.python_version()}"
    print(f"{count} containers of one volume each; {host}")
    print(f"{'':<34}{'started/s':>10}{'parallel':>10}{'ms to exit':>10}{'90 %':>10}   started/s by parallelism")
    results = []
    for measurement in measurements:
        results.append(measurement())
        print(results[-1].row(), flush=True)
    return results


if __name__ == "__main__":
    main()
