"""Events as Docker words them: what happened to a container or a volume, and what is to be known about it."""

from __future__ import annotations

from bireme_actors._model import ContainerConfig, Event, Nanoseconds, VolumeId


def container_event(config: ContainerConfig, action: str, time: Nanoseconds, **attributes: str) -> Event:
    """``attributes`` come beside the container's labels, image and name."""
    known = {**config.labels, "image": config.image, "name": config.name}
    return Event(kind="container", action=action, id=config.id, time=time, attributes={**known, **attributes})


def volume_event(volume: VolumeId, action: str, time: Nanoseconds) -> Event:
    """Volumes have no names and one kind of driver."""
    return Event(kind="volume", action=action, id=volume, time=time, attributes={"driver": "local"})
