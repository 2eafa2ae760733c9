"""dockerd, Debian's docker.io, on a socket and data of its own: its API from threads, and the ``docker`` command.

It runs in namespaces of its own for mounts, processes and network, without a bridge: killing one process ends all of
it. Its containerd is its own, too.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.peers.session import Session, Site, Times
from bench.peers.shares import timed
from bench.peers.words import Words, names
from bench.places import SLEEP, spread
from bench.processes import CALL_SECONDS, Failed, command_line, descendants, end, own_group
from bench.watching import wait_over_socket

_THREADS = 32
_PATIENCE = 60.0
_CGROUPS = Path("/sys/fs/cgroup")


@contextmanager
def opened(site: Site) -> Iterator[Session]:
    """A dockerd with the image busybox."""
    if importlib.util.find_spec("docker") is None:
        raise Failed("docker-py is not installed")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
    environ |= {"DOCKER_CONFIG": str(site.place), "HOME": str(site.place)}
    socket = site.place / "docker.sock"
    # The daemon ends first: whoever still waits for it in one of the threads hears of it.
    with ThreadPoolExecutor(_THREADS) as pool, _daemon(site.place, socket, environ) as process:
        engine = _Engine(site, socket, process, Words(["docker", "-H", f"unix://{socket}"], environ, pool), pool)
        yield engine.session()


@contextmanager
def _daemon(place: Path, socket: Path, environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    group = f"{own_group().rstrip('/')}/bench-{os.getpid()}"
    spread(place)
    with open(place / "dockerd.log", "wb") as log:
        process = subprocess.Popen(
            _command(place, socket, group), env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        _wait_for(socket, process, place / "dockerd.log")
        yield process
    finally:
        _end(process)
        _remove_groups(group)


def _command(place: Path, socket: Path, group: str) -> list[str]:
    namespaces = ["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc", "--net"]
    own_run = 'mount -t tmpfs run /run && exec "$@"'  # shims have their sockets in /run/containerd, come what may
    return [
        "unshare", *namespaces, "sh", "-c", own_run, "sh", "dockerd", "--host", f"unix://{socket}",
        "--data-root", str(place / "data"), "--exec-root", str(place / "run"), "--pidfile", str(place / "docker.pid"),
        "--cgroup-parent", group, "--iptables=false", "--ip6tables=false", "--bridge=none", "--ip-forward=false",
        "--ip-masq=false", "--userland-proxy=false",
    ]  # fmt: skip


def _wait_for(socket: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    client = None
    while client is None:
        try:
            client = _client(socket)
            client.ping()
        except Exception as error:
            client = None
            if process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"dockerd does not answer: {log.read_text()[-1000:]}") from error
            time.sleep(0.1)
    client.close()


def _client(socket: Path) -> Any:
    docker: Any = importlib.import_module("docker")
    return docker.APIClient(base_url=f"unix://{socket}", version="auto", timeout=CALL_SECONDS)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask dockerd, process 1 of all that it has started, to end; then kill it, and the kernel kills the rest."""
    below = descendants(process.pid)[1:2]
    for signum in (signal.SIGTERM, signal.SIGKILL):
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20.0)
    end(process, signal.SIGKILL)


def _remove_groups(group: str) -> None:
    for top in _CGROUPS.glob(f"*/{group.strip('/')}"):
        for directory, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
        with contextlib.suppress(OSError):
            os.removedirs(top.parent)  # made along with it, in hierarchies where we are at the top


class _Engine:
    def __init__(
        self, site: Site, socket: Path, process: subprocess.Popen[bytes], words: Words, pool: ThreadPoolExecutor
    ) -> None:
        self._site = site
        self._socket = socket
        self._process = process
        self._words = words
        self._pool = pool
        self._local = threading.local()
        self._client.import_image_from_file(str(site.archive), repository="busybox", tag="latest")

    def session(self) -> Session:
        return Session(
            version=f"dockerd {self._client.version()['Version']}, {_first_line('docker', '--version')}",
            parallels=(2, 4, 8),
            start=self.start,
            run={"api": self.life, "command": self._words.life},
            shared=self.shared,
            wait={"api": self.wait},
            running=self.running,
            processes=self.processes,
            executing=self._words.executing,
            logs=self._words.logs,
        )

    @property
    def _client(self) -> Any:
        """A connection for each thread."""
        if not hasattr(self._local, "client"):
            self._local.client = _client(self._socket)
        return self._local.client

    def start(self, count: int, parallel: int) -> Times:
        return self._start_and_remove(count, parallel, [])

    def shared(self, count: int, parallel: int) -> Times:
        self._start_one("bench-source", [])
        try:
            return self._start_and_remove(count, parallel, ["bench-source"])
        finally:
            self._remove("bench-source")

    def _start_and_remove(self, count: int, parallel: int, sources: list[str]) -> Times:
        wanted = names("bench", count)
        try:
            return self._start_many(wanted, parallel, sources)
        finally:
            list(self._pool.map(self._remove, wanted))

    def _start_many(self, wanted: Sequence[str], parallel: int, sources: list[str]) -> Times:
        return timed(self._pool, wanted, parallel, lambda name: self._start_one(name, sources))

    def _start_one(self, name: str, sources: list[str]) -> None:
        self._create(name, list(SLEEP), sources)
        self._client.start(name)

    def _create(self, name: str, command: list[str], sources: list[str]) -> None:
        client = self._client
        host = client.create_host_config(network_mode="none", volumes_from=sources or None)
        volumes = None if sources else ["/data"]
        client.create_container("busybox", command, name=name, volumes=volumes, host_config=host)

    def _remove(self, name: str) -> None:
        self._client.remove_container(name, v=True, force=True)

    def life(self) -> float:
        begin = time.perf_counter()
        self._create("bench-life", ["true"], [])
        self._client.start("bench-life")
        status = self._client.wait("bench-life")["StatusCode"]
        self._remove("bench-life")
        if status:
            raise Failed(f"the container ended with {status}")
        return time.perf_counter() - begin

    def wait(self, waiters: int) -> Times:
        self._start_one("bench-wait", [])
        try:
            pid = self._host_pid()
            program = self._site.programs / "exits"
            return wait_over_socket(str(self._socket), "bench-wait", waiters, [pid], program)
        finally:
            self._remove("bench-wait")

    def _host_pid(self) -> int:
        """Of the one container that runs: dockerd has a PID namespace of its own."""
        return next(pid for pid in descendants(self._process.pid) if _is_container(pid))

    @contextmanager
    def running(self, count: int) -> Iterator[None]:
        wanted = names("bench-running", count)
        try:
            self._start_many(wanted, 8, [])
            yield
        finally:
            list(self._pool.map(self._remove, wanted))

    def processes(self) -> list[int]:
        return [pid for pid in descendants(self._process.pid)[1:] if not _is_container(pid)]


def _is_container(pid: int) -> bool:
    return command_line(pid).strip() == " ".join(SLEEP)


def _first_line(program: str, argument: str) -> str:
    path = shutil.which(program)
    return subprocess.run([path or program, argument], capture_output=True, text=True, check=True).stdout.split("\n")[0]
