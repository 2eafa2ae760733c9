"""Blobs on their way out: looked for first, mounted from a neighbouring repository if it has them, else sent.

A blob is sent as Docker sends it: POST for a place, PATCH with the content, PUT with the digest. Registries do not let
a broken PATCH go on reliably, so it is begun anew, as often as patience allows.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote

import httpx
import trio

from bireme.images.registry.addresses import next_address
from bireme.images.registry.documents import Descriptor
from bireme.images.registry.faults import RegistryError, refusal
from bireme.images.registry.patience import TRANSIENT, retry_after
from bireme.images.registry.session import MOST_REFUSAL, Session, read_bounded

_PIECE = 1 << 18

Count = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes to send: of a file, or in memory."""

    descriptor: Descriptor
    data: bytes = b""
    fd: int = -1

    async def piece(self, offset: int) -> bytes:
        """The next one from there on; nothing at the end."""
        if self.fd >= 0:
            return await trio.to_thread.run_sync(os.pread, self.fd, _PIECE, offset)
        await trio.lowlevel.checkpoint()
        return self.data[offset : offset + _PIECE]


class _Pieces(httpx.AsyncByteStream):
    """A content on its way, counted. No generator: an upload may end anywhere, and leaves nothing behind then."""

    def __init__(self, content: Content, count: Count) -> None:
        self._content = content
        self._count = count
        self._sent = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._sent:
            self._count(self._sent)
        piece = await self._content.piece(self._sent)
        self._sent += len(piece)
        if not piece:
            raise StopAsyncIteration
        return piece


class Uploads:
    """Of one push."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def exists(self, digest: str) -> bool:
        """Whether the repository has the blob. Raises RegistryError."""
        answer = await self._session.fetch("HEAD", f"blobs/{digest}", most=0)
        if answer.status in (HTTPStatus.OK, HTTPStatus.NOT_FOUND):
            return answer.status == HTTPStatus.OK
        raise answer.refusal()

    async def mount(self, digest: str, source: str) -> bool:
        """Let the repository have the blob of another one of the same registry (its path); False if that cannot be."""
        url = self._session.url(f"blobs/uploads/?mount={quote(digest)}&from={quote(source, safe='')}")
        async with self._session.stream("POST", url, {}, scopes=(f"repository:{source}:pull",)) as response:
            status, place = response.status_code, response.headers.get("location", "")
        if status == HTTPStatus.ACCEPTED and place:
            await self._give_up(next_address(url, place))
        return status == HTTPStatus.CREATED

    async def _give_up(self, place: str) -> None:
        """A place for an upload that nobody will use; if the registry does not want to know, that is its matter."""
        try:
            async with self._session.stream("DELETE", place, {}):
                pass
        except RegistryError:
            return

    async def send(self, content: Content, count: Count) -> None:
        """Raises RegistryError. Cancelled: the registry forgets what has come."""
        failures = 0
        while True:
            try:
                await self._attempt(content, count)
            except _Broken as broken:
                failures += 1
                delay = self._session.patience.delay(failures, broken.asked)
                if delay is None:
                    raise broken.error from broken
                await self._session.patience.sleep(delay)
            except RegistryError as error:
                failures += 1
                delay = self._session.patience.delay(failures)
                if delay is None or not isinstance(error.__cause__, httpx.TransportError):
                    raise
                await self._session.patience.sleep(delay)
            else:
                return

    async def _attempt(self, content: Content, count: Count) -> None:
        size = content.descriptor.size
        place = await self._step("POST", self._session.url("blobs/uploads/"), HTTPStatus.ACCEPTED)
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        place = await self._step("PATCH", place, HTTPStatus.ACCEPTED, headers, _Pieces(content, count))
        joint = "&" if "?" in place else "?"
        await self._step("PUT", f"{place}{joint}digest={quote(content.descriptor.digest)}", HTTPStatus.CREATED)

    async def _step(
        self,
        method: str,
        url: str,
        expected: HTTPStatus,
        headers: dict[str, str] | None = None,
        content: httpx.AsyncByteStream | None = None,
    ) -> str:
        """The place to go on at. Raises RegistryError, _Broken."""
        async with self._session.stream(method, url, headers or {"Content-Length": "0"}, content=content) as response:
            status = response.status_code
            if status != expected:
                body = await read_bounded(response, MOST_REFUSAL, url)
                error = refusal(status, body)
                renewable = status == HTTPStatus.UNAUTHORIZED and content is not None
                if status in TRANSIENT or renewable:
                    raise _Broken(error, retry_after(response.headers.get("retry-after")))
                raise error
            return next_address(url, response.headers.get("location", ""))


class _Broken(Exception):
    """An upload that may go well when it is begun anew."""

    def __init__(self, error: RegistryError, asked: float) -> None:
        super().__init__(str(error))
        self.error = error
        self.asked = asked
