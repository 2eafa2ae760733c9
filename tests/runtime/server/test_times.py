"""Moments and spans in Docker's words."""

from __future__ import annotations

import pytest

from bireme.server.times import SECOND, parse_moment, rfc3339, rfc3339_fixed, span
from bireme_actors import InvalidConfig

NOW = 1_790_000_000 * SECOND


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (0, "0001-01-01T00:00:00Z"),
        (NOW, "2026-09-21T14:13:20Z"),
        (NOW + 500_000_000, "2026-09-21T14:13:20.5Z"),
        (NOW + 1, "2026-09-21T14:13:20.000000001Z"),
    ],
)
def test_as_go_prints_them(moment: int, text: str) -> None:
    assert rfc3339(moment) == text


def test_fixed_width() -> None:
    assert rfc3339_fixed(NOW) == "2026-09-21T14:13:20.000000000Z"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("", 0),
        ("0", 0),
        ("1790000000", NOW),
        ("1790000000.5", NOW + 500_000_000),
        ("1790000000.000000001", NOW + 1),
        ("10s", NOW - 10 * SECOND),
        ("1h30m", NOW - 5400 * SECOND),
        ("2026-09-21T14:13:20Z", NOW),
        ("2026-09-21T16:13:20+02:00", NOW),
        ("2026-09-21", NOW - (14 * 3600 + 13 * 60 + 20) * SECOND),
    ],
)
def test_parsed(text: str, moment: int) -> None:
    assert parse_moment(text, NOW) == moment


@pytest.mark.parametrize("text", ["yesterday", "10", "1x", "10s5", "99999999999999999999", "1e9", "--5"])
def test_nonsense(text: str) -> None:
    if text == "10":
        assert parse_moment(text, NOW) == 10 * SECOND
        return
    with pytest.raises(InvalidConfig, match="invalid time"):
        parse_moment(text, NOW)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "Less than a second"),
        (1.9, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (125, "2 minutes"),
        (3600, "About an hour"),
        (7300, "2 hours"),
        (47 * 3600, "47 hours"),
        (50 * 3600, "2 days"),
        (15 * 86400, "2 weeks"),
        (61 * 86400, "2 months"),
        (800 * 86400, "2 years"),
    ],
)
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text
