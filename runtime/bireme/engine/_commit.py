"""An image of a container (``commit``): what it has written becomes a layer, how it was to run the configuration."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Mapping

import trio

from bireme.engine._signals import signal_name
from bireme.images import ImageConfig
from bireme_actors import ContainerConfig


class Pieces:
    """An iterator of bytes as a source of them; closing it is the business of whoever opened the iterator."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next bytes; ``b""`` at the end."""
        if not self._rest:
            self._rest = await anext(self._pieces, b"")
        most = len(self._rest) if max_bytes is None else max_bytes
        data, self._rest = self._rest[:most], self._rest[most:]
        return data

    async def aclose(self) -> None:
        """Nothing to do."""
        await trio.lowlevel.checkpoint()


def image_config(config: ContainerConfig) -> ImageConfig:
    """How a container was to run, as an image says it."""
    given = config.extra.get("Config")
    more = given if isinstance(given, Mapping) else {}
    ports = more.get("ExposedPorts")
    kept = {key: more[key] for key in ("Healthcheck", "Shell") if more.get(key)}
    return ImageConfig(
        env=tuple(entry for entry in config.env if "=" in entry),
        cmd=config.command,
        entrypoint=config.entrypoint,
        user=config.user,
        working_dir="" if config.working_dir == "/" else config.working_dir,
        volumes=tuple(sorted(config.volumes)),
        labels=dict(config.labels),
        exposed_ports=tuple(sorted(ports)) if isinstance(ports, Mapping) else (),
        stop_signal="" if config.stop_signal == signal.SIGTERM else signal_name(config.stop_signal),
        extra=kept,
    )
