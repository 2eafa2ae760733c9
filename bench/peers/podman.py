"""podman on data of its own, with Debian's defaults (crun, conmon, a log file a container): each call is a process."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers.session import Session, Site, Times
from bench.peers.words import Words, names
from bench.places import spread
from bench.processes import Failed, own_group, told, wait_until_gone, with_argument

_THREADS = 16


@contextmanager
def opened(site: Site) -> Iterator[Session]:
    """No daemon; what is left at the end is one ``conmon`` a container, which ends with it."""
    place = spread(site.place)
    command = [
        "podman", "--root", str(place / "data"), "--runroot", str(place / "run"), "--tmpdir", str(place / "tmp"),
        "--cgroup-manager=cgroupfs", "--events-backend=none",
    ]  # fmt: skip
    environ = {**os.environ, "HOME": str(place), "XDG_CONFIG_HOME": str(place / "config")}
    with site.namespace.pool(_THREADS) as pool:
        removal = ("rm", "-f", "-v", "-t", "0", "--ignore")
        words = Words(command, environ, pool, ("--network", "none", *_limits()), removal)
        words.do("import", str(site.archive), "busybox")
        podman = _Podman(words, str(place))
        try:
            yield podman.session()
        finally:
            podman.end()


def _limits() -> list[str]:
    """Bounds that this host has room for, and the cgroup to be in.

    The descriptors and processes that podman wants by default may be more than this host lets it have.

    Podman 4.3 gives its own processes the bound of the descriptors as bound of the processes, too.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    group = own_group()
    parent = ["--cgroup-parent", group] if group != "/" else []
    return ["--ulimit", f"nofile={most}:{most}", "--ulimit", f"nproc={most}:{most}", *parent]


class _Podman:
    def __init__(self, words: Words, place: str) -> None:
        self._words = words
        self._place = place

    def session(self) -> Session:
        return Session(
            version=f"{told(['podman', '--version']).strip()}, {told(['crun', '--version']).split(chr(10))[0]}",
            start=self.start,
            run={"command": self._words.life},
            shared=self.shared,
            running=self.running,
            processes=self.processes,
            executing=self._words.executing,
            logs=self._words.logs,
        )

    def start(self, count: int, parallel: int) -> Times:
        wanted = names("bench", count)
        try:
            return self._words.start(wanted, parallel, "-v", "/data")
        finally:
            self._words.remove(wanted)

    def shared(self, count: int, parallel: int) -> Times:
        wanted = names("bench", count)
        self._words.start(["bench-source"], 1, "-v", "/data")
        try:
            return self._words.start(wanted, parallel, "--volumes-from", "bench-source")
        finally:
            self._words.remove([*wanted, "bench-source"])

    @contextmanager
    def running(self, count: int) -> Iterator[None]:
        wanted = names("bench-running", count)
        try:
            self._words.start(wanted, 4, "-v", "/data")
            yield
        finally:
            self._words.remove(wanted)

    def processes(self) -> list[int]:
        """Every conmon has the place of this podman's data among its arguments."""
        return list(with_argument(self._place))

    def end(self) -> None:
        try:
            self._words.do("rm", "-f", "-a", "-v", "-t", "0")
        except Failed:
            wait_until_gone(self.processes(), 5.0)
        wait_until_gone(self.processes())
        _remove_groups()


def _remove_groups() -> None:
    """What podman leaves of cgroups in each hierarchy, as far as nothing is in them."""
    for name in ("conmon", "libpod_parent"):
        for top in Path("/sys/fs/cgroup").glob(f"*{own_group().rstrip('/')}/{name}"):
            with contextlib.suppress(OSError):
                for directory, _, _ in os.walk(top, topdown=False):
                    os.rmdir(directory)
                os.removedirs(top.parent)  # made along with it, in hierarchies where we are at the top
