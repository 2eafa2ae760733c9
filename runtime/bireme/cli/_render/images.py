"""Images, and the history of one, on a list. Pure."""

from __future__ import annotations

from bireme.cli._images import split_reference
from bireme.cli._render.listing import Row
from bireme.cli._render.units import ago, ellipsis, human_size, local_time, short_id, stamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

TITLES = {
    "ID": "IMAGE ID",
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
    "VirtualSize": "SIZE",
    "Containers": "CONTAINERS",
}
TABLE = "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
DIGEST_TABLE = "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
NONE = "<none>"

HISTORY_TITLES = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}
EXACT_HISTORY_TABLE = "{{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}"
HISTORY_TABLE = "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}"
_CREATED_BY_WIDTH = 45


def image_rows(item: dict[str, Any], *, now: float, whole: bool = False) -> Iterator[Row]:
    """One entry of ``GET /images/json``: a row for each of its names."""
    digests = {split_reference(text)[0]: split_reference(text)[1] for text in item.get("RepoDigests") or ()}
    tags = [text for text in item.get("RepoTags") or () if text != f"{NONE}:{NONE}"]
    for text in tags:
        name, tag = split_reference(text)
        yield _row(item, name, tag or NONE, digests.get(name, NONE), now=now, whole=whole)
    if not tags:
        name = next(iter(digests), NONE)
        yield _row(item, name, NONE, digests.get(name, NONE), now=now, whole=whole)


def _row(item: dict[str, Any], name: str, tag: str, digest: str, *, now: float, whole: bool) -> Row:
    created, size = float(item.get("Created") or 0), int(item.get("Size") or 0)
    shared, containers = int(item.get("SharedSize", -1)), int(item.get("Containers", -1))
    return Row(
        Containers=str(containers) if containers >= 0 else "N/A",
        CreatedAt=local_time(created),
        CreatedSince=ago(created, now),
        Digest=digest,
        ID=str(item["Id"]) if whole else short_id(str(item["Id"])),
        Repository=name,
        SharedSize=human_size(shared) if shared >= 0 else "N/A",
        Size=human_size(size, 3),
        Tag=tag,
        UniqueSize=human_size(size - shared) if shared >= 0 else "N/A",
        VirtualSize=human_size(size),
    )


def history_row(item: dict[str, Any], *, now: float, whole: bool, human: bool) -> Row:
    """One entry of ``GET /images/NAME/history``."""
    created, size = int(item.get("Created") or 0), int(item.get("Size") or 0)
    identifier, made_by = str(item.get("Id") or "<missing>"), str(item.get("CreatedBy") or "").replace("\t", " ")
    return Row(
        Comment=str(item.get("Comment") or ""),
        CreatedAt=stamp(created),
        CreatedBy=made_by if whole else ellipsis(made_by, _CREATED_BY_WIDTH),
        CreatedSince=ago(created, now) if human else stamp(created),
        ID=identifier if whole or identifier == "<missing>" else short_id(identifier),
        Size=human_size(size, 3) if human else str(size),
    )
