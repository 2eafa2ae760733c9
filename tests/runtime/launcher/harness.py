"""What the launcher's tests with real namespaces share: a small image of busybox, requests, running to the end."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import trio

from bireme.launcher.client import Launched
from bireme.launcher.launchers import Launchers, open_launchers
from bireme.launcher.requests import (
    ArchiveRequest,
    ExecRequest,
    ExitFacts,
    MountRequest,
    ProcessRequest,
    RootRequest,
    StartRequest,
    TmpfsRequest,
)

DOCKER_CAPABILITIES = 0xA80425FB
PATIENCE = 30.0
"""Seconds after which something that should have happened counts as never happening."""
_APPLETS = [
    "cat", "chmod", "chown", "cp", "df", "env", "grep", "head", "hostname", "id", "ifconfig", "kill", "ln", "ls",
    "mkdir", "mkfifo", "mknod", "mount", "mv", "nc", "pidof", "ps", "pwd", "readlink", "rm", "seq", "sh", "sleep",
    "sort", "stat", "stty", "tail", "tar", "test", "touch", "true", "tty", "ulimit", "umount", "wc",
]  # fmt: skip
PASSWD = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1001:Ann:/home/ann:/bin/sh\n"
GROUP = "root:x:0:\nann:x:1001:\nwheel:x:10:ann,root\naudio:x:63:\n"


def make_layer(directory: Path) -> None:
    """A root file system with busybox and little else."""
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp", "root", "home/ann"):
        (directory / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", directory / "bin/busybox")
    for name in _APPLETS:
        (directory / "bin" / name).symlink_to("busybox")
    (directory / "etc/passwd").write_text(PASSWD)
    (directory / "etc/group").write_text(GROUP)


@dataclass(frozen=True)
class Finished:
    """A process that was run to its end."""

    code: int
    out: str
    err: str
    exit: ExitFacts

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class Bench:
    """A ROOT of a test's own with a launcher on it."""

    def __init__(self, root: Path, launcher: Launchers) -> None:
        self.root = root
        self.launcher = launcher

    @property
    def layers(self) -> Path:
        return self.root / "images/layers"

    def root_request(
        self, container: str, *, mounts: Sequence[MountRequest] = (), volatile: bool = False
    ) -> RootRequest:
        """The writable layer of ``container`` over the test's image."""
        for name in ("upper", "work"):
            (self.root / "containers" / container / name).mkdir(parents=True, exist_ok=True)
        return {
            "layers_directory": "images/layers",
            "layers": ["base"],
            "upper": f"../../containers/{container}/upper",
            "work": f"../../containers/{container}/work",
            "volatile": volatile,
            "mounts": list(mounts),
            "files": [],
        }

    def image_request(self) -> RootRequest:
        """A view of the image alone, without anything of a container."""
        root = self.root_request("none")
        root["upper"] = root["work"] = ""
        return root

    def process(self, *arguments: str, **options: object) -> ProcessRequest:
        """A process with Docker's defaults; ``options`` replace fields."""
        process: dict[str, object] = {
            "args": list(arguments),
            "env": [],
            "user": "",
            "groups": [],
            "cwd": "/",
            "tty": False,
            "stdin": False,
            "hostname": "boat",
            "capabilities": DOCKER_CAPABILITIES,
            "seccomp": "",
            "no_new_privileges": False,
            "rlimits": [],
            "oom_score_adj": 0,
        }
        assert not options.keys() - process.keys() - {"rows", "columns"}
        return cast(ProcessRequest, process | options)

    def start_request(
        self,
        *arguments: str,
        container: str = "c0",
        mounts: Sequence[MountRequest] = (),
        limits: tuple[int, int, int] = (0, 0, 0),
        read_only: bool = False,
        host_network: bool = False,
        host_uts: bool = False,
        host_pid: bool = False,
        privileged: bool = False,
        init: str = "",
        volatile: bool = False,
        **options: object,
    ) -> StartRequest:
        """A container with Docker's defaults; ``options`` are those of its process."""
        memory, cpu, pids = limits
        return {
            "container": container,
            "root": self.root_request(container, mounts=mounts, volatile=volatile),
            "read_only": read_only,
            "hostname": "boat",
            "host_network": host_network,
            "host_uts": host_uts,
            "host_pid": host_pid,
            "privileged": privileged,
            "shm_size": 64 << 20,
            "limits": {"memory": memory, "cpu": cpu, "pids": pids},
            "init": init,
            "exit_file": f"containers/{container}/exit.json",
            "process": self.process(*arguments, **options),
        }

    def exec_request(self, *arguments: str, container: str = "c0", **options: object) -> ExecRequest:
        return {"container": container, "process": self.process(*arguments, **options)}

    def archive_request(self, action: str, path: str, *, container: str = "c0", **options: object) -> ArchiveRequest:
        request = {"action": action, "container": container, "root": self.root_request(container), "path": path}
        return cast(ArchiveRequest, request | options)

    def volume(self, target: str, *, name: str = "v0", read_only: bool = False) -> MountRequest:
        """A directory of the test's ROOT to be mounted at ``target``."""
        (self.root / "volumes" / name).mkdir(parents=True, exist_ok=True)
        return {"source": f"volumes/{name}", "target": target, "read_only": read_only}

    @staticmethod
    def tmpfs(target: str, *flags: str, **options: str | None) -> MountRequest:
        """A file system in memory, with ``flags`` besides Docker's."""
        tmpfs: TmpfsRequest = {"flags": ["nosuid", "nodev", "noexec", *flags], "options": list(options.items())}
        return {"source": "", "target": target, "read_only": "ro" in flags, "tmpfs": tmpfs}

    async def run(self, request: StartRequest, stdin: bytes = b"") -> Finished:
        """Start a container, let it run to its end, clean up after it."""
        finished = await communicate(await self.launcher.start(request), stdin)
        await self.launcher.cleanup(request["container"])
        return finished

    async def run_shell(self, script: str, **options: object) -> Finished:
        """Run a shell script in a container of its own."""
        return await self.run(self.start_request("sh", "-c", script, **options))  # type: ignore[arg-type]  # by name

    async def exec(self, *arguments: str, **options: object) -> Finished:
        """Add a process to a container and let it run to its end."""
        return await communicate(await self.launcher.exec(self.exec_request(*arguments, **options)))  # type: ignore[arg-type]  # by name

    async def start_sleeper(self, container: str = "c0", **options: object) -> Launched:
        """A container that goes on until it is killed."""
        return await self.launcher.start(self.start_request("sleep", "1000", container=container, **options))  # type: ignore[arg-type]  # by name

    async def end(self, launched: Launched, container: str = "c0") -> ExitFacts:
        """Kill a container, wait for it and clean up after it."""
        await self.launcher.kill(launched.process, 9)
        with trio.fail_after(PATIENCE):
            facts = await launched.wait()
        await launched.aclose()
        await self.launcher.cleanup(container)
        return facts

    def cgroup(self, kind: str = "") -> Path | None:
        """The top cgroup of this ROOT's launcher, if it can be seen from here; ``-host``: of the one with our PIDs."""
        import hashlib

        name = "bireme-" + hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16] + kind
        for place in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")):
            if (place / name).is_dir():
                return place / name
        return None

    def groups(self) -> list[str]:
        """The containers' cgroups that exist now."""
        tops = [top for top in (self.cgroup(), self.cgroup("-host")) if top is not None]
        return sorted(path.name for top in tops for path in top.glob("*/*/"))

    def sharing_pid(self) -> int:
        """The launcher that shares our PIDs; it runs."""
        found = children_named(os.getpid(), "bireme-launcher") - {self.launcher.facts["pid"]}
        assert len(found) == 1, found
        return found.pop()


