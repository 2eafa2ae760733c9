"""What ``-v``, ``--mount``, ``--tmpfs`` and ``--volumes-from`` may say, with the specification's reasons (2013). Pure.

The engine has the last word; refusing here as well saves a pull and names the flag.
"""

from __future__ import annotations

import posixpath

from bireme.cli._flags import parse_bool
from bireme.cli._values import parse_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ACCESS = {"ro", "rw"}
_LABELS = {"z", "Z"}
_MOUNT = {
    "type": "Type", "target": "Target", "dst": "Target", "destination": "Target", "source": "Source", "src": "Source",
    "readonly": "ReadOnly", "ro": "ReadOnly", "tmpfs-size": "SizeBytes", "tmpfs-mode": "Mode",
}  # fmt: skip
_INSTEAD = "data goes in and out with 'bireme cp', or through a container with --volumes-from"


def check_volume(text: str) -> None:
    """Raises ValueError with the reason for whatever is not one absolute path below the root."""
    if "\0" in text:
        raise ValueError("a path cannot contain a NUL")
    source, colon, target = text.partition(":")
    if colon and source.startswith("/") and target.startswith("/"):
        raise ValueError(f"the source of a volume cannot be chosen: say -v {target.partition(':')[0]}; {_INSTEAD}")
    if colon and target.startswith("/"):
        raise ValueError(
            f"volumes have no names: say -v {target.partition(':')[0]}, and share it by --volumes-from CONTAINER"
        )
    if colon:
        raise ValueError("a volume is one absolute path inside the container, without options")
    _check_path(text, "volume", "-v /data")


def _check_path(path: str, kind: str, example: str) -> None:
    if not path:
        raise ValueError(f"the path of a {kind} is empty: say {example}")
    if not path.startswith("/"):
        raise ValueError(f"a {kind} needs an absolute path: say {example.partition('/')[0]}/{path}")
    if posixpath.normpath(path).strip("/") == "":
        raise ValueError(f"the container's root itself cannot be a {kind}")


def check_tmpfs(text: str) -> None:
    """Raises ValueError unless it is ``PATH[:OPTIONS]``; which options there are the engine knows."""
    _check_path(text.partition(":")[0], "tmpfs", "--tmpfs /run")


def parse_mount(text: str) -> dict[str, Any]:
    """``type=volume,target=PATH``, the long form of ``-v PATH``, or ``type=tmpfs,target=PATH``, as the API has it.

    Raises ValueError.
    """
    mount = _mount_fields(text)
    kind = mount["Type"]
    if kind not in ("volume", "tmpfs"):
        raise ValueError(f"there are volumes and tmpfs only, no mounts of type '{kind}'; {_INSTEAD}")
    return _tmpfs_mount(mount) if kind == "tmpfs" else _volume_mount(mount)


def _mount_fields(text: str) -> dict[str, str]:
    mount = {"Type": "volume"}
    for field in text.split(","):
        name, equals, value = field.partition("=")
        key = _MOUNT.get(name.strip().lower())
        if key is None:
            raise ValueError(
                f"unexpected option '{name}': all to be said is type=volume,target=PATH, or"
                " type=tmpfs,target=PATH[,readonly][,tmpfs-size=BYTES][,tmpfs-mode=OCTAL]"
            )
        mount[key] = value if equals or key != "ReadOnly" else "true"
    return mount


def _volume_mount(mount: dict[str, str]) -> dict[str, Any]:
    if mount.pop("Source", ""):
        raise ValueError("volumes have no names: leave out the source, and share it by --volumes-from CONTAINER")
    if mount.keys() & {"SizeBytes", "Mode"}:
        raise ValueError("cannot mix 'tmpfs-*' options with mount type 'volume'")
    if "ReadOnly" in mount:
        raise ValueError("unexpected option 'readonly': a new volume is empty; mount it by --volumes-from CONTAINER:ro")
    check_volume(mount.get("Target", ""))
    return mount


def _tmpfs_mount(mount: dict[str, str]) -> dict[str, Any]:
    if mount.get("Source"):
        raise ValueError("a tmpfs has no source: leave it out")
    _check_path(mount.get("Target", ""), "tmpfs", "target=/run")
    found: dict[str, Any] = {"Type": "tmpfs", "Target": mount["Target"]}
    if parse_bool(mount.get("ReadOnly", "false")):
        found["ReadOnly"] = True
    options = {"SizeBytes": parse_bytes(mount.get("SizeBytes", "0")), "Mode": _mode(mount.get("Mode", "0"))}
    return found | {"TmpfsOptions": {name: value for name, value in options.items() if value}}


def _mode(text: str) -> int:
    try:
        return int(text, 8)
    except ValueError:
        raise ValueError(f"invalid value for tmpfs-mode: {text}") from None


def check_volumes_from(text: str) -> None:
    """Raises ValueError unless it is ``CONTAINER``, ``CONTAINER:ro`` or ``CONTAINER:rw``, also with ``z`` or ``Z``."""
    name, colon, mode = text.partition(":")
    if not name:
        raise ValueError("it needs the name or ID of a container")
    modes = mode.split(",")
    if colon and (len(modes) > 2 or len(set(modes) - _LABELS) > 1 or not set(modes) <= _ACCESS | _LABELS):
        raise ValueError(f"invalid mode {mode!r}: ro or rw")
