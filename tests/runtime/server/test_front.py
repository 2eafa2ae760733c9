"""The server as a whole on a real socket, over an engine that has nothing in it."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from bireme.engine import Runtime
from bireme.server import front, serve
from bireme.server.front import Front, open_front
from bireme.server.listener import open_listener
from bireme_actors import Conflict, InvalidConfig, OnExit, Status, StorageError


class EmptyEngine:
    """As much of a Runtime as an idle server asks for."""

    def __init__(self) -> None:
        self.ended: list[OnExit] = []
        self.containers: list[Any] = []

    def list(self, **options: bool) -> list[Any]:
        return self.containers

    def version(self) -> dict[str, Any]:
        return {"Version": "0"}

    async def end_all(self, on_exit: OnExit) -> None:
        await trio.lowlevel.checkpoint()
        self.ended.append(on_exit)


def runtime(engine: EmptyEngine) -> Runtime:
    return cast("Runtime", engine)


@asynccontextmanager
async def served(path: Path, **options: Any) -> AsyncIterator[tuple[Front, EmptyEngine]]:
    """A front that serves at ``path``; it must end by itself within the block or is cancelled at its end."""
    engine = EmptyEngine()
    ready = trio.Event()
    async with open_front() as opened, trio.open_nursery() as nursery:

        async def run() -> None:
            await opened.serve(runtime(engine), socket_path=str(path), ready=ready.set, **options)
            await opened.finish()

        nursery.start_soon(run)
        await ready.wait()
        yield opened, engine
        nursery.cancel_scope.cancel()


async def ask(path: Path, method: str, target: str) -> bytes:
    """One request on a connection of its own; everything that comes back."""
    async with await trio.open_unix_socket(str(path)) as stream:
        await stream.send_all(f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return b"".join([bytes(data) async for data in stream])


async def test_ping_says_what_this_is(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with served(path):
        answer = await ask(path, "GET", "/_ping")
        assert answer.endswith(b"\r\n\r\nOK")
        for line in (b"Api-Version: 1.49", b"Ostype: linux", b"Docker-Experimental: false", b"Swarm: inactive"):
            assert b"\r\n" + line + b"\r\n" in answer
        assert (await ask(path, "HEAD", "/_ping")).endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("target", "status", "words"),
    [
        ("/nosuch", 404, "page not found"),
        ("/v1.12/_ping", 400, "too old"),
        ("/v1.99/_ping", 400, "too new"),
        ("/v1.41/swarm", 501, "Swarm is not supported"),
        ("/plugins", 501, "not supported"),
        ("/containers/json?filters={", 400, "invalid filter"),
        ("/containers/json?limit=x", 400, "whole number"),
    ],
)
async def test_errors_have_dockers_shape(tmp_path: Path, target: str, status: int, words: str) -> None:
    path = tmp_path / "s"
    async with served(path):
        head, _, body = (await ask(path, "GET", target)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert words in json.loads(body)["message"]


async def test_volumes_have_no_names(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with served(path):
        answer = await ask(path, "POST", "/volumes/create")
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"data-volume specification" in answer


async def test_a_thousand_connections(tmp_path: Path) -> None:
    """Most of them silent, some of them half-way through a request; others are served meanwhile, and none stays."""
    path = tmp_path / "s"
    async with served(path) as (opened, _):
        streams = []
        for number in range(1000):
            stream = await trio.open_unix_socket(str(path))
            if number % 3 == 0:
                await stream.send_all(b"GET /_ping HTTP/1.1\r\nHo")
            streams.append(stream)
        with trio.fail_after(10):
            assert (await ask(path, "GET", "/_ping")).endswith(b"OK")
        assert opened.statistics()["connections"] >= 1000
        for stream in streams:
            await stream.aclose()
        with trio.fail_after(10):
            while opened.statistics()["connections"]:
                await wait_all_tasks_blocked()


async def test_at_the_limit_the_idle_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "most_connections", lambda: 4)
    path = tmp_path / "s"
    async with served(path):
        idle = [await trio.open_unix_socket(str(path)) for _ in range(4)]
        await wait_all_tasks_blocked()
        assert (await ask(path, "GET", "/_ping")).endswith(b"OK")
        assert await idle[0].receive_some() == b""
        for stream in idle:
            await stream.aclose()


async def test_at_the_limit_with_all_at_work_newcomers_are_sent_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front, "most_connections", lambda: 2)
    path = tmp_path / "s"
    async with served(path) as (opened, _):
        busy = []
        for _ in range(2):
            stream = await trio.open_unix_socket(str(path))
            await stream.send_all(b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{")
            busy.append(stream)
        await wait_all_tasks_blocked()
        assert opened.statistics()["requests"] == 2
        answer = await ask(path, "GET", "/_ping")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert "too many connections" in json.loads(answer.partition(b"\r\n\r\n")[2])["message"]
        for stream in busy:
            await stream.aclose()


@pytest.mark.parametrize(("query", "on_exit"), [("", OnExit.STOP), ("?detach=1", OnExit.DETACH)])
async def test_shutdown_is_answered_when_all_has_ended(tmp_path: Path, query: str, on_exit: OnExit) -> None:
    path = tmp_path / "s"
    engine, ready = EmptyEngine(), trio.Event()
    async with open_front() as opened, trio.open_nursery() as nursery:
        answers: list[bytes] = []

        async def request() -> None:
            await ready.wait()
            answers.append(await ask(path, "POST", f"/bireme/shutdown{query}"))

        nursery.start_soon(request)
        assert await opened.serve(runtime(engine), socket_path=str(path), ready=ready.set) is on_exit
        assert engine.ended == ([] if on_exit is OnExit.DETACH else [on_exit])
        assert not path.exists()
        await wait_all_tasks_blocked()
        assert answers == []
        await opened.finish()
    assert answers[0].startswith(b"HTTP/1.1 200 ")


async def test_what_changes_things_is_refused_while_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with served(path) as (opened, _):
        stream = await trio.open_unix_socket(str(path))
        await stream.send_all(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
        await stream.receive_some()
        opened.shutdown.request(OnExit.STOP)
        await stream.send_all(b"POST /volumes/prune HTTP/1.1\r\nHost: x\r\n\r\n")
        assert bytes(await stream.receive_some()).startswith(b"HTTP/1.1 503 ")
        await stream.aclose()


async def test_it_ends_by_itself_when_nobody_asks_and_nothing_runs(tmp_path: Path, autojump_clock: MockClock) -> None:
    engine, begun = EmptyEngine(), trio.current_time()
    found = await serve(runtime(engine), socket_path=str(tmp_path / "s"), idle_seconds=300)
    assert found is OnExit.DETACH
    assert trio.current_time() - begun == pytest.approx(300)


async def test_it_stays_while_a_container_runs(tmp_path: Path, autojump_clock: MockClock) -> None:
    path, begun = tmp_path / "s", trio.current_time()
    async with served(path, idle_seconds=300) as (opened, engine):
        state = SimpleNamespace(running=True)
        engine.containers.append(SimpleNamespace(view=SimpleNamespace(state=state), status=Status.RUNNING))
        await trio.sleep(1000)
        assert not opened.shutdown.requested.is_set()
        engine.containers.clear()
        await opened.shutdown.requested.wait()
        assert 1200 <= trio.current_time() - begun <= 1500


# The socket.


def test_only_root_may_connect(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with open_listener(str(path)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


def test_a_group_may_be_let_in(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with open_listener(str(path), group=str(os.getgid())):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
    with pytest.raises(InvalidConfig, match="unknown group 'nobodys'"), open_listener(str(path), group="nobodys"):
        raise AssertionError("it was opened")


def test_one_engine_at_a_time(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with open_listener(path):
        with pytest.raises(Conflict, match="another engine listens"), open_listener(path):
            raise AssertionError("it was opened")
        assert os.path.exists(path)
    with open_listener(path):
        assert os.path.exists(path)


def test_what_a_killed_engine_left_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    with open_listener(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(Conflict, match="something else"), open_listener(str(path)):
        raise AssertionError("it was opened")
    assert path.read_text() == "precious"


def test_a_path_longer_than_an_address(tmp_path: Path) -> None:
    path = tmp_path / ("d" * 100) / ("e" * 100) / "bireme.sock"
    with open_listener(str(path)):
        assert stat.S_ISSOCK(path.stat().st_mode)
    assert [name.name for name in path.parent.iterdir()] == [".bireme.sock.lock"]


def test_where_nothing_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot listen"), open_listener(str(tmp_path / "file" / "s")):
        raise AssertionError("it was opened")


def test_a_socket_that_was_replaced_meanwhile_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with open_listener(str(path)):
        path.unlink()
        path.write_text("somebody else's")
    assert path.exists()
