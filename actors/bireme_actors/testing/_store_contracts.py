"""What every store does: of volumes, of containers, of logs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Protocol, TypeAlias

import trio

from bireme_actors._model import (
    ContainerConfig,
    ContainerId,
    ContainerState,
    Mount,
    RestartPolicy,
    VolumeId,
    new_id,
)
from bireme_actors._ports import ContainerStore, LogStore, VolumeStore
from bireme_actors.testing._samples import rich_config, rich_state


class VolumeBench(Protocol):
    """A volume store, and the one that makes volumes along with their container."""

    store: VolumeStore
    containers: ContainerStore

    def config(self) -> ContainerConfig:
        """A container of an image that is there and has nothing at any path."""
        ...


VolumeFactory: TypeAlias = Callable[[], AbstractAsyncContextManager[VolumeBench]]


class VolumeStoreContract:
    """What every ``VolumeStore`` does."""

    @staticmethod
    async def a_volume_is_there_with_its_container(open_bench: VolumeFactory) -> None:
        async with open_bench() as bench:
            assert not list(bench.store.list())
            one, two = await _volumes(bench)
            assert set(dict(bench.store.list())) == {one, two}
            assert min(dict(bench.store.list()).values()) > 0

    @staticmethod
    async def it_outlives_its_container(open_bench: VolumeFactory) -> None:
        async with open_bench() as bench:
            config = _with_volumes(bench.config())
            await bench.containers.create(config)
            await bench.containers.remove(config.id)
            assert set(dict(bench.store.list())) == {mount.volume for mount in config.mounts}

    @staticmethod
    async def its_path_is_absolute_and_ends_with_its_identifier(open_bench: VolumeFactory) -> None:
        async with open_bench() as bench:
            config = _with_volumes(bench.config())
            volume = config.mounts[0].volume
            before = bench.store.path(volume)
            await bench.containers.create(config)
            assert before == bench.store.path(volume)
            assert before.startswith("/")
            assert before.endswith(f"/{volume}")

    @staticmethod
    async def removing_takes_it_and_can_be_done_again(open_bench: VolumeFactory) -> None:
        async with open_bench() as bench:
            unknown = VolumeId(new_id())
            one, two = await _volumes(bench)
            for volume in (unknown, one, one):
                await bench.store.remove(volume)
            assert set(dict(bench.store.list())) == {two}

    @staticmethod
    async def many_are_made_and_removed_at_once(open_bench: VolumeFactory) -> None:
        async with open_bench() as bench:
            async with trio.open_nursery() as nursery:
                for _ in range(50):
                    nursery.start_soon(_volumes, bench)
            volumes = [volume for volume, _ in bench.store.list()]
            assert len(set(volumes)) == 100
            async with trio.open_nursery() as nursery:
                for volume in volumes:
                    nursery.start_soon(bench.store.remove, volume)
            assert not list(bench.store.list())


async def _volumes(bench: VolumeBench) -> list[VolumeId]:
    """Those of a new container."""
    config = _with_volumes(bench.config())
    await bench.containers.create(config)
    return [mount.volume for mount in config.mounts]


def _with_volumes(config: ContainerConfig) -> ContainerConfig:
    return replace(config, mounts=tuple(Mount(VolumeId(new_id()), path) for path in ("/one", "/two")))


class ContainerStoreBench(Protocol):
    """A container store that can be opened again, as the next engine does."""

    store: ContainerStore
    volumes: VolumeStore

    def reopen(self) -> ContainerStore:
        """Another store on the same disk."""
        ...


ContainerFactory: TypeAlias = Callable[[], AbstractAsyncContextManager[ContainerStoreBench]]


class ContainerStoreContract:
    """What every ``ContainerStore`` does."""

    @staticmethod
    async def a_record_is_read_as_it_was_written(open_bench: ContainerFactory) -> None:
        async with open_bench() as bench:
            config, state = rich_config(), rich_state()
            await bench.store.create(config)
            assert [record.config for record in bench.reopen().load()] == [config]
            assert [record.state for record in bench.reopen().load()] == [ContainerState()]
            bench.store.save_state(config.id, state)
            records = list(bench.reopen().load())
            assert [(record.config, record.state) for record in records] == [(config, state)]
            assert records[0].state.exit_status().signal == state.exit_signal

    @staticmethod
    async def only_the_volumes_that_it_owns_are_made_with_it(open_bench: ContainerFactory) -> None:
        async with open_bench() as bench:
            config = rich_config()
            await bench.store.create(config)
            owned = {mount.volume for mount in config.mounts if mount.owned}
            assert len(config.mounts) > len(owned) > 0
            assert set(dict(bench.volumes.list())) == owned

    @staticmethod
    async def an_update_replaces_the_configuration_only(open_bench: ContainerFactory) -> None:
        async with open_bench() as bench:
            config, state = rich_config(), rich_state()
            await bench.store.create(config)
            bench.store.save_state(config.id, state)
            renamed = replace(config, name="another", restart=RestartPolicy(name="always"))
            await bench.store.update(renamed)
            assert [(record.config, record.state) for record in bench.reopen().load()] == [(renamed, state)]

    @staticmethod
    async def removing_forgets_it_and_can_be_done_again(open_bench: ContainerFactory) -> None:
        async with open_bench() as bench:
            gone, kept = rich_config(), rich_config()
            await bench.store.remove(gone.id)
            await bench.store.create(gone)
            await bench.store.create(kept)
            bench.store.save_state(gone.id, rich_state())
            await bench.store.remove(gone.id)
            await bench.store.remove(gone.id)
            assert [record.config.id for record in bench.reopen().load()] == [kept.id]

    @staticmethod
    async def the_last_state_counts(open_bench: ContainerFactory) -> None:
        async with open_bench() as bench:
            config = rich_config()
            await bench.store.create(config)
            for pid in range(1, 100):
                bench.store.save_state(config.id, replace(rich_state(), pid=pid))
            assert [record.state.pid for record in bench.reopen().load()] == [99]

    @staticmethod
    async def many_are_made_at_once(open_bench: ContainerFactory) -> None:
        async with open_bench() as bench:
            configs = [rich_config() for _ in range(50)]
            async with trio.open_nursery() as nursery:
                for config in configs:
                    nursery.start_soon(bench.store.create, config)
            found = {record.config.id: record.config for record in bench.reopen().load()}
            assert found == {config.id: config for config in configs}

    @staticmethod
    async def a_cancelled_create_is_whole_or_nothing(open_bench: ContainerFactory) -> None:
        async with open_bench() as bench:
            config = rich_config()
            with trio.CancelScope() as scope:
                scope.cancel()
                await bench.store.create(config)
            found = [record.config for record in bench.reopen().load()]
            assert found == ([] if scope.cancelled_caught else [config])
            assert bool(list(bench.volumes.list())) == bool(found)
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
