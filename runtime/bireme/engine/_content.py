"""What an image has at a path, copied into a new volume: by a process of the launcher, in the container's own view.

Nothing is looked up on the host: the view is a mount namespace in which the root is the container's, so links and
whiteouts mean there what they mean in the container.
"""

from __future__ import annotations

from bireme.launcher.client import Launcher
from bireme.storage import OverlayRootfs
from bireme_actors import ContainerConfig

_REMEMBERED = 4096


class ArchiveContent:
    """The volume store's ``ImageContent``. Images never change: where one has nothing is remembered."""

    def __init__(self, launcher: Launcher, roots: OverlayRootfs) -> None:
        self._launcher = launcher
        self._roots = roots
        self._nothing: set[tuple[str, str]] = set()

    async def copy(self, config: ContainerConfig, path: str, target: str) -> bool:
        """Fill ``target`` (relative to ROOT) with what is at ``path``; False, and untouched, if nothing is.

        Raises InvalidConfig if that is no directory, StorageError. Cancelled: the copy is given up.
        """
        key = (config.image_id, path)
        if key in self._nothing:
            return False
        root = self._roots.root_request(config)
        root["mounts"], root["files"] = [], []
        result = await self._launcher.archive(
            {"action": "copy", "container": "", "root": root, "path": path, "target": target}
        )
        if not result["found"]:
            self._remember(key)
        return bool(result["found"])

    def _remember(self, key: tuple[str, str]) -> None:
        if len(self._nothing) >= _REMEMBERED:
            self._nothing.clear()
        self._nothing.add(key)
