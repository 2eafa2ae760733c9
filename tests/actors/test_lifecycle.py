"""The lifecycle tables: every pair of state and trigger, and every walk along them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from itertools import pairwise, product
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bireme_actors import Conflict, IllegalTransition, Status
from bireme_actors._lifecycle import CONTAINER, VOLUME, Trigger, VolumeStatus, VolumeTrigger, allows, diagram, step

Table = Mapping[tuple[Any, Any], Any]
TABLES: list[tuple[Table, type[StrEnum], type[StrEnum]]] = [
    (CONTAINER, Status, Trigger),
    (VOLUME, VolumeStatus, VolumeTrigger),
]
PAIRS = [(table, *pair) for table, states, triggers in TABLES for pair in product(states, triggers)]


@pytest.mark.parametrize(("table", "state", "trigger"), PAIRS)
def test_every_pair_is_a_step_or_an_error_that_names_both(table: Table, state: StrEnum, trigger: StrEnum) -> None:
    if (state, trigger) in table:
        assert step(table, "it", state, trigger) is table[state, trigger]
        assert allows(table, state, trigger)
        return
    assert not allows(table, state, trigger)
    with pytest.raises(IllegalTransition) as caught:
        step(table, "container db", state, trigger)
    assert str(caught.value) == f"container db is {state}: cannot {trigger} it"
    assert (caught.value.state, caught.value.trigger) == (state, trigger)
    assert isinstance(caught.value, Conflict)


@pytest.mark.parametrize(("table", "states", "triggers"), TABLES)
def test_every_state_is_reached_and_left_and_every_trigger_used(
    table: Table, states: type[StrEnum], triggers: type[StrEnum]
) -> None:
    first = next(iter(states))
    reached, left = set(table.values()) | {first}, {state for state, _ in table}
    assert reached == set(states)
    assert set(states) - left == {states("removed")}, "the end is the only state without a way out"
    assert {trigger for _, trigger in table} == set(triggers)


@pytest.mark.parametrize(("table", "states", "triggers"), TABLES)
def test_removed_can_be_reached_from_everywhere(table: Table, states: type[StrEnum], triggers: type[StrEnum]) -> None:
    ending = {states("removed")}
    for _ in states:
        ending |= {state for (state, _), after in table.items() if after in ending}
    assert ending == set(states)


@pytest.mark.parametrize(("table", "states", "triggers"), TABLES)
def test_the_diagram_has_every_transition_once(table: Table, states: type[StrEnum], triggers: type[StrEnum]) -> None:
    head, *lines = diagram(table).splitlines()
    assert head == "stateDiagram-v2"
    assert sorted(lines) == sorted(f"    {before} --> {after}: {trigger}" for (before, trigger), after in table.items())


class Lives(RuleBasedStateMachine):
    """Containers that live by the table: what has been removed stays so, what is refused changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.state = Status.CREATED
        self.path = [Status.CREATED]

    @rule(trigger=st.sampled_from(Trigger))
    def happen(self, trigger: Trigger) -> None:
        before = self.state
        try:
            self.state = step(CONTAINER, "it", self.state, trigger)
        except IllegalTransition:
            assert self.state is before
        else:
            self.path.append(self.state)

    @invariant()
    def runs_only_what_was_started(self) -> None:
        alive = [place for place, state in enumerate(self.path) if state is Status.RUNNING]
        assert all(self.path[place - 1] in (Status.STARTING, Status.PAUSED) for place in alive)

    @invariant()
    def is_removed_only_by_a_removal(self) -> None:
        if Status.REMOVED in self.path:
            place = self.path.index(Status.REMOVED)
            assert self.path[place - 1 :] == [Status.REMOVING, Status.REMOVED]

    @invariant()
    def is_never_removed_while_it_has_processes(self) -> None:
        for before, after in pairwise(self.path):
            if after is Status.REMOVING:
                assert before in (Status.CREATED, Status.EXITED, Status.RESTARTING, Status.DEAD)


TestLives = Lives.TestCase
