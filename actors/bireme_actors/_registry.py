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
    """Containers by identifier and by name. A name is *reserved* before its container exists, so no two get it.

    While a container is being renamed it has both names.
    """

    def __init__(self) -> None:
        self._items: dict[ContainerId, T] = {}
        self._names: dict[str, ContainerId] = {}
        self._names_of: dict[ContainerId, tuple[str, ...]] = {}

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        return iter(self._items.values())

    def reserve(self, container: ContainerId, name: str) -> None:
        """Take a name, if need be one more. Raises Conflict naming the holder, InvalidConfig for what is no name."""
        if not NAME.fullmatch(name):
            raise InvalidConfig(f"Invalid container name ({name}), only {NAME.pattern} are allowed")
        holder = self._names.get(name)
        if holder is not None and holder != container:
            raise Conflict(
                f'Conflict. The container name "/{name}" is already in use by container "{holder}". '
                "You have to remove (or rename) that container to be able to reuse that name."
            )
        self._names[name] = container
        self._names_of[container] = (*(known for known in self._names_of.get(container, ()) if known != name), name)

    def release(self, container: ContainerId, name: str) -> None:
        """Free one of a container's names. Idempotent."""
        names = self._names_of.get(container, ())
        if name in names:
            self._names_of[container] = tuple(known for known in names if known != name)
            del self._names[name]

    def has(self, container: ContainerId) -> bool:
        """Whether the identifier is taken, by a container or by one that is being made."""
        return container in self._names_of

    def has_name(self, name: str) -> bool:
        """Whether the name is taken, also by a container that is still being made."""
        return name in self._names

    def admit(self, container: ContainerId, item: T) -> None:
        """The container exists from now on; its name has been reserved."""
        self._items[container] = item

    def lose(self, container: ContainerId) -> None:
        """The container cannot be asked any more, but its record has its name still. Idempotent."""
        self._items.pop(container, None)

    def forget(self, container: ContainerId) -> None:
        """Free the identifier and the names. Idempotent."""
        self._items.pop(container, None)
        for name in self._names_of.pop(container, ()):
            del self._names[name]

    def find(self, ref: str) -> T | None:
        """As ``get``, None where nothing, or more than one, fits."""
        try:
            return self.get(ref)
        except (NotFound, Conflict):
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
