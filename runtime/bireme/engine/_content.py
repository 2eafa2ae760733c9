"""What an image has at a path, copied into a new volume: by a process of the launcher, in the container's own view.

Nothing is looked up on the host: the view is a mount namespace in which the root is the container's, so links and
whiteouts mean there what they mean in the container.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from bireme.launcher.launchers import Launchers
from bireme.storage import OverlayRootfs
from bireme_actors import ContainerConfig, InvalidConfig

if TYPE_CHECKING:
    from bireme.launcher.requests import ArchiveRequest

_REMEMBERED = 4096


class ArchiveContent:
    """The volume store's ``ImageContent``. Images never change: where one has nothing is remembered."""

    def __init__(self, launcher: Launchers, roots: OverlayRootfs) -> None:
        self._launcher = launcher
        self._roots = roots
        self._nothing: set[tuple[str, str]] = set()

    def has_nothing(self, config: ContainerConfig, path: str) -> bool:
        """Whether it is known that ``copy`` would copy nothing."""
        return (config.image_id, path) in self._nothing and not is_below(config.working_dir, path)

    async def copy(self, config: ContainerConfig, path: str, target: str) -> bool:
        """Fill ``target`` (relative to ROOT) with what is at ``path``; False, and untouched, if nothing is.

        A working directory below ``path`` is made first, as Docker does: the volume has it from the beginning.

        Raises InvalidConfig if that is no directory, StorageError. Cancelled: the copy is given up.
        """
        root = self._roots.root_request(config)
        if any(path == file["target"] for file in root["files"]):
            raise InvalidConfig(f"cannot mount volume over existing file, file exists {path}")
        working_dir = config.working_dir if is_below(config.working_dir, path) else ""
        root["mounts"], root["files"] = [], []
        request: ArchiveRequest = {"action": "copy", "container": "", "root": root, "path": path, "target": target}
        if working_dir:
            request["working_dir"] = working_dir
        result = await self._launcher.archive(request)
        if not result["found"]:
            self._remember((config.image_id, path))
        return bool(result["found"])

    def _remember(self, key: tuple[str, str]) -> None:
        if len(self._nothing) >= _REMEMBERED:
            self._nothing.clear()
        self._nothing.add(key)


def is_below(path: str, top: str) -> bool:
    """Whether ``path``, once cleaned, is in the directory ``top``."""
    return posixpath.normpath(path).startswith(f"{top}/")
