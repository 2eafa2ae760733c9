"""Volumes on a list: which are held, by how many, since when nobody holds the others, and how large they are. Pure."""

from __future__ import annotations

from bireme.cli._render.listing import Row
from bireme.cli._render.units import ago, human_size, moment_of, short_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TITLES = {
    "Driver": "DRIVER",
    "Name": "VOLUME NAME",
    "Scope": "SCOPE",
    "Mountpoint": "MOUNTPOINT",
    "Labels": "LABELS",
    "Links": "LINKS",
    "Size": "SIZE",
    "Holders": "HELD BY",
    "UnheldSince": "UNHELD SINCE",
    "CreatedAt": "CREATED AT",
    "Status": "STATUS",
}
TABLE = "{{.Driver}}\t{{.Name}}\t{{.Holders}}\t{{.UnheldSince}}\t{{.Size}}"
_UNKNOWN = "N/A"
_HELD = "-"


def volume_row(item: dict[str, Any], *, now: float) -> Row:
    """One volume as the API has it; holders and times are its ``Status``."""
    status, usage = item.get("Status") or {}, item.get("UsageData") or {}
    labels, size, links = item.get("Labels") or {}, int(usage.get("Size", -1)), int(usage.get("RefCount", -1))
    holders = [str(holder) for holder in status.get("Holders") or ()]
    since = moment_of(str(status.get("UnheldSince") or ""))
    return Row(
        CreatedAt=str(item.get("CreatedAt") or ""),
        Driver=str(item.get("Driver") or ""),
        Holders=",".join(short_id(holder) for holder in holders) or ("nobody" if status or links == 0 else _UNKNOWN),
        Label=lambda name: labels.get(name, ""),
        Labels=",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        Links=str(links) if links >= 0 else _UNKNOWN,
        Mountpoint=str(item.get("Mountpoint") or ""),
        Name=str(item["Name"]),
        Scope=str(item.get("Scope") or ""),
        Size=human_size(size) if size >= 0 else _UNKNOWN,
        Status=_UNKNOWN,
        UnheldSince=ago(since, now) if since else _HELD,
    )
