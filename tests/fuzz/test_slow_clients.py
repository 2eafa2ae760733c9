"""Clients that never finish what they begin, and never read what they asked for, beside one that wants to work.

All of them are there at the same time, on one engine; whoever behaves is answered as if he were alone, what the slow
ones hold can be removed under their hands, and once they are gone nothing of them is left.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from tests.fuzz.world import World

pytestmark = pytest.mark.root

THOUSAND = 1000


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("world"))
    yield made
    made.close()
    assert "Traceback" not in made.engine.log(), made.engine.log()[-3000:]


def head(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


TALKER = ["sh", "-c", "while :; do echo 0123456789012345678901234567890123456789; done"]
JSON = "Content-Type: application/json"
CHUNKED = "Transfer-Encoding: chunked"
HIJACK = ("Connection: Upgrade", "Upgrade: tcp")
CREATE = "/containers/create"

SLOW = {
    "nothing at all": b"",
    "half a head": b"GET /_ping HTT",
    "half a header": b"GET /_ping HTTP/1.1\r\nHost: x\r\nX-A",
    "half a JSON body": head("POST", "/containers/create", JSON, "Content-Length: 100") + b'{"Image":',
    "a chunk without end": head("POST", "/containers/create", JSON, CHUNKED) + b"ffffff\r\n{",
    "a chunk of no size": head("POST", "/containers/create", JSON, CHUNKED),
    "a body never sent that was asked for": head("POST", CREATE, JSON, "Content-Length: 9", "Expect: 100-continue"),
    "half an archive": head("PUT", "/containers/talker/archive?path=/tmp", CHUNKED) + b"200\r\n" + b"x" * 100,
    "half an image": head("POST", "/images/load", CHUNKED) + b"200\r\n" + b"x" * 100,
    "half a root file system": head("POST", "/images/create?fromSrc=-&repo=slow", CHUNKED) + b"200\r\n" + b"x" * 100,
    "a log that is never read": head("GET", "/containers/talker/logs?follow=1&stdout=1"),
    "an attachment that is never read": head("POST", "/containers/talker/attach?stream=1&stdout=1", *HIJACK),
    "an attachment by HTTP/1.0": b"POST /containers/talker/attach?stream=1&stdout=1 HTTP/1.0\r\n\r\n",
    "input that nobody reads": head("POST", "/containers/deaf/attach?stream=1&stdin=1", *HIJACK) + b"y" * 300_000,
    "events that are never read": head("GET", "/events"),
    "statistics that are never read": head("GET", "/containers/talker/stats"),
    "a root file system that is never read": head("GET", "/containers/large/export"),
    "an archive that is never read": head("GET", "/containers/large/archive?path=/large"),
    "an image that is never read": head("GET", "/images/busybox/get"),
    "an exit that never comes": head("POST", "/containers/deaf/wait"),
    "a stop that takes its time": head("POST", "/containers/deaf/stop?t=3000"),
    "an upgrade to something else": head("GET", "/_ping", "Connection: Upgrade", "Upgrade: websocket"),
    "many requests and no reading": head("GET", "/info") * 2000,
}  # fmt: skip


def begin(world: World, data: bytes) -> socket.socket:
    """A client that sends this, as far as it is taken, and does no more."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(world.engine.socket)
    sock.settimeout(0.2)
    with suppress(TimeoutError, BrokenPipeError):
        sock.sendall(data)
    return sock


def make(world: World, name: str, command: list[str]) -> None:
    body = {"Image": "busybox", "Cmd": command, "OpenStdin": True}
    assert world.engine.ask("POST", f"/containers/create?name={name}", body)[0] == 201
    assert world.engine.ask("POST", f"/containers/{name}/start")[0] == 204


def test_whoever_behaves_is_answered(world: World) -> None:
    world.renew()
    world.clean()
    before = world.quiet()
    make(world, "talker", TALKER)
    make(world, "deaf", ["sh", "-c", "trap : TERM; while :; do sleep 1; done"])
    make(world, "large", ["sh", "-c", "head -c 5000000 /dev/zero > /large; sleep 1000"])
    with ExitStack() as stack:
        for data in SLOW.values():
            for _ in range(3):
                stack.enter_context(begin(world, data))
        work(world)
        for name in ("talker", "deaf", "large"):
            assert world.engine.ask("DELETE", f"/containers/{name}?force=1&v=1")[0] == 204
        work(world)
    assert world.engine.ask("GET", "/containers/json?all=1") == (200, [])
    after = world.settled(before)
    assert all(now <= bound for now, bound in zip(after, before, strict=True)), (before, after)


def work(world: World) -> None:
    """What a client that behaves does all day."""
    ask = world.engine.ask
    assert ask("GET", "/_ping")[0] == 200
    make(world, "good", ["sh", "-c", "echo out; exec cat"])
    status, made = ask("POST", "/containers/good/exec", {"Cmd": ["true"]})
    assert status == 201
    assert ask("POST", f"/exec/{made['Id']}/start", {"Detach": True})[0] == 200
    assert ask("PUT", "/containers/good/archive?path=/tmp", bytes(10240))[0] == 200
    assert ask("POST", "/images/busybox/tag?repo=good")[0] == 201
    assert ask("DELETE", "/images/good")[0] == 200
    assert ask("GET", "/images/json")[0] == 200
    assert ask("GET", "/containers/good/logs?stdout=1")[0] == 200
    assert ask("POST", "/containers/good/kill")[0] == 204
    assert ask("POST", "/containers/good/wait")[1]["StatusCode"] == 137
    assert ask("DELETE", "/containers/good?v=1")[0] == 204


def test_a_thousand_open_connections_leave_room_for_one_more(world: World) -> None:
    before = world.quiet()
    with ExitStack() as stack:
        for number in range(THOUSAND):
            stack.enter_context(begin(world, (b"", b"GET /_ping HTT", head("GET", "/_ping"))[number % 3]))
        work(world)
    after = world.settled(before)
    assert all(now <= bound for now, bound in zip(after, before, strict=True)), (before, after)


@pytest.mark.parametrize("cut", [0, 1, 40, 64, 90, 200])
def test_a_stream_may_be_left_at_any_moment(world: World, cut: int) -> None:
    """Also in the middle of its head, and of what it sends."""
    world.renew()
    before = world.quiet()
    for path in ("/containers/running/attach?stream=1&stdout=1&stdin=1", f"/exec/{world.names['exec']}/start"):
        body = b'{"Detach":false}' if "exec" in path else b""
        data = head("POST", path, *HIJACK, JSON, f"Content-Length: {len(body)}") + body + b"input\n" * 10
        begin(world, data[:cut] if cut < 200 else data).close()
    world.clean()
    after = world.settled(before)
    assert all(now <= bound for now, bound in zip(after, before, strict=True)), (before, after)
