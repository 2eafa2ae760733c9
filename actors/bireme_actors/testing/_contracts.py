"""Conformance suites: what every implementation of a port does, checked the same way on fakes and on the real thing.

A suite is a class of checks; a check is an async function that takes a *factory* and raises AssertionError. The
factory opens a fresh *bench*: an async context manager around what is tested and what the check needs beside it. The
suites know no test framework; with pytest::

    @pytest.mark.parametrize("check", checks(VolumeStoreContract), ids=lambda check: check.__name__)
    async def test_volume_store(check, tmp_path):
        await check(partial(open_bench, tmp_path))
"""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, Protocol, TypeAlias

import trio

from bireme_actors._errors import CommandNotExecutable, CommandNotFound, DriverError
from bireme_actors._model import (
    ContainerConfig,
    ContainerId,
    ContainerState,
    ExitStatus,
    Limits,
    Mount,
    ProcessSpec,
    RestartPolicy,
    Security,
    Status,
    VolumeId,
    VolumesFrom,
    new_id,
)
from bireme_actors._ports import (
    ByteSource,
    ContainerDriver,
    LogStore,
    Process,
    RecordStore,
    RootfsStore,
    VolumeStore,
)
from bireme_actors.testing._fakes import sample_config

Check: TypeAlias = Callable[[Any], Awaitable[None]]
PATIENCE = 30.0
"""Seconds after which a check that waits has failed."""


def checks(contract: type) -> list[Check]:
    """The checks of one suite, in order; ``check.__name__`` says what is checked."""
    return [
        member.__func__
        for name, member in vars(contract).items()
        if isinstance(member, staticmethod) and not name.startswith("_")
    ]


# Drivers.


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
                error = await _refuses(kind, bench.driver.start(config))
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
            await _refuses(CommandNotFound, process.exec(ProcessSpec(args=("nosuchcmd",))))
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
            await _refuses(DriverError, process.exec(ProcessSpec(args=("true",))))
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


async def _refuses(kind: type[Exception], asked: Awaitable[object]) -> Exception:
    try:
        await asked
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


# Stores.


class VolumeBench(Protocol):
    """A volume store, and a configuration whose image has nothing at any path."""

    store: VolumeStore

    def config(self) -> ContainerConfig:
        """What a volume is made for."""
        ...


VolumeFactory: TypeAlias = Callable[[], AbstractAsyncContextManager[VolumeBench]]


class VolumeStoreContract:
    """What every ``VolumeStore`` does."""

    @staticmethod
    async def a_volume_is_listed_from_its_commit_on(open_bench: VolumeFactory) -> None:
        async with open_bench() as bench:
            volume = VolumeId(new_id())
            await bench.store.create(volume, bench.config(), "/data")
            assert volume not in dict(bench.store.list())
            await bench.store.commit(volume)
            assert dict(bench.store.list())[volume] > 0
            assert [known for known, _ in bench.store.list()].count(volume) == 1

    @staticmethod
    async def commit_can_be_done_again(open_bench: VolumeFactory) -> None:
        async with open_bench() as bench:
            volume = await _volume(bench)
            await bench.store.commit(volume)
            assert list(dict(bench.store.list())) == [volume]

    @staticmethod
    async def its_path_is_absolute_and_ends_with_its_identifier(open_bench: VolumeFactory) -> None:
        async with open_bench() as bench:
            volume = VolumeId(new_id())
            before = bench.store.path(volume)
            await bench.store.create(volume, bench.config(), "/data")
            await bench.store.commit(volume)
            assert before == bench.store.path(volume)
            assert before.startswith("/")
            assert before.endswith(f"/{volume}")

    @staticmethod
    async def removing_takes_it_in_any_state_and_again(open_bench: VolumeFactory) -> None:
        async with open_bench() as bench:
            unknown, staged, placed = VolumeId(new_id()), VolumeId(new_id()), await _volume(bench)
            await bench.store.create(staged, bench.config(), "/data")
            for volume in (unknown, staged, placed, staged, placed):
                await bench.store.remove(volume)
            assert not list(bench.store.list())
            await _refuses(Exception, bench.store.commit(staged))

    @staticmethod
    async def a_cancelled_create_leaves_nothing(open_bench: VolumeFactory) -> None:
        async with open_bench() as bench:
            volume = VolumeId(new_id())
            with trio.CancelScope() as scope:
                scope.cancel()
                await bench.store.create(volume, bench.config(), "/data")
            assert scope.cancelled_caught
            await _refuses(Exception, bench.store.commit(volume))
            await bench.store.create(volume, bench.config(), "/data")
            await bench.store.commit(volume)
            assert list(dict(bench.store.list())) == [volume]

    @staticmethod
    async def many_are_made_and_removed_at_once(open_bench: VolumeFactory) -> None:
        async with open_bench() as bench:
            async with trio.open_nursery() as nursery:
                for _ in range(50):
                    nursery.start_soon(_volume, bench)
            volumes = [volume for volume, _ in bench.store.list()]
            assert len(set(volumes)) == 50
            async with trio.open_nursery() as nursery:
                for volume in volumes:
                    nursery.start_soon(bench.store.remove, volume)
            assert not list(bench.store.list())


