"""The engine's API as calls: paths, queries, JSON, and its errors as ours."""

from __future__ import annotations

import json

from bireme.cli._errors import ApiError, Unreachable
from bireme.cli._http import Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from bireme.cli._http import Response

API = "/v1.41"
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/:")
_JSON = (("Content-Type", "application/json"),)
_TAR = (("Content-Type", "application/x-tar"),)
_UPGRADE = (("Connection", "Upgrade"), ("Upgrade", "tcp"))


def quote(text: str) -> str:
    """``text`` as a part of a URL's path. (``urllib.parse`` takes longer to import than this client to start.)"""
    return "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in text.encode("utf-8", "surrogateescape"))


def query_string(query: Mapping[str, object] | None) -> str:
    """``?a=1&b=x``; None and False leave a key out, True is 1, a list repeats it, a mapping goes as JSON."""
    pairs: list[str] = []
    for key, value in (query or {}).items():
        for item in value if isinstance(value, list) else [value]:
            if item is None or item is False:
                continue
            text = "1" if item is True else _compact(item) if isinstance(item, dict) else str(item)
            pairs.append(f"{key}={quote(text).replace('/', '%2F').replace(':', '%3A')}")
    return "?" + "&".join(pairs) if pairs else ""


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


class Client:
    """Calls to one engine. ``connect`` makes a connection and, where that is wanted, the engine."""

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self._connect = connect
        self._idle: Connection | None = None
        self._open: list[Connection] = []
        self._answered = False

    def close(self) -> None:
        """Close every connection, also those whose answers are not read to the end."""
        for connection in self._open:
            connection.close()
        self._open.clear()
        self._idle = None

    def call(self, method: str, path: str, query: Mapping[str, object] | None = None, body: object = None) -> bytes:
        """One exchange; the whole body of the answer. Raises ApiError, Unreachable."""
        data = None if body is None else json.dumps(body).encode()
        connection, response = self._exchange(method, path, query, body=data, headers=_JSON if data else ())
        answer = response.read()
        self._idle = None if connection.closed else connection
        self._check(response, answer)
        return answer

    def json(self, method: str, path: str, query: Mapping[str, object] | None = None, body: object = None) -> Any:
        """One exchange; its answer decoded (None if empty). Raises ApiError, Unreachable."""
        return decode(self.call(method, path, query, body))

    def head(self, path: str, query: Mapping[str, object] | None = None) -> dict[str, str]:
        """The headers that a GET would have. Raises ApiError, Unreachable."""
        connection, response = self._exchange("HEAD", path, query)
        self._idle = None if connection.closed else connection
        self._check(response, b"")
        return response.headers

    def open(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None = None,
        body: object = None,
        *,
        upload: Iterable[bytes] | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Response:
        """An exchange on a connection of its own, whose body is read as it comes. Raises ApiError, Unreachable."""
        data = None if body is None else json.dumps(body).encode()
        headers += _TAR if upload is not None else _JSON if data else ()
        _, response = self._exchange(method, path, query, body=data, upload=upload, headers=headers, once=True)
        if response.status >= 400:
            self._check(response, response.read())
        return response

    def hijack(
        self, path: str, query: Mapping[str, object] | None = None, body: object = None
    ) -> tuple[socket.socket, bytes]:
        """Turn a connection into a stream to a process; the socket, and what has come already."""
        data = None if body is None else json.dumps(body).encode()
        headers = (*(_JSON if data else ()), *_UPGRADE)
        connection, response = self._exchange("POST", path, query, body=data, headers=headers, once=True)
        if response.status >= 400:
            self._check(response, response.read())
        self._open.remove(connection)
        return connection.hijacked()

    def _connection(self, once: bool) -> Connection:
        if not once and self._idle is not None:
            connection, self._idle = self._idle, None
            return connection
        connection = Connection(self._connect(), once=once)
        self._open = [known for known in self._open if not known.closed] + [connection]
        return connection

    def _exchange(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None,
        *,
        body: bytes | None = None,
        upload: Iterable[bytes] | None = None,
        headers: tuple[tuple[str, str], ...] = (),
        once: bool = False,
    ) -> tuple[Connection, Response]:
        target = (path if path.startswith("/bireme/") else API + path) + query_string(query)
        connection = self._connection(once)
        try:
            response = connection.request(method, target, body=body, upload=upload, headers=headers)
        except ConnectionError as error:
            if self._answered or upload is not None:
                raise Unreachable(f"the engine went away: {error.strerror}") from error
            # It was about to leave, idle, and has read nothing of this; the next connection finds or starts another.
            self._answered = True
            return self._exchange(method, path, query, body=body, headers=headers, once=once)
        self._answered = True
        return connection, response

    @staticmethod
    def _check(response: Response, answer: bytes) -> None:
        if response.status >= 400:
            raise ApiError(response.status, _reason(response.status, answer))


def decode(answer: bytes) -> Any:
    """The JSON of an answer; None if it is empty. Raises Unreachable if it is no JSON."""
    if not answer.strip():
        return None
    try:
        return json.loads(answer)
    except ValueError:
        raise Unreachable(f"the engine's answer is not JSON: {answer[:60]!r}") from None


def decode_stream(lines: Iterable[bytes]) -> Iterator[Any]:
    """JSON values of a stream, one a line."""
    for line in lines:
        if line.strip():
            yield decode(line)


def _reason(status: int, answer: bytes) -> str:
    try:
        message = json.loads(answer)["message"]
    except (ValueError, KeyError, TypeError):
        message = answer.decode("utf-8", "replace").strip()
    return str(message).strip() or f"HTTP status {status} without a reason"
