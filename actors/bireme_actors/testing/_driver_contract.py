"""What every ``ContainerDriver`` does, checked on the commands of ``busybox``."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeAlias

import trio

from bireme_actors._errors import CommandNotExecutable, CommandNotFound, DriverError
from bireme_actors._model import ContainerConfig, ContainerId, ExitStatus, ProcessSpec
from bireme_actors._ports import ByteSource, ContainerDriver, Process
from bireme_actors.testing._contracts import refuses

PATIENCE = 30.0
"""Seconds after which a check that waits has failed."""


class DriverBench(Protocol):
    """A driver, and containers for it to start."""

    driver: ContainerDriver

    async def config(self, *args: str, **changes: Any) -> ContainerConfig:
        """A container whose root has a busybox in it, ready to be started."""
        ...

    def leftovers(self) -> Iterable[str]:
        """What is left of containers that have been cleaned up: processes, mounts, cgroups; a line each."""
        ...


DriverFactory: TypeAlias = Callable[[], AbstractAsyncContextManager[DriverBench]]


class DriverContract:
    """What every ``ContainerDriver`` does. The commands are those of ``busybox``."""

    @staticmethod
    async def tells_the_exit_to_all_who_wait(open_bench: DriverFactory) -> None:
        async with open_bench() as bench:
            config, process = await _start(bench, "sh", "-c", "sleep 0.2; exit 7")
            statuses: list[ExitStatus] = []
            with trio.fail_after(PATIENCE):
                async with trio.open_nursery() as nursery:
                    for _ in range(20):
                        nursery.start_soon(_note_exit, process, statuses)
                statuses.append(await process.wait())
            assert [int(status) for status in statuses] == [7] * 21
            assert all(status.signal is None and not status.oom_killed for status in statuses)
            await _clean(bench, config)

    @staticmethod
    async def says_when_and_who(open_bench: DriverFactory) -> None:
        async with open_bench() as bench:
            config, process = await _start(bench, "true")
            status = await _wait(process)
            assert process.pid > 0
            assert 0 < process.started <= status.finished
            assert status.started in (0, process.started)
            await _clean(bench, config)

    @staticmethod
    async def every_code_is_told_as_it_is(open_bench: DriverFactory) -> None:
        async with open_bench() as bench:
            for code in (0, 1, 125, 128, 255):
                config, process = await _start(bench, "sh", "-c", f"exit {code}")
                status = await _wait(process)
                assert (int(status), status.signal) == (code, None), f"exit {code} was told as {status!r}"
                await _clean(bench, config)

    @staticmethod
    async def a_kill_is_told_as_its_signal(open_bench: DriverFactory) -> None:
        async with open_bench() as bench:
            config, process = await _start(bench, "sleep", "1000")
            await process.kill(signal.SIGKILL)
            status = await _wait(process)
            assert (int(status), status.signal) == (137, signal.SIGKILL)
            await process.kill(signal.SIGKILL)
            await process.kill(signal.SIGTERM)
            await _clean(bench, config)

    @staticmethod
    async def a_cancelled_wait_leaves_the_process(open_bench: DriverFactory) -> None:
        async with open_bench() as bench:
            config, process = await _start(bench, "sleep", "1000")
            with trio.move_on_after(0.05) as scope:
                await process.wait()
            assert scope.cancelled_caught, "the process ended although nobody ended it"
            await process.kill(signal.SIGKILL)
            assert int(await _wait(process)) == 137
            await _clean(bench, config)

    @staticmethod
    async def output_arrives_apart_and_whole(open_bench: DriverFactory) -> None:
        async with open_bench() as bench:
            config, process = await _start(bench, "sh", "-c", "echo out; echo err >&2; echo more; exit 3")
            assert await _read(process.stdout) == b"out\nmore\n"
            assert await _read(process.stderr) == b"err\n"
            assert int(await _wait(process)) == 3
            await _clean(bench, config)

    @staticmethod
    async def input_passes_and_ends(open_bench: DriverFactory) -> None:
        async with open_bench() as bench:
            config, process = await _start(bench, "cat", open_stdin=True)
            data = bytes(range(256)) * 16
            with trio.fail_after(PATIENCE):
                assert process.stdin is not None, "there is no input although the configuration opens it"
                await process.stdin.send_all(data)
                await process.stdin.aclose()
            assert await _read(process.stdout) == data
            assert int(await _wait(process)) == 0
            await _clean(bench, config)

    @staticmethod
    async def without_open_stdin_there_is_none(open_bench: DriverFactory) -> None:
        async with open_bench() as bench:
            config, process = await _start(bench, "cat")
            assert process.stdin is None
            assert int(await _wait(process)) == 0, "cat of nothing ends at once"
            await _clean(bench, config)

    @staticmethod
    async def a_terminal_is_one_stream(open_bench: DriverFactory) -> None:
        async with open_bench() as bench:
            config, process = await _start(bench, "sh", "-c", "echo out; sleep 0.2; echo err >&2", tty=True)
            assert process.stderr is None
            await process.resize(40, 132)
            printed = await _read(process.stdout)
            assert printed.replace(b"\r", b"") == b"out\nerr\n"
            assert int(await _wait(process)) == 0
            await process.resize(24, 80)
            await _clean(bench, config)

    @staticmethod
    async def what_cannot_be_executed_leaves_nothing(open_bench: DriverFactory) -> None:
        kinds: tuple[tuple[str, type[DriverError]], ...] = (
            ("nosuchcmd", CommandNotFound),
            ("/etc/passwd", CommandNotExecutable),
        )
        async with open_bench() as bench:
            for command, kind in kinds:
                config = await bench.config(command)
                error = await refuses(kind, bench.driver.start(config))
                assert command in str(error), f"the message does not name {command}: {error}"
                await _clean(bench, config)

    @staticmethod
    async def a_cancelled_start_leaves_nothing(open_bench: DriverFactory) -> None:
        async with open_bench() as bench:
            config = await bench.config("sleep", "1000")
            with trio.CancelScope() as scope:
                scope.cancel()
                await bench.driver.start(config)
            assert scope.cancelled_caught
            assert not list(bench.leftovers())
            process = await bench.driver.start(config)
            await process.kill(signal.SIGKILL)
            await _wait(process)
            await _clean(bench, config)

    @staticmethod
    async def a_container_starts_again(open_bench: DriverFactory) -> None:
        async with open_bench() as bench:
            config = await bench.config("sh", "-c", "exit 5")
            for _ in range(3):
                process = await bench.driver.start(config)
                assert int(await _wait(process)) == 5
            await _clean(bench, config)

    @staticmethod
    async def many_start_at_once(open_bench: DriverFactory) -> None:
        async with open_bench() as bench:
            configs = [await bench.config("sh", "-c", f"exit {code}") for code in range(10)]
            statuses: dict[ContainerId, int] = {}
            async with trio.open_nursery() as nursery:
                for config in configs:
                    nursery.start_soon(_run_one, bench, config, statuses)
            assert [statuses[config.id] for config in configs] == list(range(10))
            await _clean(bench, *configs)

    @staticmethod
    async def freezing_stops_it_and_thawing_lets_it_go_on(open_bench: DriverFactory) -> None:
        async with open_bench() as bench:
            config, process = await _start(bench, "sh", "-c", "sleep 1000")
            await process.set_frozen(True)
            await process.set_frozen(False)
            await process.set_frozen(True)
            await process.kill(signal.SIGKILL)
            await process.set_frozen(False)
            assert int(await _wait(process)) == 137
            await process.set_frozen(False)
            await _clean(bench, config)

    @staticmethod
    async def exec_adds_a_process(open_bench: DriverFactory) -> None:
        async with open_bench() as bench:
            config, process = await _start(bench, "sleep", "1000")
            added = await process.exec(ProcessSpec(args=("sh", "-c", "echo out; echo err >&2; exit 4")))
            assert await _read(added.stdout) == b"out\n"
            assert await _read(added.stderr) == b"err\n"
            assert int(await _wait(added)) == 4
            await refuses(CommandNotFound, process.exec(ProcessSpec(args=("nosuchcmd",))))
            await process.kill(signal.SIGKILL)
            assert int(await _wait(process)) == 137, "the container outlives what was added to it"
            await _clean(bench, config)

    @staticmethod
    async def what_exec_added_ends_with_the_container(open_bench: DriverFactory) -> None:
        async with open_bench() as bench:
            config, process = await _start(bench, "sleep", "1000")
            added = await process.exec(ProcessSpec(args=("sleep", "1000")))
            await process.kill(signal.SIGKILL)
            await _wait(process)
            assert int(await _wait(added)) == 137
            await refuses(DriverError, process.exec(ProcessSpec(args=("true",))))
            await _clean(bench, config)

    @staticmethod
    async def cleanup_can_be_done_again(open_bench: DriverFactory) -> None:
        async with open_bench() as bench:
            never_started = await bench.config("true")
            config, process = await _start(bench, "true")
            await _wait(process)
            for _ in range(2):
                await _clean(bench, config, never_started)

    @staticmethod
    async def nothing_to_adopt_is_none(open_bench: DriverFactory) -> None:
        async with open_bench() as bench:
            config = await bench.config("true")
            assert await bench.driver.adopt(config) is None
            await _clean(bench, config)


async def _start(bench: DriverBench, *args: str, **changes: Any) -> tuple[ContainerConfig, Any]:
    config = await bench.config(*args, **changes)
    return config, await bench.driver.start(config)


async def _run_one(bench: DriverBench, config: ContainerConfig, statuses: dict[ContainerId, int]) -> None:
    statuses[config.id] = int(await _wait(await bench.driver.start(config)))


async def _clean(bench: DriverBench, *configs: ContainerConfig) -> None:
    for config in configs:
        await bench.driver.cleanup(config)
    left = list(bench.leftovers())
    assert not left, "left behind:\n" + "\n".join(left)


async def _wait(process: Process) -> ExitStatus:
    with trio.fail_after(PATIENCE):
        return await process.wait()


async def _note_exit(process: Process, statuses: list[ExitStatus]) -> None:
    statuses.append(await process.wait())


async def _read(source: ByteSource | None) -> bytes:
    assert source is not None, "there is no such stream"
    data = bytearray()
    try:
        with trio.fail_after(PATIENCE):
            while some := await source.receive_some():
                data += some
    except trio.BrokenResourceError:
        pass  # a terminal whose other side has gone
    finally:
        await source.aclose()
    return bytes(data)
