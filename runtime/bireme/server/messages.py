"""What a handler is handed and what it hands back.

A handler returns before its answer is sent: an error it raises until then becomes an error answer. What it returns says
how to go on: a whole body, a body that comes piece by piece, one that many wait for, or the connection itself
(hijacked, as Docker calls it).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Hashable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

import msgspec

from bireme.server.errors import Refusal, message_of, status_of
from bireme.server.query import Query
from bireme.server.spelling import spelled
from bireme_actors import BiremeError, ByteSource, InvalidConfig

JSON = "application/json"
TAR = "application/x-tar"
MOST_NESTED = 64
"""Objects and lists within each other in a body."""

_EMPTY: Mapping[str, object] = {"volumes": {}, "exposedports": {}, "tmpfs": ""}
"""Objects, in lower case, whose members' names count, and what ``null`` means as the value of one, as Go reads it."""

_log = logging.getLogger("bireme.server")

Headers = tuple[tuple[str, str], ...]
M = TypeVar("M")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, its head decoded; ``body`` is read by whoever wants it."""

    method: str
    path: str
    """Decoded, without the version in front."""
    query: Query
    headers: Mapping[str, str]
    """Names in lower case."""
    body: RequestBody
    version: tuple[int, int] = (0, 0)
    parameters: Mapping[str, str] = field(default_factory=dict)
    """What stood in the path where the route has a name in braces."""

    def routed(self, path: str, version: tuple[int, int], parameters: Mapping[str, str]) -> Request:
        """The same request, its path understood."""
        return replace(self, path=path, version=version, parameters=parameters)

    def __getitem__(self, parameter: str) -> str:
        return self.parameters[parameter]

    @property
    def wants_upgrade(self) -> bool:
        """Whether the client asks to turn the connection into a raw stream (else it just expects one)."""
        return "upgrade" in self.headers.get("connection", "").lower() and "upgrade" in self.headers

    async def json(self, model: type[M]) -> M:
        """The body as ``model``; an empty body is an empty object. Raises InvalidConfig, Refusal.

        Cancelling is harmless. ``null`` counts as absent, as it does for Go's clients and servers.
        """
        data = await self.body.read_all()
        try:
            raw = msgspec.json.decode(data) if data.strip() else {}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidConfig(f"invalid JSON: {error}") from None
        if data.strip():
            self._check_content_type()
        try:
            return msgspec.convert(spelled(without_nulls(raw), model), model)
        except msgspec.ValidationError as error:
            raise InvalidConfig(f"invalid JSON: {error}") from None

    def _check_content_type(self) -> None:
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != JSON:
            raise InvalidConfig(f"unsupported Content-Type header ({kind}): must be '{JSON}'")


def without_nulls(value: Any, depth: int = 0, absent: object = None) -> Any:
    """JSON with every ``null`` member of an object left out, but for those whose name alone says something.

    ``absent`` stands in for those of ``value``. Raises InvalidConfig where it is nested too deeply.
    """
    if depth > MOST_NESTED:
        raise InvalidConfig(f"invalid JSON: nested more than {MOST_NESTED} deep")
    if isinstance(value, dict):
        given = ((key, absent if item is None else item) for key, item in value.items())
        return {
            key: without_nulls(item, depth + 1, _EMPTY.get(key.lower())) for key, item in given if item is not None
        }
    return [without_nulls(item, depth + 1) for item in value] if isinstance(value, list) else value


class RequestBody(ByteSource, Protocol):
    """A body as it comes."""

    async def read_all(self) -> bytes:
        """All of it, bounded in size and time. Raises Refusal. Cancelling leaves the rest unread."""
        ...


class Raw(Protocol):
    """A hijacked connection: bytes both ways, each way with an end of its own."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The client's next bytes, ``b""`` once it has ended its side."""
        ...

    async def send_all(self, data: bytes) -> None:
        """Send; waits while the client does not read. Raises trio.BrokenResourceError when it has gone."""
        ...


@dataclass(frozen=True, slots=True)
class Response:
    """An answer with a whole body."""

    status: int = 200
    body: bytes = b""
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Streamed:
    """An answer whose head goes out as soon as ``opened`` is entered, and whose body follows as it is made.

    What has to be registered before the client hears that it is (a subscription) is registered by entering; an error
    raised there still becomes an error answer.
    """

    opened: AbstractAsyncContextManager[AsyncIterator[bytes]]
    headers: Headers = (("Content-Type", JSON),)


@dataclass(frozen=True, slots=True)
class Awaited:
    """An answer whose head goes out at once, and whose body follows, whole, when ``body`` returns it.

    Whoever has the same ``source`` gets the same body at the same time. ``body`` raises nothing: the head is out.
    """

    body: Callable[[], Awaitable[bytes]]
    source: Hashable
    headers: Headers = (("Content-Type", JSON),)


@dataclass(frozen=True, slots=True)
class Hijacked:
    """The head goes out at once, then ``run`` has the connection; when it returns, the connection ends."""

    run: Callable[[Raw], Awaitable[None]]
    content_type: str


Answer = Response | Streamed | Awaited | Hijacked

NO_CONTENT = Response(204)


def streamed(pieces: AsyncGenerator[bytes], content_type: str = JSON) -> Streamed:
    """An answer that needs no registering: its body is what ``pieces`` gives."""
    return Streamed(aclosing(pieces), (("Content-Type", content_type),))


def json_bytes(value: object) -> bytes:
    """One JSON value on a line of its own, as Docker writes them; characters that are no text are replaced."""
    try:
        return msgspec.json.encode(value) + b"\n"
    except UnicodeEncodeError:
        return msgspec.json.encode(_printable(value)) + b"\n"


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_printable(key): _printable(item) for key, item in value.items()}
    return [_printable(item) for item in value] if isinstance(value, list | tuple) else value


def as_json(value: object, status: int = 200) -> Response:
    """An answer of one JSON value."""
    return Response(status, json_bytes(value), (("Content-Type", JSON),))


def error_response(error: BaseException) -> Response:
    """Docker's error shape. What is no expected error is a bug: logged here, 500 there."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, BiremeError | Refusal):
        status, message = status_of(error), message_of(error)
    else:
        _log.error("a request failed by a bug in bireme", exc_info=error)
        status, message = 500, f"internal error: {type(error).__name__}: {error}"
    if status == 304:
        return Response(status)
    return Response(status, json_bytes({"message": message}), (("Content-Type", JSON),))
