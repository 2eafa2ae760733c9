"""The same API for synchronous and asyncio programs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import bireme

pytestmark = pytest.mark.root


def test_a_synchronous_program(root: Path) -> None:
    with bireme.blocking.open_runtime(root=root) as runtime:
        done = runtime.run("busybox", ["sh", "-c", "echo hi > /data/x; cat /data/x"], volumes=["/data"])
        assert (done.exit_status, done.stdout) == (0, b"hi\n")
        with runtime.open_container("busybox", ["sleep", "60"], volumes=["/a"]) as db:
            db.exec(["sh", "-c", "echo 1 > /a/x"], check=True)
            job = runtime.create("busybox", ["cat", "/a/x"], volumes_from=[db])
            job.start()
            assert job.wait() == 0
            assert [entry.data for entry in job.logs()] == [b"1\n"]
            with pytest.raises(bireme.Conflict):
                db.remove()
        with pytest.raises(bireme.ImageNotFound):
            runtime.run("nosuch", ["true"])
        assert [container.id for container in runtime.list()] == [job.id]


def test_a_synchronous_program_attaches_and_listens(root: Path) -> None:
    with bireme.blocking.open_runtime(root=root) as runtime, runtime.events() as events:
        cat = runtime.create("busybox", ["cat"], stdin_open=True, stdin_once=True)
        with cat.attach(stdin=True) as attached:
            cat.start()
            attached.send(b"through")
            attached.send_eof()
            assert b"".join(entry.data for entry in attached) == b"through"
        actions = []
        for event in events:
            actions.append(event.action)
            if event.action == "die":
                break
        assert actions == ["create", "attach", "start", "die"]


def test_a_runtime_whose_block_has_been_left_says_so(root: Path) -> None:
    with bireme.blocking.open_runtime(root=root) as runtime:
        container = runtime.create("busybox", ["true"])
    for call in (container.start, container.inspect, runtime.list):
        with pytest.raises(bireme.ActorStopped, match="open another one"):
            call()


async def _asyncio_program(root: Path) -> None:
    async with bireme.aio.open_runtime(root=root) as runtime:
        done = await runtime.run("busybox", ["sh", "-c", "echo hi > /data/x; cat /data/x"], volumes=["/data"])
        assert (done.exit_status, done.stdout) == (0, b"hi\n")
        async with runtime.open_container("busybox", ["sleep", "60"], volumes=["/a"]) as db:
            results = await asyncio.gather(*(db.exec(["echo", str(number)]) for number in range(10)))
            assert [result.stdout for result in results] == [f"{number}\n".encode() for number in range(10)]
            assert db.inspect()["Id"] == db.id
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(runtime.run("busybox", ["sleep", "60"]), 0.3)
        with pytest.raises(bireme.ImageNotFound):
            await runtime.run("nosuch", ["true"])


def test_an_asyncio_program(root: Path) -> None:
    asyncio.run(_asyncio_program(root))
