"""Runs an engine's stores on a small disk: a program of its own, which has a private mount namespace.

With more and more room left, containers are made and unmade as the supervisor does it. Prints, as JSON lines, what was
refused with which words, and what was left of it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace

import trio

from bireme import _syscalls as sys_
from bireme.storage import Layout, open_root
from bireme_actors import BiremeError, ContainerConfig, ContainerState, Status
from tests.runtime.storage._stores import Stores, config_with_volumes, tree

SIZE, INODES = "512k", 200


def mount_small_disk(place: str) -> None:
    """Nobody but this process and its children sees it, and it goes with them."""
    sys_.unshare(sys_.CLONE_NEWNS)
    sys_.mount(None, "/", None, sys_.MS_REC | sys_.MS_PRIVATE)
    sys_.mount("tmpfs", place, "tmpfs", 0, f"size={SIZE},nr_inodes={INODES}")


class Ballast:
    """Fills the disk but for so many blocks or files."""

    def __init__(self, place: str) -> None:
        self.place = f"{place}/ballast"
        os.mkdir(self.place)

    def leave_blocks(self, blocks: int) -> None:
        with open(f"{self.place}/blocks", "wb") as file:
            size = 0
            try:
                while True:
                    size += os.write(file.fileno(), b"x" * 4096)
            except OSError:
                os.ftruncate(file.fileno(), size - blocks * 4096)

    def leave_files(self, files: int) -> None:
        made = 0
        try:
            while True:
                os.mkdir(f"{self.place}/{made}")
                made += 1
        except OSError:
            for number in range(made - files, made):
                os.rmdir(f"{self.place}/{number}")

    def drop(self) -> None:
        for name in os.listdir(self.place):
            path = f"{self.place}/{name}"
            os.unlink(path) if name == "blocks" else os.rmdir(path)


async def attempt(stores: Stores, config: ContainerConfig) -> str:
    """Make a container; what was refused."""
    try:
        await stores.containers.create(config)
    except BiremeError as error:
        await unmake(stores, config)
        return f"{type(error).__name__}: {error}"
    return ""


async def unmake(stores: Stores, config: ContainerConfig) -> None:
    await stores.containers.remove(config.id)
    for mount in config.mounts:
        await stores.volumes.remove(mount.volume)
    await stores.disk.trash.wait_empty()


async def creating(layout: Layout, leave: Callable[[int], None], ballast: Ballast) -> None:
    for room in range(30):
        stores, config = Stores(layout), config_with_volumes("/a")
        before = tree(layout.root)
        leave(room)
        refused = await attempt(stores, config)
        told = [record.config == config for record in Stores(layout).containers.load()]
        left = sorted(set(tree(layout.root)) - set(before))
        ballast.drop()
        print(json.dumps({"room": room, "refused": refused, "told": told, "left": left if refused else []}))
        if not refused:
            await unmake(stores, config)
            return


async def using(layout: Layout, leave: Callable[[int], None], ballast: Ballast) -> None:
    """An existing container on a disk without any room: its record stays, its output is lost, it can be removed."""
    stores, config = Stores(layout), config_with_volumes("/a")
    await stores.containers.create(config)
    stores.containers.save_state(config.id, ContainerState(status=Status.RUNNING, pid=1))
    leave(0)
    too_long = ContainerState(status=Status.EXITED, error="x" * 9000)
    refused = [
        await _refusal(stores.containers.update(replace(config, name="x" * 9000))),
        _refused_now(lambda: stores.containers.save_state(config.id, too_long)),
        _refused_now(lambda: stores.containers.save_state(config.id, too_long)),
    ]
    stores.logs.open_log(config.id).append("stdout", b"x" * 100_000)
    (record,) = Stores(layout).containers.load()
    await unmake(stores, config)
    left = tree(layout.containers) + tree(layout.volumes)
    ballast.drop()
    told = [record.config == config, record.state.pid == 1]
    print(json.dumps({"room": 0, "refused": "; ".join(refused), "told": told, "left": left}))


def _refused_now(asked: Callable[[], None]) -> str:
    try:
        asked()
    except BiremeError as error:
        return f"{type(error).__name__}: {error}"
    return ""


async def _refusal(what: Awaitable[None]) -> str:
    try:
        await what
    except BiremeError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def main(place: str, scenario: str, what: str) -> None:
    mount_small_disk(place)
    with open_root(f"{place}/root") as layout:
        ballast = Ballast(place)
        leave = {"blocks": ballast.leave_blocks, "files": ballast.leave_files}[what]
        trio.run({"creating": creating, "using": using}[scenario], layout, leave, ballast)


if __name__ == "__main__":
    main(*sys.argv[1:])
