"""The physical bound: ``bound.c``. What it cannot be asked for (exec, logs, sharing) needs an engine."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.peers.session import Session, Site, Times
from bench.places import SLEEP, build, spread
from bench.processes import told

_BATCH = 10
_UNIFIED = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))


@contextmanager
def opened(site: Site) -> Iterator[Session]:
    """Nothing runs in between."""
    bound = _Bound(site)
    yield Session(version="of this source", start=bound.start, run={"process": bound.life})


class _Bound:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._program = build("bound", site.programs)
        self._numbers = itertools.count()
        self._lives: Times = []

    def start(self, count: int, parallel: int) -> Times:
        found = self._measure(count, parallel, "running", ["/bin/busybox", *SLEEP])
        return sorted(found["running"])

    def life(self) -> float:
        """From the clone to the exit and the removal of the cgroup; of a batch, one after the other."""
        if not self._lives:
            found = self._measure(_BATCH, 1, "exit", ["/bin/true"])
            self._lives = [ended - began for began, ended in zip(found["began"], found["ended"], strict=True)]
        return self._lives.pop()

    def _measure(self, count: int, parallel: int, until: str, command: list[str]) -> Any:
        place = spread(self._site.place / f"b{next(self._numbers)}")
        for part in ("containers", "volumes"):
            spread(place / part)
        with _group() as group:
            arguments = [
                str(self._program), "--place", str(place), "--layer", str(self._site.layer),
                "--seccomp", str(self._site.seccomp), *group, "--count", str(count), "--parallel", str(parallel),
                "--until", until, "--", *command,
            ]  # fmt: skip
            return json.loads(told(arguments))


@contextmanager
def _group() -> Iterator[list[str]]:
    """A v2 cgroup to put the containers' own below; none where there is no such hierarchy."""
    top = next((path for path in _UNIFIED if (path / "cgroup.controllers").exists()), None)
    if top is None:
        yield []
        return
    group = top / f"bench-bound-{os.getpid()}"
    group.mkdir(exist_ok=True)
    try:
        yield ["--cgroup", str(group)]
    finally:
        for _ in range(100):
            with contextlib.suppress(OSError):
                for directory, _, _ in os.walk(group, topdown=False):
                    os.rmdir(directory)
                break
            time.sleep(0.01)