def children_of(pid: int) -> set[int]:
    """Of all its threads: those that nobody has reaped."""
    found = " ".join((task / "children").read_text() for task in Path(f"/proc/{pid}/task").iterdir())
    return set(map(int, found.split()))


def children_named(pid: int, name: str) -> set[int]:
    """Those children of a process that are called so."""
    return {child for child in children_of(pid) if _name(child) == name}


def _name(pid: int) -> str:
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what nobody tells of."""
    with trio.fail_after(PATIENCE):
        while not condition():
            await trio.lowlevel.checkpoint()


async def communicate(launched: Launched, stdin: bytes = b"") -> Finished:
    """Feed a process, read all of its output, wait for its end."""
    collected: dict[str, bytearray] = {"out": bytearray(), "err": bytearray()}

    async def read(name: str, stream: trio.lowlevel.FdStream | None) -> None:
        if stream is not None:
            async for chunk in stream:
                collected[name] += chunk

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, "out", launched.stdout)
            nursery.start_soon(read, "err", launched.stderr)
            if launched.stdin is not None:
                if stdin:
                    await launched.stdin.send_all(stdin)
                await launched.stdin.aclose()
        facts = await launched.wait()
    await launched.aclose()
    out, err = (collected[name].decode(errors="surrogateescape") for name in ("out", "err"))
    return Finished(facts["code"], out, err, facts)


async def read_until(stream: trio.lowlevel.FdStream | None, wanted: bytes) -> bytes:
    """Read until the output holds ``wanted``."""
    assert stream is not None
    found = b""
    with trio.fail_after(PATIENCE):
        while wanted not in found:
            chunk = await stream.receive_some()
            assert chunk, found
            found += chunk
    return found


@asynccontextmanager
async def open_bench(root: Path, *, detached: bool = False, stepwise: bool = False) -> AsyncIterator[Bench]:
    """A launcher on ``root``, which is given the image it needs."""
    root = prepare(root)
    async with open_launchers(str(root), str(root / "run"), detached=detached, stepwise=stepwise) as launcher:
        yield Bench(root, launcher)


def prepare(root: Path) -> Path:
    """Put an image where there is none yet."""
    if not (root / "images").exists():
        (root / "run").mkdir(parents=True)
        make_layer(root / "images/layers/base")
    return root.resolve()
