"""The talk with one repository of one registry.

A session is opened by asking ``/v2/``, as Docker does: this tells how the registry is reached and what it wants to be
shown. Afterwards every request carries its authorization at once. Three ways to ask: ``fetch`` for what is small and
read whole (bounded, tried again), ``stream`` for blobs on their way here (one attempt; ``blobs`` resumes), ``send`` for
uploads (one attempt; ``upload`` begins anew).
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus

import httpx
import trio

from bireme.images.references import Reference
from bireme.images.registry.addresses import next_address, nowhere, origin
from bireme.images.registry.auth import Challenge, Credentials, parse_challenges
from bireme.images.registry.authority import Authority, TokenRequest
from bireme.images.registry.faults import RegistryError, refusal
from bireme.images.registry.patience import PATIENCE, TRANSIENT, Patience, retry_after
from bireme.images.registry.places import Endpoint, Registries, endpoints
from bireme.images.registry.transport import make_client, telling

MOST_REFUSAL = 1 << 16
"""Bytes of an error's body that are read."""
_MOST_REDIRECTS = 6
_CLOSE_SECONDS = 2.0
_HEAD_SECONDS = 90.0
"""For the head of an answer to what is small."""
_WHOLE_SECONDS = 120.0
"""For an answer that is read whole."""
_PING_STATUSES = TRANSIENT | {HTTPStatus.OK, HTTPStatus.UNAUTHORIZED}
"""What a registry may answer to being asked whether it is one; it may be busy, too."""
_REDIRECTS = (301, 302, 303, 307, 308)

MakeClient = Callable[[Endpoint, str], httpx.AsyncClient]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How sessions behave; tests put in what they want to see."""

    registries: Registries = field(default_factory=Registries)
    patience: Patience = PATIENCE
    make_client: MakeClient = make_client


@dataclass(frozen=True, slots=True)
class Answer:
    """What was read whole."""

    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def ok(self) -> bool:
        return self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def challenges(self) -> list[Challenge]:
        return parse_challenges(self.headers.get_list("www-authenticate"))

    def refusal(self) -> RegistryError:
        """The error for an answer that means nothing in particular."""
        return refusal(self.status, self.body, self.challenges)


class Session:
    """Made by ``open_session``; for any number of tasks at once."""

    def __init__(self, client: httpx.AsyncClient, endpoint: Endpoint, path: str, scope: str, options: Options) -> None:
        """``path`` is the repository's; ``scope`` what tokens are asked for."""
        self._client = client
        self.base = endpoint.url
        self._path = path
        self._scope = scope
        self.patience = options.patience
        self.authority: Authority

    def url(self, rest: str) -> str:
        """An address below the repository's."""
        return f"{self.base}/v2/{self._path}/{rest}"

    async def fetch(
        self, method: str, rest: str, *, most: int, accept: str = "", body: bytes = b"", kind: str = ""
    ) -> Answer:
        """Ask for what is small; every status but the transient ones comes back. Tried again as patience allows.

        Raises RegistryError if nothing comes, or more than ``most`` bytes. Cancelled: the connection is closed.
        """
        headers = {"Accept": accept} if accept else {}
        if kind:
            headers["Content-Type"] = kind
        url = rest if "://" in rest else self.url(rest)
        failures = 0
        while True:
            answer, error = None, None
            try:
                answer = await self._whole(method, url, headers, body, most)
            except RegistryError as failure:
                if not isinstance(failure.__cause__, httpx.TransportError):
                    raise
                error = failure
            if answer is not None and answer.status not in TRANSIENT:
                return answer
            failures += 1
            asked = retry_after(answer.headers.get("retry-after")) if answer is not None else 0.0
            delay = self.patience.delay(failures, asked)
            if delay is None:
                raise answer.refusal() if answer is not None else error or RegistryError(f"{url} does not answer")
            await self.patience.sleep(delay)

    async def _whole(self, method: str, url: str, headers: Mapping[str, str], body: bytes, most: int) -> Answer:
        with trio.move_on_after(_WHOLE_SECONDS):
            async with self.stream(method, url, headers, content=body or None) as response:
                limit = most if response.status_code < HTTPStatus.BAD_REQUEST else MOST_REFUSAL
                data = b"" if method == "HEAD" else await read_bounded(response, limit, url)
                return Answer(response.status_code, response.headers, data)
        raise RegistryError(f'{method.capitalize()} "{url}": no whole answer within {_WHOLE_SECONDS:g} seconds')

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        *,
        content: bytes | httpx.AsyncByteStream | None = None,
        scopes: tuple[str, ...] = (),
    ) -> AsyncIterator[httpx.Response]:
        """An answer whose body is yet to be read; redirects have been followed. Raises RegistryError.

        What httpx raises while the body is read is a RegistryError too, with httpx's error as its cause.
        """
        with telling(method, url):
            response = await self._authorized(method, url, headers, content, (self._scope, *scopes))
            try:
                response = await self._redirected(method, url, headers, response)
                yield response
            finally:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSE_SECONDS):
                    await response.aclose()

    async def _authorized(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes | httpx.AsyncByteStream | None,
        scopes: tuple[str, ...],
    ) -> httpx.Response:
        shown = await self._authorization(url, scopes)
        response = await self._send(method, url, {**headers, **_authorization(shown)}, content)
        if response.status_code != HTTPStatus.UNAUTHORIZED or not self._is_own(url):
            return response
        self.authority.learn(parse_challenges(response.headers.get_list("www-authenticate")))
        again = await self._authorization(url, scopes, refused=shown)
        if again == shown or not (content is None or isinstance(content, bytes)):
            return response
        await response.aclose()
        return await self._send(method, url, {**headers, **_authorization(again)}, content)

    async def _authorization(self, url: str, scopes: tuple[str, ...], refused: str = "") -> str:
        """For this registry only: an address that it made up elsewhere is shown nothing."""
        if not self._is_own(url):
            return ""
        return await self.authority.header(tuple(scope for scope in scopes if scope), refused=refused)

    def _is_own(self, url: str) -> bool:
        return origin(url) == origin(self.base)

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | httpx.AsyncByteStream | None
    ) -> httpx.Response:
        """Until the head of an answer has come."""
        patience, small = math.inf, None
        if not isinstance(content, httpx.AsyncByteStream):
            patience, small = _HEAD_SECONDS, content
        request = self._client.build_request(method, url, headers=dict(headers), content=small)
        if isinstance(content, httpx.AsyncByteStream):
            request.stream = content
        with trio.move_on_after(patience):
            return await self._client.send(request, stream=True)
        raise httpx.ReadTimeout("no head of an answer", request=request)

    async def _redirected(
        self, method: str, url: str, headers: Mapping[str, str], response: httpx.Response
    ) -> httpx.Response:
        for _ in range(_MOST_REDIRECTS):
            if response.status_code not in _REDIRECTS or method not in ("GET", "HEAD"):
                return response
            await response.aclose()
            location = response.headers.get("location", "")
            if not location:
                raise nowhere(location)
            url = next_address(url, location)
            shown = await self._authorization(url, (self._scope,))
            response = await self._send(method, url, {**headers, **_authorization(shown)}, None)
        await response.aclose()
        raise RegistryError(f'{method.capitalize()} "{url[:300]}": stopped after {_MOST_REDIRECTS} redirects')

    async def ask_token_service(self, request: TokenRequest) -> tuple[int, bytes]:
        """No redirect is followed: credentials are on the way. Raises RegistryError."""
        method = "POST" if request.form else "GET"
        headers = dict(_authorization(request.authorization))
        if request.form:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        with telling(method, request.url), trio.move_on_after(_WHOLE_SECONDS):
            response = await self._send(method, request.url, headers, request.form.encode() or None)
            try:
                return response.status_code, await read_bounded(response, MOST_REFUSAL, request.url)
            finally:
                await response.aclose()
        raise RegistryError(f'{method.capitalize()} "{request.url[:300]}": no whole answer in time')

    async def ping(self) -> None:
        """Ask whether a registry is there, and what it wants to be shown."""
        url = f"{self.base}/v2/"
        response = await self._send("GET", url, {}, None)
        try:
            self.authority.learn(parse_challenges(response.headers.get_list("www-authenticate")))
            if response.status_code not in _PING_STATUSES:
                raise refusal(response.status_code, await read_bounded(response, MOST_REFUSAL, url))
        finally:
            await response.aclose()


