"""Starting several containers: sources before their users, everything else at once, failures as values."""

from __future__ import annotations

from collections.abc import Mapping

import trio

from bireme_actors import _messages as m
from bireme_actors._container import ContainerActor
from bireme_actors._errors import BiremeError, DependencyFailed, NotModified
from bireme_actors._model import ContainerId
from bireme_actors._plan import start_order
from bireme_actors._services import open_crew


class Starting:
    """One ``start_all``. ``needs`` maps each container to those it has its volumes from."""

    def __init__(
        self, actors: Mapping[ContainerId, ContainerActor], needs: Mapping[ContainerId, tuple[ContainerId, ...]]
    ) -> None:
        self._actors = actors
        self._needs = needs
        self._decided = {container: trio.Event() for container in actors}
        self.outcome: dict[ContainerId, BiremeError | None] = {}

    async def run(self) -> None:
        """Fill ``outcome``. Raises InvalidConfig that prints the cycle. Cancelled: what has started stays started."""
        start_order(self._needs)
        async with open_crew() as nursery:
            for container in self._actors:
                nursery.start_soon(self._start_one, container)

    async def _start_one(self, container: ContainerId) -> None:
        for source in self._needs[container]:
            if source in self._actors:
                await self._decided[source].wait()
        self.outcome[container] = self._failed_source(container) or await self._start(self._actors[container])
        self._decided[container].set()

    def _failed_source(self, container: ContainerId) -> DependencyFailed | None:
        for source in self._needs[container]:
            error = self.outcome.get(source)
            if error is not None:
                return DependencyFailed(
                    f"container {self._actors[container].config.name} was not started: "
                    f"its volumes-from source {self._actors[source].config.name} failed: {error}"
                )
        return None

    @staticmethod
    async def _start(actor: ContainerActor) -> BiremeError | None:
        try:
            await actor.ref.ask(m.Start())
        except NotModified:
            return None
        except BiremeError as error:
            return error
        return None