async def _volume(bench: VolumeBench) -> VolumeId:
    volume = VolumeId(new_id())
    await bench.store.create(volume, bench.config(), "/data")
    await bench.store.commit(volume)
    return volume


class RootfsBench(Protocol):
    """A store of writable layers, and configurations of images that are there."""

    store: RootfsStore

    def config(self) -> ContainerConfig:
        """A container of an image that is there."""
        ...

    def layers(self) -> Iterable[ContainerId]:
        """The containers that have a writable layer."""
        ...


RootfsFactory: TypeAlias = Callable[[], AbstractAsyncContextManager[RootfsBench]]


class RootfsStoreContract:
    """What every ``RootfsStore`` does."""

    @staticmethod
    async def a_layer_is_there_until_removed(open_bench: RootfsFactory) -> None:
        async with open_bench() as bench:
            one, two = bench.config(), bench.config()
            await bench.store.create(one)
            await bench.store.create(two)
            assert set(bench.layers()) == {one.id, two.id}
            await bench.store.remove(one.id)
            assert set(bench.layers()) == {two.id}

    @staticmethod
    async def removing_can_be_done_again(open_bench: RootfsFactory) -> None:
        async with open_bench() as bench:
            config = bench.config()
            await bench.store.remove(config.id)
            await bench.store.create(config)
            await bench.store.remove(config.id)
            await bench.store.remove(config.id)
            assert not list(bench.layers())

    @staticmethod
    async def a_cancelled_create_leaves_nothing(open_bench: RootfsFactory) -> None:
        async with open_bench() as bench:
            config = bench.config()
            with trio.CancelScope() as scope:
                scope.cancel()
                await bench.store.create(config)
            assert scope.cancelled_caught
            assert not list(bench.layers())
            await bench.store.create(config)
            assert list(bench.layers()) == [config.id]


class RecordBench(Protocol):
    """A record store that can be opened again, as the next engine does."""

    store: RecordStore

    def reopen(self) -> RecordStore:
        """Another store on the same disk."""
        ...


RecordFactory: TypeAlias = Callable[[], AbstractAsyncContextManager[RecordBench]]


class RecordStoreContract:
    """What every ``RecordStore`` does."""

    @staticmethod
    async def a_record_is_read_as_it_was_written(open_bench: RecordFactory) -> None:
        async with open_bench() as bench:
            config, state = rich_config(), rich_state()
            await bench.store.create(config)
            assert [record.config for record in bench.reopen().load()] == [config]
            assert [record.state for record in bench.reopen().load()] == [ContainerState()]
            await bench.store.save_state(config.id, state)
            records = list(bench.reopen().load())
            assert [(record.config, record.state) for record in records] == [(config, state)]
            assert records[0].state.exit_status().signal == state.exit_signal

    @staticmethod
    async def an_update_replaces_the_configuration_only(open_bench: RecordFactory) -> None:
        async with open_bench() as bench:
            config, state = rich_config(), rich_state()
            await bench.store.create(config)
            await bench.store.save_state(config.id, state)
            renamed = replace(config, name="another", restart=RestartPolicy(name="always"))
            await bench.store.update(renamed)
            assert [(record.config, record.state) for record in bench.reopen().load()] == [(renamed, state)]

    @staticmethod
    async def removing_forgets_it_and_can_be_done_again(open_bench: RecordFactory) -> None:
        async with open_bench() as bench:
            gone, kept = rich_config(), rich_config()
            await bench.store.remove(gone.id)
            await bench.store.create(gone)
            await bench.store.create(kept)
            await bench.store.save_state(gone.id, rich_state())
            await bench.store.remove(gone.id)
            await bench.store.remove(gone.id)
            assert [record.config.id for record in bench.reopen().load()] == [kept.id]

    @staticmethod
    async def many_are_made_at_once(open_bench: RecordFactory) -> None:
        async with open_bench() as bench:
            configs = [rich_config() for _ in range(50)]
            async with trio.open_nursery() as nursery:
                for config in configs:
                    nursery.start_soon(bench.store.create, config)
            found = {record.config.id: record.config for record in bench.reopen().load()}
            assert found == {config.id: config for config in configs}

    @staticmethod
    async def a_cancelled_create_is_whole_or_nothing(open_bench: RecordFactory) -> None:
        async with open_bench() as bench:
            config = rich_config()
            with trio.CancelScope() as scope:
                scope.cancel()
                await bench.store.create(config)
            found = [record.config for record in bench.reopen().load()]
            assert found == ([] if scope.cancelled_caught else [config])
            await bench.store.remove(config.id)
            assert not list(bench.reopen().load())


