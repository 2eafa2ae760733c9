"""Paths to handlers: the pattern language, the versions, and the whole table."""

from __future__ import annotations

import pytest

from bireme.server.errors import Refusal
from bireme.server.routes import ROUTES
from bireme.server.routing import MAX_VERSION, Route, Router, compile_pattern, split_version


async def first(context: object, request: object) -> object:
    return "first"


async def second(context: object, request: object) -> object:
    return "second"


def test_a_name_stands_for_one_part_and_a_path_for_several() -> None:
    one, many = compile_pattern("/images/{name}/json"), compile_pattern("/images/{name:path}/json")
    assert one.fullmatch("/images/busybox/json")
    assert not one.fullmatch("/images/library/busybox/json")
    found = many.fullmatch("/images/docker.io/library/busybox:1/json")
    assert found is not None
    assert found["name"] == "docker.io/library/busybox:1"


def test_a_name_may_come_with_the_slash_that_it_is_shown_with() -> None:
    found = compile_pattern("/containers/{id}/json").fullmatch("/containers//web/json")
    assert found is not None
    assert found["id"] == "web"


def test_what_is_special_in_expressions_is_plain_in_patterns() -> None:
    assert compile_pattern("/a.b/{x}").fullmatch("/a.b/c")
    assert not compile_pattern("/a.b/{x}").fullmatch("/aXb/c")


def test_the_first_route_that_fits_counts() -> None:
    router = Router([Route("GET", "/a/b", first), Route("GET", "/a/{x}", second)])
    assert router.match("GET", "/a/b").handler is first
    assert router.match("GET", "/a/c").handler is second
    assert router.match("GET", "/a/c").parameters == {"x": "c"}


def test_a_method_that_is_not_in_the_table_is_no_page() -> None:
    router = Router([Route("GET", "/a", first)])
    with pytest.raises(Refusal) as caught:
        router.match("PUT", "/a")
    assert caught.value.status == 404
    assert str(caught.value) == "page not found"


@pytest.mark.parametrize(
    ("path", "version", "rest"),
    [
        ("/v1.41/info", (1, 41), "/info"),
        ("/v1.24/info", (1, 24), "/info"),
        ("/info", MAX_VERSION, "/info"),
        ("/v1/info", MAX_VERSION, "/v1/info"),
        ("/v1.41", MAX_VERSION, "/v1.41"),
    ],
)
def test_versions_in_front_of_a_path(path: str, version: tuple[int, int], rest: str) -> None:
    assert split_version(path) == (version, rest)


@pytest.mark.parametrize(("path", "word"), [("/v1.23/info", "too old"), ("/v1.50/info", "too new")])
def test_versions_out_of_range_are_refused_as_docker_does(path: str, word: str) -> None:
    with pytest.raises(Refusal, match=word) as caught:
        split_version(path)
    assert caught.value.status == 400


def test_no_route_of_the_table_is_hidden_by_an_earlier_one() -> None:
    router = Router(ROUTES)
    for route in ROUTES:
        path = route.pattern.replace("{rest:path}", "x").replace("{name:path}", "some/image")
        path = path.replace("{id}", "c0ffee").replace("{name}", "v0")
        assert router.match(route.method, path).handler is route.handler, route


@pytest.mark.parametrize(
    "path",
    ["/", "", "//", "/containers", "/containers/", "/containers//json", "/nosuch", "/v1.41/nosuch", "/images//json"],
)
def test_unknown_paths(path: str) -> None:
    with pytest.raises(Refusal):
        Router(ROUTES).match("GET", path)
