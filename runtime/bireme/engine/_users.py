"""Which containers use which images, also those still being made: read at the very moment a removal is decided."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from bireme_actors import ContainerView, Supervisor


class ImageUsers(Mapping[str, str]):
    """Image id → one container made of it: any, or with ``running`` one that runs."""

    def __init__(self, supervisor: Supervisor, *, running: bool = False) -> None:
        self._supervisor = supervisor
        self._running = running
        self._pending: dict[str, str] = {}

    @contextmanager
    def making(self, image: str, container: str) -> Iterator[None]:
        """For the length of the block a container of that image is being made."""
        self._pending[container] = image
        try:
            yield
        finally:
            del self._pending[container]

    def _now(self) -> dict[str, str]:
        views = (view for view in self._supervisor.views() if self._counts(view))
        return {image: container for container, image in self._pending.items()} | {
            view.config.image_id: view.id for view in views
        }

    def _counts(self, view: ContainerView) -> bool:
        return view.state.running or not self._running

    def __getitem__(self, image: str) -> str:
        return self._now()[image]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())
