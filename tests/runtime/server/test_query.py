"""Queries and filters, with Docker's rules."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.server.filters import Filters, parse_filters, searches
from bireme.server.query import Query
from bireme_actors import InvalidConfig


@pytest.mark.parametrize("text", ["a=1", "a=true", "a=True", "a=yes", "a=2"])
def test_on(text: str) -> None:
    assert Query(text).flag("a")


@pytest.mark.parametrize("text", ["", "a=", "a=0", "a=false", "a=no", "a=None", "b=1"])
def test_off(text: str) -> None:
    assert not Query(text).flag("a")


def test_a_default_holds_only_where_nothing_is_said() -> None:
    assert Query("").flag("stream", True)
    assert not Query("stream=0").flag("stream", True)


def test_values_are_decoded() -> None:
    query = Query("names=a%3Ab&names=c%20d&path=%2Fx")
    assert query.many("names") == ["a:b", "c d"]
    assert query.text("path") == "/x"
    assert query.text("nosuch", "z") == "z"


@pytest.mark.parametrize("text", ["n=x", "n=1.5", "n=1e3", "n=" + "9" * 30, "n=٣"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(InvalidConfig, match="whole number"):
        Query(text).number("n")


def test_numbers() -> None:
    assert Query("n=-1").number("n") == -1
    assert Query("").number("n") is None


def test_bytes_that_are_no_text_are_for_paths_only() -> None:
    query = Query("path=%2Fa%FF")
    assert query.path("path") == "/a\udcff"
    with pytest.raises(InvalidConfig, match="UTF-8"):
        query.text("path")


@pytest.mark.parametrize("text", ["path=", "path=a%00b", ""])
def test_bad_paths(text: str) -> None:
    with pytest.raises(InvalidConfig, match="path"):
        Query(text).path("path")


def test_the_number_of_fields_is_bounded() -> None:
    with pytest.raises(InvalidConfig, match="invalid query"):
        Query("&".join(f"a{number}=1" for number in range(5000)))


@given(st.text(max_size=80))
def test_no_query_is_a_crash(text: str) -> None:
    try:
        Query(text).flag("a")
    except InvalidConfig:
        return


def filtered(value: object, known: tuple[str, ...] = ("name", "label", "label!", "dangling")) -> Filters:
    from urllib.parse import quote

    return parse_filters(Query("filters=" + quote(json.dumps(value))), known)


def test_both_spellings_of_filters() -> None:
    assert filtered({"name": ["a", "b"]}).get("name") == ("a", "b")
    assert filtered({"name": {"a": True, "b": False}}).get("name") == ("a",)
    assert parse_filters(Query(""), ()).get("name") == ()


@pytest.mark.parametrize("value", [[], 1, "x", {"name": "x"}, {"name": [1]}, {"nosuch": ["x"]}, {"name": 1}])
def test_what_is_no_filter(value: object) -> None:
    with pytest.raises(InvalidConfig, match="invalid filter"):
        filtered(value)


def test_alternatives_within_a_name_all_for_labels() -> None:
    assert filtered({"name": ["a", "b"]}).fits("name", lambda value: value == "b")
    assert not filtered({"name": ["a"]}).fits("name", lambda value: value == "b")
    assert filtered({}).fits("name", lambda value: False)
    labels = {"a": "1", "b": "2"}
    assert filtered({"label": ["a", "b=2"]}).labels_fit(labels)
    assert not filtered({"label": ["a", "b=3"]}).labels_fit(labels)
    assert not filtered({"label!": ["a"]}).labels_fit(labels)


def test_flags_in_filters() -> None:
    assert filtered({"dangling": ["true"]}).flag("dangling", False)
    assert not filtered({"dangling": ["0"]}).flag("dangling", True)
    assert filtered({}).flag("dangling", True)
    for value in (["x"], ["1", "0"]):
        with pytest.raises(InvalidConfig):
            filtered({"dangling": value}).flag("dangling", False)


def test_searching_names_never_takes_for_ever() -> None:
    assert searches("^w", "web")
    assert searches("w.b", "web")
    assert not searches("^e", "web")
    assert not searches("(", "web")
    assert searches("^/(web|db)$", "/db")
    for pattern in ("(a+)+$", "(a|a)*$", "(a|aa){1,90}$", "a*a*a*a*a*$", "(a)\\1" * 20):
        assert not searches(pattern, "a" * 60 + "b")
