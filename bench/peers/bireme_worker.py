"""A program that embeds Bireme, as its users' do; asked over its standard input, so that its memory is its own.

One JSON object a line: ``{"do": NAME, "with": {...}}``; one line in answer, ``{"result": ...}`` or ``{"error": ...}``.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import trio

import bireme
from bench.places import SLEEP
from bench.watching import Watcher

_REMOVED_AT_ONCE = 64


class Worker:
    """What can be asked for: every public method."""

    def __init__(self, runtime: bireme.Runtime, exits: str) -> None:
        self._runtime = runtime
        self._exits = Path(exits)
        self._held: list[bireme.Container] = []

    async def processes(self) -> list[int]:
        """This program, and the launcher."""
        return [os.getpid(), int(self._runtime.info()["LauncherPid"])]

    async def hold(self, count: int, parallel: int, sources: Sequence[str] = ()) -> list[float]:
        """Start so many; seconds from the beginning until each one ran."""
        times: list[float] = []

        async def start_some(number: int) -> None:
            for _ in range(number):
                await self._start_one(sources)
                times.append(time.perf_counter() - begin)

        begin = time.perf_counter()
        async with trio.open_nursery() as nursery:
            for first in range(parallel):
                nursery.start_soon(start_some, len(range(first, count, parallel)))
        return times

    async def _start_one(self, sources: Sequence[str] = ()) -> bireme.Container:
        if sources:
            container = await self._runtime.create("busybox", SLEEP, volumes_from=sources)
        else:
            container = await self._runtime.create("busybox", SLEEP, volumes=["/data"])
        self._held.append(container)
        await container.start()
        return container

    async def release(self) -> None:
        """Remove all that was started."""
        limit = trio.CapacityLimiter(_REMOVED_AT_ONCE)

        async def remove(container: bireme.Container) -> None:
            async with limit:
                await container.remove(force=True, volumes=True)

        async with trio.open_nursery() as nursery:
            for container in self._held:
                nursery.start_soon(remove, container)
        self._held.clear()

    async def shared(self, count: int, parallel: int) -> list[float]:
        """As ``hold``, each with the volumes of one that was started before."""
        source = await self._start_one()
        return await self.hold(count, parallel, [source.id])

    async def life(self) -> float:
        """From before ``create`` until removed."""
        begin = time.perf_counter()
        container = await self._runtime.create("busybox", ["true"], volumes=["/data"])
        await container.start()
        status = await container.wait()
        await container.remove(volumes=True)
        assert status == 0, status
        return time.perf_counter() - begin

    async def wait(self, waiters: int) -> list[float]:
        """Seconds from the exit to each waiter's going on."""
        container = await self._start_one()
        heard: list[int] = []

        async def wait_one() -> None:
            await container.wait()
            heard.append(time.monotonic_ns())

        async with trio.open_nursery() as nursery:
            for _ in range(waiters):
                nursery.start_soon(wait_one)
            await trio.testing.wait_all_tasks_blocked(0.05)
            state = container.inspect()["State"]
            assert isinstance(state, dict)
            watcher = Watcher(self._exits, state["Pid"])
            os.kill(state["Pid"], signal.SIGKILL)
        exited = watcher.exited()
        await self.release()
        return [(moment - exited) / 1e9 for moment in heard]

    async def execute(self) -> float:
        """``true`` in the container that was started last."""
        begin = time.perf_counter()
        done = await self._held[-1].exec(["true"])
        done.check()
        return time.perf_counter() - begin


async def main(root: str, run_dir: str, exits: str) -> None:
    async with bireme.open_runtime(root=root, run_dir=run_dir) as runtime:
        await runtime.run("busybox", ["true"], volumes=["/data"])
        worker = Worker(runtime, exits)
        _say({"result": "ready"})
        while line := await trio.to_thread.run_sync(sys.stdin.readline):
            request = json.loads(line)
            operation: Callable[..., Awaitable[object]] = getattr(worker, request["do"])
            try:
                _say({"result": await operation(**request["with"])})
            except* bireme.BiremeError as group:
                _say({"error": repr(group.exceptions)})


def _say(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    import trio.testing

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    trio.run(main, sys.argv[1], sys.argv[2], sys.argv[3])
