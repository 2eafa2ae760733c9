"""A few starts at a time, on a loop with nothing else in it."""

from __future__ import annotations

import functools

import pytest

from bireme.launcher import _turns
from bireme.launcher._loop import Loop
from bireme.launcher._turns import Turns


class Starts:
    """Begun at their turns; each is under way until it is told to be over."""

    def __init__(self, most: int) -> None:
        self.loop = Loop()
        self.turns = Turns(self.loop, most)
        self.begun: list[int] = []

    def ask(self, *numbers: int) -> None:
        for number in numbers:
            self.turns.take(number, functools.partial(self._begin, number))

    def _begin(self, number: int) -> None:
        self.begun.append(number)
        self.turns.began(number)


def test_as_many_as_there_is_room_for_begin_and_the_rest_in_their_order() -> None:
    starts = Starts(2)
    starts.ask(1, 2, 3, 4, 5)
    assert starts.begun == [1, 2]
    starts.turns.over(2)
    assert starts.begun == [1, 2, 3]
    starts.turns.over(1)
    starts.turns.over(3)
    assert starts.begun == [1, 2, 3, 4, 5]


def test_what_is_over_at_once_takes_no_room() -> None:
    starts = Starts(1)
    done: list[int] = []
    for number in range(5):
        starts.turns.take(number, functools.partial(done.append, number))
    assert done == [0, 1, 2, 3, 4]


def test_who_has_withdrawn_never_begins() -> None:
    starts = Starts(1)
    starts.ask(1, 2, 3)
    assert starts.turns.withdraw(2)
    assert not starts.turns.withdraw(1), "it is under way"
    assert not starts.turns.withdraw(4)
    starts.turns.over(1)
    assert starts.begun == [1, 3]


def test_nobody_waits_once_all_is_over() -> None:
    starts = Starts(1)
    starts.ask(1, 2)
    starts.turns.clear()
    starts.turns.over(1)
    assert starts.begun == [1]


def test_those_that_hang_are_in_nobodys_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_turns, "PATIENCE", 0.02)
    starts = Starts(2)
    starts.ask(1, 2, 3, 4)
    starts.turns.take(5, starts.loop.stop)
    starts.loop.call_later(10.0, starts.loop.stop)
    starts.loop.run()
    assert starts.begun == [1, 2, 3, 4]
