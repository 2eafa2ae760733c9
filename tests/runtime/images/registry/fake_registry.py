"""A registry on loopback that does what a test wants: h11 over trio, blobs and manifests in memory, faults to order."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import h11
import trio

from tests.runtime.images.archives import file, image_config, sha256, tar

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"

_MOST_ENDLESS = 1 << 26
"""Bytes of an endless body, in fact."""




@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it came."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes = b""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(slots=True)
class Reply:
    """An answer; status 0: none, the connection just ends.

    ``cut``: the connection ends after so many bytes of the body. ``endless``: the body never ends.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int | None = None
    endless: bool = False
    until: trio.Event | None = None
    """What to wait for before the body goes on after ``cut``, which then cuts nothing."""


Fault = Callable[[Seen], Reply | None]


def layer(name: str, content: bytes = b"content") -> bytes:
    """An uncompressed layer of one file."""
    return tar(file(name, content))


def packed(data: bytes) -> bytes:
    """gzip without a time."""
    return gzip.compress(data, mtime=0)


def refused(status: int, code: str, message: str) -> Reply:
    body = json.dumps({"errors": [{"code": code, "message": message, "detail": None}]}).encode()
    return Reply(status, {"Content-Type": "application/json"}, body)


class FakeRegistry:
    """``log`` has every request. ``faults``: each is asked first, in order; what it answers is the answer."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.owners: set[tuple[str, str]] = set()
        self.uploads: dict[str, bytearray] = {}
        self.log: list[Seen] = []
        self.faults: list[Fault] = []
        self.challenge = ""
        self.accepted: set[str] = set()
        self.tokens: list[dict[str, Any]] = []
        self.port = 0
        self.at_once = 0
        self.most_at_once = 0
        self._waiting: list[tuple[Callable[[], bool], trio.Event]] = []

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def base(self) -> str:
        return f"http://{self.host}"

    # What it has.

    def blob(self, data: bytes, kind: str, **more: object) -> dict[str, object]:
        """Add a blob; its descriptor."""
        self.blobs[sha256(data)] = data
        return {"mediaType": kind, "digest": sha256(data), "size": len(data), **more}

    def manifest(self, repository: str, tag: str, document: object, kind: str = DOCKER) -> dict[str, object]:
        """Add a manifest or index; its descriptor."""
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        for reference in (tag, sha256(data)):
            if reference:
                self.manifests[repository, reference] = kind, data
        return {"mediaType": kind, "digest": sha256(data), "size": len(data)}

    def image(
        self,
        repository: str,
        tag: str,
        layers: Sequence[bytes],
        *,
        pack: Callable[[bytes], bytes] = packed,
        kind: str = DOCKER_LAYER,
        raw: bytes = b"",
    ) -> dict[str, object]:
        """Add an image of uncompressed layers; the descriptor of its manifest."""
        document = {
            "schemaVersion": 2,
            "mediaType": DOCKER,
            "config": self.blob(raw or image_config(*layers), DOCKER_CONFIG),
            "layers": [self.blob(pack(data), kind) for data in layers],
        }
        return self.manifest(repository, tag, document)

    # What it was asked.

    def asked(self, pattern: str) -> list[Seen]:
        """Requests whose method and path fit."""
        return [seen for seen in self.log if re.search(pattern, str(seen))]

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Until it holds; looked at with every request."""
        event = trio.Event()
        self._waiting.append((condition, event))
        self._look()
        await event.wait()

    def _look(self) -> None:
        for condition, event in self._waiting:
            if condition():
                event.set()

    def fail(self, pattern: str, *replies: Reply | None) -> None:
        """The next requests that fit get these answers; None lets one pass."""
        waiting = list(replies)

        def fault(seen: Seen) -> Reply | None:
            return waiting.pop(0) if waiting and re.search(pattern, str(seen)) else None

        self.faults.append(fault)

    def always(self, pattern: str, reply: Reply) -> None:
        """Every request that fits gets this answer."""
        self.faults.append(lambda seen: reply if re.search(pattern, str(seen)) else None)

    # What it answers.

    def answer(self, seen: Seen) -> Reply:
        self.log.append(seen)
        for fault in self.faults:
            reply = fault(seen)
            if reply is not None:
                return reply
        if seen.path == "/token":
            return self._token(seen)
        if self.challenge and seen.headers.get("authorization", "") not in self.accepted:
            reply = refused(401, "UNAUTHORIZED", "authentication required")
            reply.headers["WWW-Authenticate"] = self.challenge.replace("BASE", self.base)
            return reply
        return self._resource(seen)

    def _token(self, seen: Seen) -> Reply:
        answer = self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]
        return Reply(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())

    def _resource(self, seen: Seen) -> Reply:
        if seen.path == "/v2/":
            return Reply(200, {"Content-Type": "application/json"}, b"{}")
        found = re.fullmatch(r"/v2/(.+?)/(manifests|blobs|tags)/(.+)", seen.path)
        if found is None:
            return refused(404, "NAME_UNKNOWN", "repository name not known to registry")
        handlers = {"manifests": self._manifest, "blobs": self._blob, "tags": self._tags}
        return handlers[found[2]](seen, found[1], unquote(found[3]))

    def _manifest(self, seen: Seen, repository: str, reference: str) -> Reply:
        if seen.method == "PUT":
            self.manifest(repository, reference, seen.body, seen.headers["content-type"])
            return Reply(201, {"Docker-Content-Digest": sha256(seen.body)})
        if (repository, reference) not in self.manifests:
            return refused(404, "MANIFEST_UNKNOWN", "manifest unknown")
        kind, data = self.manifests[repository, reference]
        return Reply(200, {"Content-Type": kind, "Docker-Content-Digest": sha256(data)}, data)

    def _tags(self, seen: Seen, repository: str, rest: str) -> Reply:
        tags = [tag for name, tag in self.manifests if name == repository and ":" not in tag]
        if not tags:
            return refused(404, "NAME_UNKNOWN", "repository name not known to registry")
        return Reply(200, {}, json.dumps({"name": repository, "tags": tags}).encode())

    def _blob(self, seen: Seen, repository: str, rest: str) -> Reply:
        if rest.startswith("uploads/"):
            return self._upload(seen, repository, rest.removeprefix("uploads/"))
        if rest not in self.blobs or (seen.method == "HEAD" and (repository, rest) not in self.owners):
            return refused(404, "BLOB_UNKNOWN", "blob unknown to registry")
        data = self.blobs[rest]
        wanted = re.fullmatch(r"bytes=(\d+)-", seen.headers.get("range", ""))
        if wanted is None:
            return Reply(200, {}, data)
        start = int(wanted[1])
        return Reply(206, {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}, data[start:])

    def _upload(self, seen: Seen, repository: str, name: str) -> Reply:
        place = f"/v2/{repository}/blobs/uploads/"
        if seen.method == "POST":
            mounted = seen.query.get("mount", [""])[0]
            if mounted in self.blobs and (seen.query["from"][0], mounted) in self.owners:
                self.owners.add((repository, mounted))
                return Reply(201, {"Location": f"/v2/{repository}/blobs/{mounted}"})
            number = str(len(self.uploads))
            self.uploads[number] = bytearray()
            return Reply(202, {"Location": f"{place}{number}?_state=x"})
        if seen.method == "PATCH":
            self.uploads[name] += seen.body
            return Reply(202, {"Location": f"{place}{name}?_state=y"})
        if seen.method == "DELETE":
            return Reply(204)
        wanted, data = seen.query["digest"][0], bytes(self.uploads[name])
        if sha256(data) != wanted:
            return refused(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        self.blobs[wanted] = data
        self.owners.add((repository, wanted))
        return Reply(201)

    # How it speaks.

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[FakeRegistry]:
        """On a port of its own for the length of the block."""
        async with trio.open_nursery() as nursery:
            (listener,) = await nursery.start(partial(trio.serve_tcp, self._connection, 0, host="127.0.0.1"))
            self.port = listener.socket.getsockname()[1]
            yield self
            nursery.cancel_scope.cancel()

    async def _connection(self, stream: trio.SocketStream) -> None:
        connection = h11.Connection(h11.SERVER)
        try:
            while await self._exchange(connection, stream):
                connection.start_next_cycle()
        except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
            return

    async def _exchange(self, connection: h11.Connection, stream: trio.SocketStream) -> bool:
        head, body = None, bytearray()
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await stream.receive_some(1 << 16))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return False
        assert head is not None
        reply = self.answer(_seen(head, bytes(body)))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self._look()
        try:
            return await self._reply(connection, stream, head.method == b"HEAD", reply)
        finally:
            self.at_once -= 1

    async def _reply(self, connection: h11.Connection, stream: trio.SocketStream, bare: bool, reply: Reply) -> bool:
        if not reply.status:
            return False
        headers = dict(reply.headers)
        if not reply.endless:
            headers.setdefault("Content-Length", str(len(reply.body)))
        named = [(name.encode(), value.encode()) for name, value in headers.items()]
        await stream.send_all(connection.send(h11.Response(status_code=reply.status, headers=named)) or b"")
        if reply.endless:
            for _ in range(_MOST_ENDLESS >> 16):
                await stream.send_all(connection.send(h11.Data(data=bytes(1 << 16))) or b"")
            return False
        if not bare:
            first = reply.body if reply.cut is None else reply.body[: reply.cut]
            await stream.send_all(first)
            if reply.until is not None:
                await reply.until.wait()
                await stream.send_all(reply.body[len(first) :])
            elif reply.cut is not None:
                return False
        connection.send_with_data_passthrough(h11.Data(data=b"" if bare else reply.body))
        connection.send(h11.EndOfMessage())
        return connection.our_state is h11.DONE


def _seen(head: h11.Request, body: bytes) -> Seen:
    parts = urlsplit(head.target.decode())
    headers = {name.decode(): value.decode() for name, value in head.headers}
    return Seen(head.method.decode(), parts.path, parse_qs(parts.query), headers, body)


def basic(username: str, password: str) -> str:
    """For ``Authorization``."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
