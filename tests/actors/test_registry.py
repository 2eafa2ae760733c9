"""The registry: no two have a name, exact comes before beginning, and what is forgotten is free."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bireme_actors import Conflict, ContainerId, InvalidConfig, NotFound
from bireme_actors._registry import Registry

IDENTIFIERS = st.sampled_from(["aa1", "aa2", "ab1", "cafe", "beef"]).map(ContainerId)
NAMES = st.sampled_from(["db", "web", "aa", "aa1", "cafe"])


class Names(RuleBasedStateMachine):
    """Against a plain table of who has which names."""

    def __init__(self) -> None:
        super().__init__()
        self.registry: Registry[str] = Registry()
        self.names: dict[ContainerId, set[str]] = {}
        self.items: set[ContainerId] = set()

    def _holder(self, name: str) -> ContainerId | None:
        return next((container for container, names in self.names.items() if name in names), None)

    @rule(container=IDENTIFIERS, name=NAMES)
    def reserve(self, container: ContainerId, name: str) -> None:
        if self._holder(name) in (None, container):
            self.registry.reserve(container, name)
            self.names.setdefault(container, set()).add(name)
        else:
            with pytest.raises(Conflict, match=str(self._holder(name))):
                self.registry.reserve(container, name)

    @precondition(lambda self: bool(self.names))
    @rule(data=st.data())
    def admit(self, data: st.DataObject) -> None:
        container = data.draw(st.sampled_from(sorted(self.names)))
        self.registry.admit(container, f"item {container}")
        self.items.add(container)

    @rule(container=IDENTIFIERS, name=NAMES)
    def release(self, container: ContainerId, name: str) -> None:
        self.registry.release(container, name)
        self.names.get(container, set()).discard(name)

    @rule(container=IDENTIFIERS)
    def forget(self, container: ContainerId) -> None:
        self.registry.forget(container)
        self.names.pop(container, None)
        self.items.discard(container)

    @rule(container=IDENTIFIERS)
    def lose(self, container: ContainerId) -> None:
        self.registry.lose(container)
        self.items.discard(container)

    @rule(ref=NAMES | IDENTIFIERS | st.sampled_from(["a", "c", "", "/db", "zz"]))
    def get(self, ref: str) -> None:
        named = self._holder(ref.removeprefix("/"))
        beginning = [container for container in self.items if ref and container.startswith(ref)]
        if ref in self.items:
            assert self.registry.get(ref) == f"item {ref}"
        elif named in self.items:
            assert self.registry.get(ref) == f"item {named}"
        elif len(beginning) == 1:
            assert self.registry.get(ref) == f"item {beginning[0]}"
        else:
            assert self.registry.find(ref) is None
            with pytest.raises(Conflict if beginning else NotFound):
                self.registry.get(ref)

    @invariant()
    def counts(self) -> None:
        assert len(self.registry) == len(self.items)
        assert sorted(self.registry) == sorted(f"item {container}" for container in self.items)
        assert all(self.registry.has(container) for container in self.names)
        for name in ("db", "web", "aa", "aa1", "cafe"):
            assert self.registry.has_name(name) == (self._holder(name) is not None)


TestNames = Names.TestCase


@pytest.mark.parametrize("name", ["", "a", "-a", "_a", ".a", "a b", "a/b", "ä1", "a\n"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidConfig, match="Invalid container name"):
        Registry[str]().reserve(ContainerId("aa"), name)
