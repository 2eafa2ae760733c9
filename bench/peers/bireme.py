"""Bireme: embedded in a program of its own, and served, for the command line and the Engine API."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.peers.session import Life, Session, Site, Times
from bench.peers.words import Words
from bench.places import SLEEP, spread
from bench.processes import Failed, end
from bench.watching import wait_over_socket

_PROJECT = Path(__file__).resolve().parent.parent.parent


@contextmanager
def opened(site: Site) -> Iterator[Session]:
    """An embedding program and a served engine, on a root each."""
    spread(site.place)
    with _open_embedded(site) as embedded, ThreadPoolExecutor(4) as pool, _open_served(site, pool) as served:

        @contextmanager
        def executing() -> Iterator[dict[str, Life]]:
            with embedded.running(1), served.words.executing() as command:
                yield {"library": embedded.execute, **command}

        yield Session(
            version=_version(),
            parallels=(1, 2, 4, 8, 16, 32),
            start=embedded.start,
            run={"library": embedded.life, "command": served.words.life},
            shared=embedded.shared,
            wait={"library": embedded.wait, "api": served.wait},
            running=embedded.running,
            processes=embedded.processes,
            executing=executing,
            logs=served.words.logs,
        )


def _version() -> str:
    from bireme import __version__

    done = subprocess.run(
        ["git", "-C", str(_PROJECT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return f"bireme {__version__} {done.stdout.strip()}".strip()


# Embedded


@contextmanager
def _open_embedded(site: Site) -> Iterator[_Embedded]:
    place = site.place / "embedded"
    command = [
        sys.executable, "-m", "bench.peers.bireme_worker", str(place / "root"), str(place / "run"),
        str(site.programs / "exits"),
    ]  # fmt: skip
    with open(site.place / "embedded.log", "wb") as log:
        process = subprocess.Popen(
            command, cwd=_PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=_environ()
        )
    try:
        embedded = _Embedded(process, site.place / "embedded.log")
        yield embedded
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(60.0)
        except subprocess.TimeoutExpired:
            end(process)


def _environ() -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("BIREME_", "DOCKER_"))}
    paths = [str(_PROJECT), str(_PROJECT / "actors"), str(_PROJECT / "runtime")]
    return plain | {"PYTHONPATH": os.pathsep.join(paths)}


class _Embedded:
    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log
        self._hear()

    def _hear(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Failed(f"the program that embeds Bireme has ended: {self._log.read_text()[-1500:]}")
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer["result"]

    def _ask(self, operation: str, **arguments: object) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": operation, "with": arguments}).encode() + b"\n")
        self._process.stdin.flush()
        return self._hear()

    def start(self, count: int, parallel: int) -> Times:
        times: Times = self._ask("hold", count=count, parallel=parallel)
        self._ask("release")
        return times

    def shared(self, count: int, parallel: int) -> Times:
        times: Times = self._ask("shared", count=count, parallel=parallel)
        self._ask("release")
        return times

    def life(self) -> float:
        return float(self._ask("life"))

    def wait(self, waiters: int) -> Times:
        times: Times = self._ask("wait", waiters=waiters)
        return times

    @contextmanager
    def running(self, count: int) -> Iterator[None]:
        self._ask("hold", count=count, parallel=4)
        try:
            yield
        finally:
            self._ask("release")

    def processes(self) -> list[int]:
        found: list[int] = self._ask("processes")
        return found

    def execute(self) -> float:
        return float(self._ask("execute"))


# Served


@contextmanager
def _open_served(site: Site, pool: ThreadPoolExecutor) -> Iterator[_Served]:
    place = site.place / "served"
    environ = _environ() | {"BIREME_ROOT": str(place / "root"), "BIREME_RUN": str(place / "run")}
    command = _command()
    reading, writing = os.pipe()
    with open(site.place / "served.log", "wb") as log:
        process = subprocess.Popen(
            [*command, "serve", "--ready-fd", str(writing)], env=environ, pass_fds=[writing], cwd=_PROJECT,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    os.close(writing)
    try:
        if not os.read(reading, 1):
            raise Failed(f"bireme serve has ended: {(site.place / 'served.log').read_text()[-1500:]}")
        served = _Served(site, place / "run" / "bireme.sock", Words(command, environ, pool))
        yield served
        served.words.do("shutdown")
    finally:
        os.close(reading)
        end(process, signal.SIGINT)


def _command() -> list[str]:
    """As it is installed, or from the source."""
    script = Path(sys.executable).with_name("bireme")
    return [str(script)] if script.exists() else [sys.executable, "-m", "bireme"]


class _Served:
    def __init__(self, site: Site, socket: Path, words: Words) -> None:
        self._site = site
        self._socket = socket
        self.words = words
        words.life()  # makes the image

    def wait(self, waiters: int) -> Times:
        name = "bench-wait"
        self.words.do("run", "-d", "--name", name, *self.words.options, "busybox", *SLEEP)
        try:
            pid = int(self.words.tell("inspect", "--format", "{{.State.Pid}}", name))
            program = self._site.programs / "exits"
            return wait_over_socket(str(self._socket), name, waiters, [pid], program)
        finally:
            self.words.remove([name])
