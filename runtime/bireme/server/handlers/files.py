"""A container's files: in and out as tar, all of them, and which have changed."""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Mapping
from typing import Any

from bireme.server.context import Context, Handler
from bireme.server.decompression import decompressed
from bireme.server.messages import TAR, Answer, Request, Response, Streamed, as_json
from bireme.server.routing import Route
from bireme.server.times import rfc3339

_GO_BITS = (
    (stat.S_IFDIR, 1 << 31),
    (stat.S_IFLNK, 1 << 27),
    (stat.S_IFBLK, 1 << 26),
    (stat.S_IFIFO, 1 << 25),
    (stat.S_IFSOCK, 1 << 24),
    (stat.S_IFCHR, (1 << 26) | (1 << 21)),
)
_GO_SPECIAL = ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20))


def go_mode(mode: int) -> int:
    """``st_mode`` in the bits of Go's ``os.FileMode``."""
    kind = next((bits for kind, bits in _GO_BITS if stat.S_IFMT(mode) == kind), 0)
    return kind | (mode & 0o777) | sum(bits for flag, bits in _GO_SPECIAL if mode & flag)


def stat_header(facts: Mapping[str, Any]) -> tuple[str, str]:
    """What a path is, as the header that ``docker cp`` reads."""
    document = {
        "name": str(facts["name"]),
        "size": int(facts["size"]),
        "mode": go_mode(int(facts["mode"])),
        "mtime": rfc3339(int(facts["mtime"])),
        "linkTarget": str(facts.get("linkTarget") or ""),
    }
    text = json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")
    return "X-Docker-Container-Path-Stat", base64.b64encode(text).decode()


async def stat_path(context: Context, request: Request) -> Answer:
    """``HEAD /containers/{id}/archive``."""
    container = context.runtime.get(request["id"])
    facts = await container.stat_path(request.query.path("path"))
    return Response(200, b"", (stat_header(facts),))


async def get_archive(context: Context, request: Request) -> Answer:
    """``GET /containers/{id}/archive``."""
    container, path = context.runtime.get(request["id"]), request.query.path("path")
    facts = await container.stat_path(path)
    return Streamed(container.get_archive(path), (("Content-Type", TAR), stat_header(facts)))


async def put_archive(context: Context, request: Request) -> Answer:
    """``PUT /containers/{id}/archive``: the tar may be compressed."""
    container, query = context.runtime.get(request["id"]), request.query
    await container.put_archive(
        query.path("path"),
        decompressed(request.body),
        no_overwrite_dir_non_dir=query.flag("noOverwriteDirNonDir"),
        copy_uid_gid=query.flag("copyUIDGID"),
    )
    return Response(200)


async def export(context: Context, request: Request) -> Answer:
    """``GET /containers/{id}/export``."""
    container = context.runtime.get(request["id"])
    return Streamed(container.export(), (("Content-Type", "application/octet-stream"),))


async def changes(context: Context, request: Request) -> Answer:
    """``GET /containers/{id}/changes``."""
    found = await context.runtime.get(request["id"]).changes()
    return as_json([{"Path": path, "Kind": kind} for path, kind in found] or None)


ROUTES: tuple[Route[Handler], ...] = (
    Route("HEAD", "/containers/{id}/archive", stat_path),
    Route("GET", "/containers/{id}/archive", get_archive),
    Route("PUT", "/containers/{id}/archive", put_archive),
    Route("GET", "/containers/{id}/export", export),
    Route("GET", "/containers/{id}/changes", changes),
)