def _authorization(value: str) -> dict[str, str]:
    return {"Authorization": value} if value else {}


@asynccontextmanager
async def body_of(response: httpx.Response) -> AsyncIterator[AsyncIterator[bytes]]:
    """A body as it comes. Whoever stops early may do so: the connection ends then.

    httpx passes a body through several generators, which only an end of their source ends all at once.
    """
    pieces = response.aiter_raw()
    try:
        yield pieces
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSE_SECONDS):
            await response.aclose()
            with suppress(httpx.HTTPError, httpx.StreamError):
                async for _ in pieces:
                    pass


async def read_bounded(response: httpx.Response, most: int, url: str) -> bytes:
    """A body of at most ``most`` bytes. Raises RegistryError for a longer one, without reading it."""
    announced = response.headers.get("content-length", "")
    data = bytearray()
    if not (announced.isdigit() and int(announced[:19]) > most):
        async with body_of(response) as pieces:
            async for piece in pieces:
                data += piece
                if len(data) > most:
                    break
            else:
                return bytes(data)
    raise RegistryError(f'Get "{url[:300]}": the answer is longer than {most} bytes')


@asynccontextmanager
async def open_session(
    reference: Reference, actions: str, credentials: Credentials, options: Options
) -> AsyncIterator[Session]:
    """A session for ``actions`` (``pull``, ``pull,push``) on a repository; no path: with the registry as a whole.

    Raises RegistryError if the registry cannot be reached. Cancelled: its connections are closed.
    """
    failure: RegistryError | None = None
    scope = f"repository:{reference.path}:{actions}" if reference.path else ""
    for endpoint in endpoints(reference.domain, options.registries):
        make = partial(options.make_client, endpoint, options.registries.certificates)
        async with await trio.to_thread.run_sync(make) as client:
            session = Session(client, endpoint, reference.path, scope, options)
            session.authority = Authority(credentials, session.ask_token_service, insecure=not endpoint.verify)
            try:
                with telling("GET", f"{endpoint.url}/v2/"):
                    await session.ping()
            except RegistryError as error:
                if not isinstance(error.__cause__, httpx.TransportError):
                    raise
                failure = error
                continue
            yield session
            return
    assert failure is not None
    raise failure
