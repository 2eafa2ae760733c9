"""Registries by the API: what is told when, and what a client's slowness costs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import pytest
import trio

from bireme.engine import ProgressEvent
from bireme.server.handlers.registries import _pulled, _told
from bireme.server.steps import Outbox, bar, progress_document
from bireme_actors import ImageNotFound
from tests.runtime.server.served import Engine

Progress = Callable[[ProgressEvent], None]


@pytest.mark.parametrize(
    ("image", "tag", "expected"),
    [
        ("box", "1", ("box:1", False)),
        ("box", "", ("box", True)),
        ("box:1", "", ("box:1", False)),
        ("box:1", "2", ("box:2", False)),
        ("host:5000/box", "", ("host:5000/box", True)),
        ("host:5000/box", "1", ("host:5000/box:1", False)),
        ("host:5000/box:1", "", ("host:5000/box:1", False)),
        ("box", "sha256:12", ("box@sha256:12", False)),
        ("box@sha256:12", "", ("box@sha256:12", False)),
        ("box:1", "sha256:12", ("box@sha256:12", False)),
    ],
)
def test_what_is_to_be_pulled(image: str, tag: str, expected: tuple[str, bool]) -> None:
    assert _pulled(image, tag) == expected


def test_steps_as_docker_writes_them() -> None:
    assert progress_document(ProgressEvent(status="Pulling from x", id="1")) == {"status": "Pulling from x", "id": "1"}
    assert progress_document(ProgressEvent(status="Waiting", id="a", line=True)) == {
        "status": "Waiting",
        "id": "a",
        "progressDetail": {},
    }
    assert progress_document(ProgressEvent(status="Downloading", id="a", current=36445, total=1064365, line=True)) == {
        "status": "Downloading",
        "progressDetail": {"current": 36445, "total": 1064365},
        "progress": "[=>                                                 ]  36.45kB/1.064MB",
        "id": "a",
    }
    assert progress_document(ProgressEvent(status="", line=True, aux={"Tag": "1"})) == {
        "progressDetail": {},
        "aux": {"Tag": "1"},
    }


def test_bars_as_docker_draws_them() -> None:
    assert bar(1986560, 1982256) == "[==================================================>]  1.987MB"
    assert bar(5, 0) == "      5B"


async def test_of_counts_that_nobody_took_the_latest_is_kept() -> None:
    outbox = Outbox()
    for count in range(1, 10_000):
        outbox.put(ProgressEvent(status="Downloading", id="a", current=count, total=10_000, line=True))
    outbox.put(ProgressEvent(status="Download complete", id="a", line=True))
    outbox.put(ProgressEvent(status="Extracting", id="a", current=1, line=True))
    outbox.close()
    async with aclosing(outbox.steps()) as steps:
        taken = [(step["status"], step["progressDetail"].get("current")) async for step in steps]
    assert taken == [("Downloading", 9999), ("Download complete", None), ("Extracting", 1)]


async def collected(opened: AsyncIterator[bytes]) -> list[dict[str, object]]:
    return [json.loads(piece) async for piece in opened]


async def test_a_failure_with_nothing_told_is_an_error_answer() -> None:
    async def work(progress: Progress) -> None:
        await trio.lowlevel.checkpoint()
        raise ImageNotFound("manifest unknown")

    with pytest.raises(ImageNotFound, match="manifest unknown"):
        async with _told(work):
            pass


async def test_a_later_failure_is_the_last_step() -> None:
    async def work(progress: Progress) -> None:
        progress(ProgressEvent(status="Pulling"))
        await trio.lowlevel.checkpoint()
        raise ImageNotFound("gone")

    async with _told(work) as pieces:
        told = await collected(pieces)
    assert told == [{"status": "Pulling"}, {"error": "gone", "errorDetail": {"code": 404, "message": "gone"}}]


async def test_a_bug_is_told_without_its_inside(caplog: pytest.LogCaptureFixture) -> None:
    async def work(progress: Progress) -> None:
        progress(ProgressEvent(status="Pulling"))
        raise ValueError("secret")

    async with _told(work) as pieces:
        told = await collected(pieces)
    assert "secret" not in str(told)
    assert "failed by a bug" in caplog.text


async def test_work_ends_when_nobody_listens() -> None:
    ended = trio.Event()

    async def work(progress: Progress) -> None:
        progress(ProgressEvent(status="Pulling"))
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    async with _told(work) as pieces:
        assert json.loads(await anext(pieces)) == {"status": "Pulling"}
    assert ended.is_set()


@pytest.mark.root
def test_answers_of_a_real_engine(engine: Engine) -> None:
    nobody = "dial tcp 127.0.0.1:1: connect: connection refused"
    words = {"message": f'Get "http://127.0.0.1:1/v2/": {nobody}'}
    assert engine.ask("POST", "/images/create?fromImage=127.0.0.1:1/box&tag=1") == (500, words)
    assert engine.ask("GET", "/distribution/127.0.0.1:1/box/json") == (500, words)
    assert engine.ask("POST", "/auth", {"serveraddress": "127.0.0.1:1"}) == (500, words)
    assert engine.ask("POST", "/auth", {"serveraddress": 5})[0] == 400
    info = engine.ask("GET", "/info")[1]
    assert info["IndexServerAddress"] == "https://index.docker.io/v1/"
    assert info["RegistryConfig"]["InsecureRegistryCIDRs"] == ["::1/128", "127.0.0.0/8"]
    assert engine.ask("POST", "/auth", b"[]")[0] == 400
    assert engine.ask("POST", "/images/create?fromImage=BOX&tag=1")[0] == 400
    assert engine.ask("POST", "/images/create?fromImage=127.0.0.1:1/box&tag=1&platform=plan9/x")[0] == 400