class LogBench(Protocol):
    """A log store, and the way to read what a log holds."""

    store: LogStore

    async def entries(self, container: ContainerId) -> list[tuple[str, bytes]]:
        """(stream, data) of all that the container's log holds, in order; entries may be joined or cut."""
        ...


LogFactory: TypeAlias = Callable[[], AbstractAsyncContextManager[LogBench]]


class LogStoreContract:
    """What every ``LogStore`` does."""

    @staticmethod
    async def output_is_kept_byte_for_byte(open_bench: LogFactory) -> None:
        async with open_bench() as bench:
            container = ContainerId(new_id())
            log = bench.store.open_log(container)
            pieces = [bytes(range(256)), b"no end of line", b"\n\n", "grüße\n".encode()[:4], b"\xff" * 100_000]
            for piece in pieces:
                log.append("stdout", piece)
            log.end()
            assert await _logged(bench, container, "stdout") == b"".join(pieces)
            assert await _logged(bench, container, "stderr") == b""

    @staticmethod
    async def streams_stay_apart_and_in_order(open_bench: LogFactory) -> None:
        async with open_bench() as bench:
            container = ContainerId(new_id())
            log = bench.store.open_log(container)
            written = [("stdout", b"1\n"), ("stderr", b"2\n"), ("stdout", b"3\n"), ("stderr", b"4\n")]
            for stream, data in written:
                log.append(stream, data)
            log.end()
            assert await bench.entries(container) == written

    @staticmethod
    async def the_next_run_goes_on_after_the_last(open_bench: LogFactory) -> None:
        async with open_bench() as bench:
            container = ContainerId(new_id())
            for run in (b"first\n", b"second\n"):
                log = bench.store.open_log(container)
                log.append("stdout", run)
                log.end()
            assert await _logged(bench, container, "stdout") == b"first\nsecond\n"

    @staticmethod
    async def logs_are_apart(open_bench: LogFactory) -> None:
        async with open_bench() as bench:
            one, two = ContainerId(new_id()), ContainerId(new_id())
            bench.store.open_log(one).append("stdout", b"one")
            bench.store.open_log(two).append("stdout", b"two")
            assert await _logged(bench, one, "stdout") == b"one"
            assert await _logged(bench, two, "stdout") == b"two"

    @staticmethod
    async def closing_can_be_done_again_and_without_opening(open_bench: LogFactory) -> None:
        async with open_bench() as bench:
            container = ContainerId(new_id())
            bench.store.close_log(container)
            log = bench.store.open_log(container)
            log.append("stdout", b"x")
            log.end()
            bench.store.close_log(container)
            bench.store.close_log(container)
            log.append("stdout", b"too late, and no error")
            log.end()


async def _logged(bench: LogBench, container: ContainerId, stream: str) -> bytes:
    return b"".join(data for name, data in await bench.entries(container) if name == stream)


# Samples that use every field.


def rich_config() -> ContainerConfig:
    """A configuration in which every field differs from its default, with bytes and characters that hurt."""
    return sample_config(
        "sh", "-c", "echo 'a\tb\n' \udcff ü \x7f",
        driver="crun", entrypoint=("sh",), command=("-c", ""), env=("A=b", "EMPTY=", "U=\u20ac \U0001f6a2"),
        user="ann:wheel", working_dir="/w", hostname="h", labels={"a.b": "c", "": ""}, tty=True, open_stdin=True,
        stdin_once=True, stop_signal=int(signal.SIGINT), stop_timeout=-1, volumes=("/a", "/a/b"),
        volumes_from=(VolumesFrom("x"), VolumesFrom("y", True), VolumesFrom("z", False)),
        mounts=(Mount(VolumeId(new_id()), "/a"), Mount(VolumeId(new_id()), "/a/b", True, False)),
        network="host", read_only=True, init=True, auto_remove=True, ephemeral=True,
        restart=RestartPolicy(name="on-failure", maximum_retries=3),
        security=Security(cap_add=("NET_ADMIN",), cap_drop=("ALL",), no_new_privileges=True, seccomp="unconfined",
                          privileged=True, group_add=("7",)),
        limits=Limits(memory=1, nano_cpus=2, pids=3, rlimits={"nofile": (4, 5)}, shm_size=6, oom_score_adj=-7),
        extra={"list": [1, None, {"k": "v"}], "flag": True, "number": 1.5},
    )  # fmt: skip


def rich_state() -> ContainerState:
    """A state in which every field differs from its default."""
    return ContainerState(
        status=Status.REMOVING, pid=1, exit_code=137, exit_signal=9, oom_killed=True, error="it broke", started=1 << 60,
        finished=(1 << 60) + 1, restart_count=2, stopped_by_user=True, removing_volumes=True,
    )  # fmt: skip
