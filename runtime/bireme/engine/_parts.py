"""What a running engine is made of: the one bundle its faces share."""

from __future__ import annotations

from dataclasses import dataclass

from bireme.config import Settings
from bireme.engine._archives import Archives
from bireme.engine._events import EventBus
from bireme.engine._execs import Execs
from bireme.engine._probing import HealthChecks
from bireme.images import ImageStore
from bireme.launcher.launchers import Launchers
from bireme.storage import JsonLogs, Layout, VolumeDirectories
from bireme_actors import ContainerConfig, ImageNotFound, Supervisor


@dataclass(frozen=True, slots=True)
class Parts:
    """Made by ``open_runtime``, in this order of dependence."""

    settings: Settings
    layout: Layout
    images: ImageStore
    launcher: Launchers
    volumes: VolumeDirectories
    logs: JsonLogs
    events: EventBus
    archives: Archives
    supervisor: Supervisor
    execs: Execs
    health: HealthChecks

    def layers_of(self, config: ContainerConfig) -> tuple[str, ...]:
        """Directory names of the container's image, the lowest first; none if that image is gone."""
        try:
            return self.images.layers(config.image_id)
        except ImageNotFound:
            return ()
