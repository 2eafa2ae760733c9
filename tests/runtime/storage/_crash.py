"""Kills an engine at every step: a program of its own, which has one thread and so may fork.

For k = 1, 2, ... a fresh process takes a copy of the root, does what the scenario says, and is killed right before its
k-th change to the disk, or in the middle of it where that is a write. What it had answered by then goes to a file.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import trio

from bireme.storage import open_root
from bireme_actors import ContainerConfig, ContainerState, Status
from tests.runtime.storage._stores import Stores

CHANGES = ("mkdir", "open", "write", "rename", "unlink", "rmdir", "fsync", "close", "truncate", "ftruncate")
MOST = 400
"""Steps that no scenario reaches."""


async def create(stores: Stores, config: ContainerConfig, answered: Callable[[str], None]) -> None:
    stores.content.files["/a"] = {"file": b"content"}
    await stores.containers.create(config)
    answered("created")


async def create_at_once(stores: Stores, config: ContainerConfig, answered: Callable[[str], None]) -> None:
    stores.content.nothing |= {"/a", "/b"}
    await stores.containers.create(config)
    answered("created")


async def update(stores: Stores, config: ContainerConfig, answered: Callable[[str], None]) -> None:
    await stores.containers.update(replace(config, name="after"))
    answered("updated")


async def save(stores: Stores, config: ContainerConfig, answered: Callable[[str], None]) -> None:
    for pid in (11, 12, 13):
        stores.containers.save_state(config.id, ContainerState(status=Status.RUNNING, pid=pid))
        answered(str(pid))


async def remove(stores: Stores, config: ContainerConfig, answered: Callable[[str], None]) -> None:
    removing = ContainerState(status=Status.REMOVING, removing_volumes=True)
    stores.containers.save_state(config.id, removing)
    for mount in reversed(config.mounts):
        await stores.volumes.remove(mount.volume)
    await stores.containers.remove(config.id)
    answered("removed")
    await stores.disk.trash.wait_empty()


async def log(stores: Stores, config: ContainerConfig, answered: Callable[[str], None]) -> None:
    written = stores.logs.open_log(config.id)
    for number in range(3):
        written.append("stdout", b"line %d\n" % number)
        answered(f"line {number}")
        await trio.lowlevel.checkpoint()
    written.end()


SCENARIOS: dict[str, Callable[[Stores, ContainerConfig, Callable[[str], None]], Awaitable[None]]] = {
    scenario.__name__: scenario for scenario in (create, create_at_once, update, save, remove, log)
}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def patch(step: int, *, middle: bool) -> None:
    """Die at the ``step``-th change."""
    left = step

    def wrapped(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                if middle and name == "write":
                    real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                die()
            return real(*arguments, **options)

        return call

    for name in CHANGES:
        setattr(os, name, wrapped(name))


def live(root: str, scenario: str, config: ContainerConfig, step: int, *, middle: bool) -> None:
    """One engine's life, up to its death or its end."""
    notes = os.open(f"{root}.answered", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    write = os.write

    def answered(text: str) -> None:
        write(notes, f"{text}\n".encode())

    async def main() -> None:
        stores = Stores(open_root(root))
        patch(step, middle=middle)
        await SCENARIOS[scenario](stores, config, answered)

    trio.run(main)


def main(base: str, scenario: str, middle: bool, config: ContainerConfig) -> None:
    """Prints how many steps there were, as JSON; the roots are ``base/before`` and ``base/<step>``."""
    for step in range(1, MOST):
        root = f"{base}/{step}"
        shutil.copytree(f"{base}/before", root, symlinks=True)
        child = os.fork()
        if child == 0:
            try:
                live(root, scenario, config, step, middle=middle)
            except BaseException as error:  # noqa: BLE001 - told by the exit status
                sys.stderr.write(f"step {step}: {error!r}\n")
                os._exit(2)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status != -signal.SIGKILL:
            print(json.dumps({"steps": step, "status": status}))
            return
    raise SystemExit(f"{scenario} does not end within {MOST} steps")
