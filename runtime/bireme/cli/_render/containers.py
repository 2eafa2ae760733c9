"""Containers on a list. Pure."""

from __future__ import annotations

from bireme.cli._render.listing import Row
from bireme.cli._render.units import ago, ellipsis, human_size, local_time, short_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TITLES = {
    "ID": "CONTAINER ID",
    "Names": "NAMES",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED",
    "Ports": "PORTS",
    "State": "STATE",
    "Status": "STATUS",
    "Size": "SIZE",
    "Labels": "LABELS",
    "Mounts": "MOUNTS",
    "Networks": "NETWORKS",
    "LocalVolumes": "LOCAL VOLUMES",
}
TABLE = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"
_COMMAND_WIDTH = 20
_MOUNT_WIDTH = 15


def titles() -> Row:
    """The titles of all fields; a label's is its name."""
    return Row({**TITLES, "Label": _label_title})


def _label_title(name: str) -> str:
    return name.replace("-", " ").replace("_", " ").rpartition(".")[2]


def container_row(item: dict[str, Any], *, now: float, whole: bool = False) -> Row:
    """One entry of ``GET /containers/json``; ``whole`` cuts nothing short."""
    labels = item.get("Labels") or {}
    created = float(item.get("Created") or 0)
    mounts = [str(mount.get("Name") or mount.get("Source") or "") for mount in item.get("Mounts") or ()]
    return Row(
        Command=_command(str(item.get("Command") or ""), whole),
        CreatedAt=local_time(created),
        ID=str(item["Id"]) if whole else short_id(str(item["Id"])),
        Image=_image(item, whole),
        Label=lambda name: labels.get(name, ""),
        Labels=",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        LocalVolumes=str(sum(mount.get("Type", "volume") == "volume" for mount in item.get("Mounts") or ())),
        Mounts=",".join(mount if whole else ellipsis(mount, _MOUNT_WIDTH) for mount in mounts),
        Names=_names(item),
        Networks=",".join(sorted((item.get("NetworkSettings") or {}).get("Networks") or {})),
        Platform=None,
        Ports=", ".join(sorted(_port(port) for port in item.get("Ports") or ())),
        RunningFor=ago(created, now),
        Size=_size(item),
        State=str(item.get("State") or ""),
        Status=str(item.get("Status") or ""),
    )


def _command(command: str, whole: bool) -> str:
    return '"' + (command if whole else ellipsis(command, _COMMAND_WIDTH)).replace('"', '\\"') + '"'


def _image(item: dict[str, Any], whole: bool) -> str:
    image = str(item.get("Image") or "<no image>")
    return image if whole or not image.startswith("sha256:") else short_id(image)


def _names(item: dict[str, Any]) -> str:
    return ",".join(str(name).removeprefix("/") for name in item.get("Names") or () if str(name).count("/") < 2)


def _port(port: dict[str, Any]) -> str:
    private = f"{port.get('PrivatePort')}/{port.get('Type', 'tcp')}"
    return f"{port['IP']}:{port['PublicPort']}->{private}" if port.get("PublicPort") else private


def _size(item: dict[str, Any]) -> str:
    written, all_of_it = int(item.get("SizeRw") or 0), int(item.get("SizeRootFs") or 0)
    text = human_size(written, 3)
    return f"{text} (virtual {human_size(all_of_it, 3)})" if all_of_it else text
