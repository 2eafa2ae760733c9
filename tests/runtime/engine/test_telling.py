"""Events beside those of a container's life: what was done with it, and with images."""

from __future__ import annotations

import io
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bireme.engine import Runtime, open_runtime
from bireme_actors import Event, Limits


class Bytes:
    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return self._file.read(max_bytes or 1 << 16)

    async def aclose(self) -> None:
        self._file.close()


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("file"))
    return out.getvalue()


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    async with open_runtime(root=tmp_path / "root", run_dir=tmp_path / "run") as opened:
        yield opened


async def next_events(events: AsyncIterator[Event], count: int) -> list[Event]:
    return [await anext(events) for _ in range(count)]


@pytest.mark.root
async def test_of_images(runtime: Runtime) -> None:
    async with runtime.events() as events:
        image = await runtime.images.import_(Bytes(tar()), reference="made:1")
        await runtime.images.tag("made:1", "other:2")
        saved = b"".join([piece async for piece in runtime.images.save(["made:1"])])
        await runtime.remove_image("other:2")
        await runtime.remove_image("made:1")
        await runtime.images.load(Bytes(saved))
        found = await next_events(events, 7)
    assert {event.kind for event in found} == {"image"}
    assert [(event.action, event.attributes["name"]) for event in found] == [
        ("import", "made:1"),
        ("tag", "other:2"),
        ("save", "made:1"),
        ("untag", "other:2"),
        ("untag", "made:1"),
        ("delete", image.id),
        ("load", "made:1"),
    ]


@pytest.mark.root
async def test_of_what_is_done_with_a_container(runtime: Runtime) -> None:
    container = await runtime.create("busybox", ["sleep", "100"], tty=True)
    await container.start()
    async with runtime.events() as events:
        await container.resize(10, 20)
        await container.update(limits=Limits(cpu_shares=512), restart="no")
        await container.top()
        await container.put_archive("/tmp", Bytes(tar()))
        async with container.get_archive("/tmp/file") as pieces:
            assert b"".join([piece async for piece in pieces])
        async with container.export() as pieces:
            assert b"".join([piece async for piece in pieces])
        found = await next_events(events, 6)
    assert [event.action for event in found] == ["resize", "update", "top", "extract-to-dir", "archive-path", "export"]
    assert {event.id for event in found} == {container.id}
    assert found[0].attributes["height"] == "10"
