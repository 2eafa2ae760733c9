"""Images as things: listed, looked at, named, removed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any

from bireme.server.context import Context, Handler
from bireme.server.filters import Filters, parse_filters
from bireme.server.messages import Answer, Request, Response, as_json
from bireme.server.routing import Route
from bireme.server.times import SECOND, parse_moment, rfc3339
from bireme_actors import InvalidConfig, NotFound

if TYPE_CHECKING:
    from bireme.engine import Image

_KNOWN_FILTERS = ("before", "dangling", "label", "label!", "reference", "since", "until")


def summary(image: Image, version: tuple[int, int]) -> dict[str, Any]:
    """One entry of ``ImageList``."""
    found: dict[str, Any] = {
        "Id": image.id,
        "ParentId": "",
        "RepoTags": list(image.references),
        "RepoDigests": list(image.digests),
        "Created": image.created // SECOND,
        "Size": image.size,
        "SharedSize": -1,
        "Labels": dict(image.config.labels) or None,
        "Containers": -1,
    }
    if version < (1, 44):
        found["VirtualSize"] = image.size
    return found


def document(image: Image, version: tuple[int, int]) -> dict[str, Any]:
    """``ImageInspect``."""
    found: dict[str, Any] = {
        "Id": image.id,
        "RepoTags": list(image.references),
        "RepoDigests": list(image.digests),
        "Parent": image.document.get("parent", ""),
        "Comment": image.comment,
        "Created": rfc3339(image.created),
        "DockerVersion": "",
        "Author": image.author,
        "Config": config_document(image),
        "Architecture": image.architecture,
        "Os": image.os,
        "Size": image.size,
        "GraphDriver": {"Data": None, "Name": "overlay2"},
        "RootFS": {"Type": "layers", "Layers": list(image.diff_ids)},
        "Metadata": {"LastTagTime": rfc3339(image.tagged)},
    }
    if image.variant:
        found["Variant"] = image.variant
    if version < (1, 44):
        found["VirtualSize"] = image.size
    return found


def config_document(image: Image) -> dict[str, Any]:
    """An image's configuration in Docker's fields."""
    config = image.config
    return {
        "Hostname": "",
        "Domainname": "",
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "Tty": False,
        "OpenStdin": False,
        "StdinOnce": False,
        "Image": "",
        "OnBuild": None,
        **config.extra,
        "User": config.user,
        "ExposedPorts": {port: {} for port in config.exposed_ports} or None,
        "Env": list(config.env),
        "Cmd": None if config.cmd is None else list(config.cmd),
        "Volumes": {path: {} for path in config.volumes} or None,
        "WorkingDir": config.working_dir,
        "Entrypoint": None if config.entrypoint is None else list(config.entrypoint),
        "Labels": dict(config.labels) or None,
        "StopSignal": config.stop_signal,
    }


def history_document(image: Image) -> list[dict[str, Any]]:
    """``ImageHistory``: the newest step first, which carries the image's names."""
    found: list[dict[str, Any]] = [
        {
            "Id": "<missing>",
            "Created": entry.created // SECOND,
            "CreatedBy": entry.created_by,
            "Tags": None,
            "Size": entry.size,
            "Comment": entry.comment,
        }
        for entry in reversed(image.history)
    ]
    if found:
        found[0] |= {"Id": image.id, "Tags": list(image.references) or None}
    return found


async def list_images(context: Context, request: Request) -> Answer:
    """``GET /images/json``."""
    filters = parse_filters(request.query, _KNOWN_FILTERS)
    now, images = time.time_ns(), context.runtime.images
    before = [images.get(ref).created for ref in filters.get("before")]
    before += [parse_moment(value, now) for value in filters.get("until")]
    since = [images.get(ref).created for ref in filters.get("since")]
    found = [
        image
        for image in sorted(images.list(), key=lambda image: image.created, reverse=True)
        if all(image.created < moment for moment in before)
        and all(image.created > moment for moment in since)
        and _fits(image, filters)
    ]
    listed = [summary(image, request.version) for image in found]
    for entry in listed:
        entry["RepoTags"] = _fitting_names(entry["RepoTags"], filters)
    return as_json(listed)


def _fits(image: Image, filters: Filters) -> bool:
    dangling = not image.references
    named = "reference" not in filters or bool(_fitting_names(image.references, filters))
    return filters.flag("dangling", dangling) == dangling and filters.labels_fit(image.config.labels) and named


def _fitting_names(names: Sequence[str], filters: Filters) -> list[str]:
    """Of several names only those asked for are shown, as Docker does."""
    return [name for name in names if filters.fits("reference", partial(_reference_fits, name=name))]


def _reference_fits(pattern: str, name: str) -> bool:
    """``busy*`` and ``busybox:1.*``: a name, or name and tag, with Go's ``path.Match``."""
    repository = name.rpartition(":")[0] or name
    candidates = [text for text in (name, repository) if text.count("/") == pattern.count("/")]
    return any(fnmatchcase(candidate, pattern) for candidate in candidates)


async def inspect(context: Context, request: Request) -> Answer:
    """``GET /images/{name}/json``."""
    return as_json(document(context.runtime.images.get(request["name"]), request.version))


async def history(context: Context, request: Request) -> Answer:
    """``GET /images/{name}/history``."""
    return as_json(history_document(context.runtime.images.get(request["name"])))


async def commit(context: Context, request: Request) -> Answer:
    """``POST /commit``; a configuration in the body is left aside, the container's own and ``changes`` count."""
    query = request.query
    container = context.runtime.get(query.text("container"))
    repository, label = query.text("repo"), query.text("tag")
    image = await container.commit(
        f"{repository}:{label}" if repository and label else repository,
        changes=query.many("changes"),
        message=query.text("comment"),
        author=query.text("author"),
        pause=query.flag("pause", True),
    )
    return as_json({"Id": image.id}, 201)


async def tag(context: Context, request: Request) -> Answer:
    """``POST /images/{name}/tag``."""
    repository, label = request.query.text("repo"), request.query.text("tag")
    if not repository:
        raise InvalidConfig("invalid reference format: the field repo is empty")
    await context.runtime.images.tag(request["name"], f"{repository}:{label}" if label else repository)
    return Response(201)


async def remove(context: Context, request: Request) -> Answer:
    """``DELETE /images/{name}``."""
    removed = await context.runtime.remove_image(request["name"], force=request.query.flag("force"))
    return as_json([{what: name} for what, name in removed])


async def prune(context: Context, request: Request) -> Answer:
    """``POST /images/prune``: those without a name, or with ``dangling=false`` all that no container uses."""
    filters = parse_filters(request.query, ("dangling", "label", "label!", "until"))
    if any(name in filters for name in ("label", "label!", "until")):
        raise InvalidConfig("invalid filter: images are pruned by 'dangling' only")
    removed, reclaimed = await context.runtime.prune_images(dangling_only=filters.flag("dangling", True))
    return as_json({"ImagesDeleted": [{what: name} for what, name in removed] or None, "SpaceReclaimed": reclaimed})


async def search(context: Context, request: Request) -> Answer:
    """``GET /images/search``."""
    raise NotFound("searching registries is not available; make images with import or load")


ROUTES: tuple[Route[Handler], ...] = (
    Route("GET", "/images/json", list_images),
    Route("POST", "/commit", commit),
    Route("GET", "/images/search", search),
    Route("POST", "/images/prune", prune),
    Route("GET", "/images/{name:path}/json", inspect),
    Route("GET", "/images/{name:path}/history", history),
    Route("POST", "/images/{name:path}/tag", tag),
    Route("DELETE", "/images/{name:path}", remove),
)
