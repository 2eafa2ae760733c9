from __future__ import annotations

import signal

import pytest

from bireme.engine import parse_signal, signal_name
from bireme_actors import InvalidConfig


@pytest.mark.parametrize(
    ("text", "number"),
    [("TERM", 15), ("SIGTERM", 15), ("sigkill", 9), ("15", 15), (2, 2), ("RTMIN", 34), ("SIGRTMIN+3", 37)],
)
def test_signals_are_read_as_users_write_them(text: str | int, number: int) -> None:
    assert parse_signal(text) == number


@pytest.mark.parametrize("text", ["", "0", 0, "65", "-1", "NOSUCH", "SIG", "RTMIN+99", "SIG_DFL", "9x", "٣"])
def test_anything_else_is_refused_by_name(text: str | int) -> None:
    with pytest.raises(InvalidConfig, match="Invalid signal"):
        parse_signal(text)


def test_names_come_back() -> None:
    assert signal_name(int(signal.SIGTERM)) == "SIGTERM"
    assert signal_name(40) == "40"
