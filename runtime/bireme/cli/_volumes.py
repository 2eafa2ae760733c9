"""What ``-v``, ``--mount`` and ``--volumes-from`` may say, with the reasons of the specification (April 2013). Pure.

The engine has the last word; refusing here as well saves a pull and names the flag.
"""

from __future__ import annotations

import posixpath

_ACCESS = {"ro", "rw"}
_LABELS = {"z", "Z"}
_MOUNT = {
    "type": "Type", "target": "Target", "dst": "Target", "destination": "Target", "source": "Source", "src": "Source",
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
    _check_path(text)


def _check_path(path: str) -> None:
    if not path:
        raise ValueError("the path of a volume is empty: say -v /data")
    if not path.startswith("/"):
        raise ValueError(f"a volume needs an absolute path: say -v /{path}")
    if posixpath.normpath(path).strip("/") == "":
        raise ValueError("the container's root itself cannot be a volume")


def parse_mount(text: str) -> dict[str, str]:
    """``type=volume,target=PATH``, the long form of ``-v PATH``, as the API has it. Raises ValueError."""
    mount = {"Type": "volume"}
    for field in text.split(","):
        name, _, value = field.partition("=")
        key = _MOUNT.get(name.strip().lower())
        if key is None:
            raise ValueError(f"unexpected option '{name}': all to be said is type=volume,target=PATH")
        mount[key] = value
    if mount["Type"] != "volume":
        raise ValueError(f"there are volumes only, no mounts of type '{mount['Type']}'; {_INSTEAD}")
    if mount.pop("Source", ""):
        raise ValueError("volumes have no names: leave out the source, and share it by --volumes-from CONTAINER")
    check_volume(mount.get("Target", ""))
    return mount


def check_volumes_from(text: str) -> None:
    """Raises ValueError unless it is ``CONTAINER``, ``CONTAINER:ro`` or ``CONTAINER:rw``, also with ``z`` or ``Z``."""
    name, colon, mode = text.partition(":")
    if not name:
        raise ValueError("it needs the name or ID of a container")
    modes = mode.split(",")
    if colon and (len(modes) > 2 or len(set(modes) - _LABELS) > 1 or not set(modes) <= _ACCESS | _LABELS):
        raise ValueError(f"invalid mode {mode!r}: ro or rw")
