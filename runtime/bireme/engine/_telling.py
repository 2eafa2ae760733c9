"""What the engine itself has to tell of containers and images, beside what their actors tell; Docker's words."""

from __future__ import annotations

import time

from bireme_actors import ContainerConfig, Event, EventSink


def tell_of_container(events: EventSink, config: ContainerConfig, action: str, **attributes: str) -> None:
    """``attributes`` come beside the container's labels, image and name."""
    known = {**config.labels, "image": config.image, "name": config.name, **attributes}
    events.emit(Event(kind="container", action=action, id=config.id, time=time.time_ns(), attributes=known))


def tell_of_image(events: EventSink, action: str, identifier: str, name: str) -> None:
    """``identifier`` is the image's, or the name that a registry was asked for."""
    events.emit(Event(kind="image", action=action, id=identifier, time=time.time_ns(), attributes={"name": name}))
