"""Disk usage by kind: how many there are, how many are in use, how large they are, what could be had back. Pure."""

from __future__ import annotations

from bireme.cli._render.listing import Row
from bireme.cli._render.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

TITLES = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}
TABLE = "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}"
IMAGE_TABLE = (
    "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t"
    "{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}"
)
CONTAINER_TABLE = (
    "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}"
)
VOLUME_TABLE = "{{.Name}}\t{{.Links}}\t{{.Size}}"

_ACTIVE = ("running", "paused", "restarting")


def usage_rows(answer: dict[str, Any]) -> list[Row]:
    """The rows of ``GET /system/df``."""
    return [_images(answer), _containers(answer.get("Containers") or ()), _volumes(answer.get("Volumes") or ())]


def _images(answer: dict[str, Any]) -> Row:
    items = answer.get("Images") or ()
    used = [item for item in items if int(item.get("Containers") or 0) > 0]
    total = int(answer.get("LayersSize") or 0)
    kept = sum(int(item.get("Size") or 0) - max(int(item.get("SharedSize") or 0), 0) for item in used)
    return _row("Images", len(items), len(used), total, max(total - kept, 0))


def _containers(items: Sequence[dict[str, Any]]) -> Row:
    idle = [item for item in items if str(item.get("State") or "").lower() not in _ACTIVE]
    written = sum(int(item.get("SizeRw") or 0) for item in items)
    return _row(
        "Containers", len(items), len(items) - len(idle), written, sum(int(item.get("SizeRw") or 0) for item in idle)
    )


def _volumes(items: Sequence[dict[str, Any]]) -> Row:
    usage = [item.get("UsageData") or {} for item in items]
    sizes = [(max(int(data.get("Size") or 0), 0), int(data.get("RefCount") or 0)) for data in usage]
    held = [size for size, links in sizes if links > 0]
    total = sum(size for size, _ in sizes)
    return _row("Local Volumes", len(items), len(held), total, total - sum(held))


def _row(kind: str, count: int, active: int, size: int, reclaimable: int) -> Row:
    share = f" ({reclaimable * 100 // size}%)" if size > 0 else ""
    return Row(
        Active=str(active),
        Reclaimable=f"{human_size(reclaimable)}{share}",
        Size=human_size(size),
        TotalCount=str(count),
        Type=kind,
    )
