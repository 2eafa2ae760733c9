"""Names, identifiers and beginnings of identifiers, and what they stand for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Generic, TypeVar

from bireme_actors._errors import Conflict, InvalidConfig, NotFound
from bireme_actors._model import ContainerId

T = TypeVar("T")

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
"""What a container may be called; Docker's rule."""


class Registry(Generic[T]):
    """Containers by identifier and by name. A name is *reserved* before its container exists, so no two get it."""

    def __init__(self) -> None:
        self._items: dict[ContainerId, T] = {}
        self._names: dict[str, ContainerId] = {}
        self._name_of: dict[ContainerId, str] = {}

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        return iter(self._items.values())

    def reserve(self, container: ContainerId, name: str) -> None:
        """Take a name. Raises Conflict naming the holder, InvalidConfig for what cannot be a name."""
        if not NAME.fullmatch(name):
            raise InvalidConfig(f"Invalid container name ({name}), only {NAME.pattern} are allowed")
        holder = self._names.get(name)
        if holder is not None and holder != container:
            raise Conflict(
                f'Conflict. The container name "/{name}" is already in use by container "{holder}". '
                "You have to remove (or rename) that container to be able to reuse that name."
            )
        self._names[name] = container
        self._name_of[container] = name

    def has_name(self, name: str) -> bool:
        """Whether the name is taken, also by a container that is still being made."""
        return name in self._names

    def admit(self, container: ContainerId, item: T) -> None:
        """The container exists from now on; its name has been reserved."""
        self._items[container] = item

    def rename(self, container: ContainerId, name: str) -> None:
        """Swap the name. Raises as ``reserve``; the old name is then kept."""
        before = self._name_of[container]
        self.reserve(container, name)
        if before != name:
            del self._names[before]

    def forget(self, container: ContainerId) -> None:
        """Free the identifier and the name. Idempotent."""
        self._items.pop(container, None)
        name = self._name_of.pop(container, None)
        if name is not None:
            self._names.pop(name, None)

    def find(self, ref: str) -> T | None:
        """As ``get``, None where nothing fits."""
        try:
            return self.get(ref)
        except NotFound:
            return None

    def get(self, ref: str) -> T:
        """By identifier, else name, else beginning of one identifier. Raises NotFound, Conflict if two fit."""
        exact = self._items.get(ContainerId(ref))
        if exact is not None:
            return exact
        named = self._names.get(ref.removeprefix("/"))
        if named in self._items:
            return self._items[named]
        fitting = [container for container in self._items if ref and container.startswith(ref)]
        if len(fitting) > 1:
            raise Conflict(
                f"ambiguous identifier '{ref}': {len(fitting)} containers begin so; write more of it, or the name"
            )
        if not fitting:
            raise NotFound(f"No such container: {ref}")
        return self._items[fitting[0]]
