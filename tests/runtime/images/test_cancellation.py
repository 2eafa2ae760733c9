"""Cancelled anywhere, a call leaves nothing; what ends by itself ends whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

from bireme.images import ImageStore
from tests.runtime.images.archives import Source, Stalling, docker_archive, file, leftovers, tar

BIG = tar(file("a", b"a" * 100_000), file("b/c", b"b" * 200_000))
ARCHIVE = docker_archive([BIG, tar(file("two"))])


async def cancelled_when_stalled(store: ImageStore, kind: str, source: Stalling) -> None:
    """Start a call, wait until it waits for its source, cancel it."""
    async with trio.open_nursery() as nursery:
        if kind == "import":
            nursery.start_soon(lambda: store.import_(source, reference="a"))
        else:
            nursery.start_soon(store.load, source)
        await source.stalled.wait()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("kind", ["import", "load"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
async def test_a_call_that_waits_for_its_source(
    store: ImageStore, images_directory: Path, kind: str, share: float
) -> None:
    data = BIG if kind == "import" else ARCHIVE
    before = len(os.listdir("/proc/self/fd"))
    await cancelled_when_stalled(store, kind, Stalling(data[: int(len(data) * share)], piece=5000))
    assert leftovers(images_directory) == []
    assert store.list() == ()
    assert len(os.listdir("/proc/self/fd")) == before


class CancellingSource(Source):
    """Cancels its reader at the nth read, and goes on giving."""

    def __init__(self, data: bytes, scope: trio.CancelScope, at: int) -> None:
        super().__init__(data, piece=20_000)
        self._scope = scope
        self._at = at

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self.reads == self._at:
            self._scope.cancel()
        return await super().receive_some(max_bytes)


@pytest.mark.parametrize("kind", ["import", "load"])
async def test_a_call_that_is_cancelled_at_each_of_its_reads(
    store: ImageStore, images_directory: Path, kind: str
) -> None:
    data, at, ended = BIG if kind == "import" else ARCHIVE, 0, False
    while not ended:
        with trio.CancelScope() as scope:
            source = CancellingSource(data, scope, at)
            await (store.import_(source, reference="a") if kind == "import" else store.load(source))
            ended = True
        if scope.cancelled_caught:
            assert leftovers(images_directory) == []
            assert store.list() == ()
        at += 1
    assert at > 10
    assert len(store.list()) == 1


@pytest.mark.parametrize("kind", ["import", "load"])
async def test_a_call_that_is_cancelled_before_it_begins(store: ImageStore, images_directory: Path, kind: str) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await (store.import_(Source(BIG), reference="a") if kind == "import" else store.load(Source(ARCHIVE)))
    assert scope.cancelled_caught
    assert leftovers(images_directory) == []


async def test_a_load_that_is_cancelled_between_its_layers(store: ImageStore, images_directory: Path) -> None:
    with trio.CancelScope() as scope:
        await store.load(Source(ARCHIVE), progress=lambda event: scope.cancel())
    assert scope.cancelled_caught
    assert leftovers(images_directory) == []


async def test_a_removal_that_is_cancelled_is_whole_or_not_at_all(store: ImageStore, images_directory: Path) -> None:
    await store.import_(Source(BIG), reference="a")
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.remove("a", force=False, used_by={})
    assert scope.cancelled_caught
    assert ImageStore(str(images_directory)).get("a") == store.get("a")
