"""What ``-v`` may say, with the reasons of the data-volume specification (April 2013). Pure.

The engine has the last word; refusing here as well saves a pull and names the flag.
"""

from __future__ import annotations

import posixpath

_ACCESS = {"ro", "rw"}
_LABELS = {"z", "Z"}
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


def check_volumes_from(text: str) -> None:
    """Raises ValueError unless it is ``CONTAINER``, ``CONTAINER:ro`` or ``CONTAINER:rw``, with ``z`` or ``Z`` or not."""
    name, colon, mode = text.partition(":")
    if not name:
        raise ValueError("it needs the name or ID of a container")
    modes = mode.split(",")
    if colon and (len(modes) > 2 or len(set(modes) - _LABELS) > 1 or not set(modes) <= _ACCESS | _LABELS):
        raise ValueError(f"invalid mode {mode!r}: ro or rw")
