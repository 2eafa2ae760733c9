"""What every store does: of volumes, of writable layers, of records, of logs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Protocol, TypeAlias

import trio

from bireme_actors._model import ContainerConfig, ContainerId, ContainerState, RestartPolicy, VolumeId, new_id
from bireme_actors._ports import LogStore, RecordStore, RootfsStore, VolumeStore
from bireme_actors.testing._contracts import refuses
from bireme_actors.testing._samples import rich_config, rich_state


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
            await refuses(Exception, bench.store.commit(staged))

    @staticmethod
    async def a_cancelled_create_leaves_nothing(open_bench: VolumeFactory) -> None:
        async with open_bench() as bench:
            volume = VolumeId(new_id())
            with trio.CancelScope() as scope:
                scope.cancel()
                await bench.store.create(volume, bench.config(), "/data")
            assert scope.cancelled_caught
            await refuses(Exception, bench.store.commit(volume))
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
