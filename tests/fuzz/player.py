"""Asking, and what every answer must be: there in time, of Docker's shape, never 500."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import h11
import trio

from tests.fuzz.grammar import Ask
from tests.fuzz.world import World

PATIENCE = 20.0
"""Seconds for any answer that has nothing to wait for."""

GLANCE = 0.3
"""Seconds after which a client loses interest in an answer that may take for ever."""

_MAY_WAIT = re.compile(
    r"/events|/(wait|stop|restart|kill|attach|logs|stats)$|^(/v[\d.]+)*/exec/.*/start$|/images/.*push$|/images/create$"
)


@dataclass(frozen=True)
class Answer:
    """What came back: ``status`` 0 where the client left before it came."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool


async def play(world: World, asks: Sequence[Ask], statuses: Counter[int]) -> None:
    """Ask all of them at once, and count the answers. Raises AssertionError for what must not be."""
    async with trio.open_nursery() as nursery:
        for ask in asks:
            nursery.start_soon(_play, world, ask, statuses)


async def _play(world: World, ask: Ask, statuses: Counter[int]) -> None:
    sent = wire(world, ask)
    answer = await _answer(world.engine.socket, sent, ask)
    statuses[answer.status] += 1
    try:
        check(ask, answer)
    except AssertionError as error:
        raise AssertionError(f"{error}\nasked: {sent[:3000]!r}\nanswered: {answer}") from error


def wire(world: World, ask: Ask) -> bytes:
    """The request as it is sent."""
    body = None if ask.body is None else _body(world, ask.body)
    lines = [f"{ask.method} {world.filled(ask.target)} HTTP/1.1", "Host: x", *(f"{k}: {v}" for k, v in ask.headers)]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def _body(world: World, body: bytes) -> bytes:
    for kind, identifier in world.names.items():
        body = body.replace(f"{{{kind}}}".encode(), identifier.encode())
    return body


async def _answer(socket: str, sent: bytes, ask: Ask) -> Answer:
    may_wait = _MAY_WAIT.search(ask.target.partition("?")[0]) is not None
    connection = h11.Connection(h11.CLIENT)
    upgrade = [("Host", "x"), ("Connection", "Upgrade"), ("Upgrade", "tcp")]  # whatever was sent: h11 takes 101 then
    connection.send(h11.Request(method=ask.method, target="/", headers=upgrade))
    connection.send(h11.EndOfMessage())
    found = Answer(0, {}, b"", whole=False)
    with trio.move_on_after(GLANCE if may_wait else PATIENCE) as patience:
        async with await trio.open_unix_socket(socket) as stream:
            with suppress(trio.BrokenResourceError):  # refused before all of it was read; the answer is there
                await stream.send_all(sent)
            async for part in _parts(connection, stream):
                found = part
    assert may_wait or not patience.cancelled_caught, f"no answer in {PATIENCE} seconds: {sent[:3000]!r}"
    return found


async def _parts(connection: h11.Connection, stream: trio.SocketStream) -> AsyncIterator[Answer]:
    """The answer as it grows."""
    status, body = 0, b""
    headers: dict[str, str] = {}
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some())
        elif isinstance(event, h11.Response):
            status = event.status_code
            headers = {name.decode(): value.decode() for name, value in event.headers}
            yield Answer(status, headers, body, whole=False)
        elif isinstance(event, h11.Data):
            body += event.data
            yield Answer(status, headers, body, whole=False)
        elif isinstance(event, h11.InformationalResponse):
            if event.status_code == 101:
                return
        else:
            yield Answer(status, headers, body, whole=isinstance(event, h11.EndOfMessage))
            return


def check(ask: Ask, answer: Answer) -> None:
    """Raises AssertionError for an answer that no client should ever get."""
    assert answer.status != 500, "an internal error"
    if not ask.known and answer.status:
        assert answer.status in (400, 404, 405), answer.status
    kind = answer.headers.get("content-type", "")
    if answer.status >= 400 and ask.method != "HEAD":
        assert answer.whole
        message = json.loads(answer.body)
        assert list(message) == ["message"], message
        assert isinstance(message["message"], str), message
        assert message["message"], message
    elif answer.whole and answer.body and kind == "application/json":
        for line in answer.body.splitlines():
            json.loads(line)
