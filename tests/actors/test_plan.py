"""The plans: who starts before whom, what is mounted before what, what ``-v`` and ``--volumes-from`` may say."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from itertools import pairwise
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme_actors import (
    InvalidConfig,
    Mount,
    VolumeId,
    VolumesFrom,
    clean_destination,
    mount_order,
    parse_volume,
    parse_volumes_from,
    plan_mounts,
    start_order,
)

T = TypeVar("T")

NODES = st.sampled_from("abcdefghij")
GRAPHS = st.dictionaries(NODES, st.lists(NODES, max_size=4), max_size=10)
ACYCLIC = st.lists(st.tuples(NODES, NODES), max_size=20).map(
    lambda edges: {node: [source for user, source in edges if user == node and source < node] for node in "abcdefghij"}
)
NAMES = st.text(st.characters(exclude_characters="/\0:", exclude_categories=["Cs"]), min_size=1, max_size=8)
DESTINATIONS = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
PATHS = st.lists(NAMES | st.sampled_from(["", ".", ".."]), min_size=1, max_size=6).map(
    lambda parts: "/" + "/".join(parts)
)


# Between containers.


@given(ACYCLIC)
def test_everything_starts_once_and_after_its_sources(graph: dict[str, list[str]]) -> None:
    generations = start_order(graph)
    place = {node: number for number, generation in enumerate(generations) for node in generation}
    assert sorted(node for generation in generations for node in generation) == sorted(graph)
    assert all(place[source] < place[node] for node, sources in graph.items() for source in sources)


@given(ACYCLIC)
def test_nothing_waits_longer_than_for_its_sources(graph: dict[str, list[str]]) -> None:
    generations = start_order(graph)
    place = {node: number for number, generation in enumerate(generations) for node in generation}
    for node, sources in graph.items():
        assert place[node] == max((place[source] + 1 for source in sources), default=0)


@given(GRAPHS)
def test_a_cycle_is_printed_and_is_one(graph: dict[str, list[str]]) -> None:
    order, text = _value_or_refusal(lambda: start_order(graph))
    if order is not None:
        assert {node for generation in order for node in generation} == set(graph)
        return
    cycle = re.fullmatch(r"volumes-from is a cycle: (.*); remove one of them", text)
    assert cycle is not None
    nodes = cycle[1].split(" -> ")
    assert nodes[0] == nodes[-1]
    assert all(source in graph[user] for user, source in pairwise(nodes))


def _value_or_refusal(asked: Callable[[], T]) -> tuple[T | None, str]:
    try:
        return asked(), ""
    except InvalidConfig as error:
        return None, str(error)


def test_a_container_that_is_its_own_source_is_a_cycle() -> None:
    with pytest.raises(InvalidConfig, match="a -> a"):
        start_order({"a": ["a"]})


def test_sources_that_are_not_started_are_not_waited_for() -> None:
    assert start_order({"a": ["elsewhere"]}) == [("a",)]


# Within one container.


@given(st.lists(DESTINATIONS, max_size=12))
def test_parents_are_mounted_before_their_children(paths: list[str]) -> None:
    order = [mount.destination for mount in mount_order(Mount(VolumeId(str(n)), path) for n, path in enumerate(paths))]
    for place, path in enumerate(order):
        assert not any(path.startswith(later + "/") for later in order[place + 1 :])
    assert sorted(order) == sorted(paths)


@given(st.lists(st.sampled_from(["/a", "/b", "/c"]), max_size=8))
def test_what_lies_side_by_side_keeps_its_order(paths: list[str]) -> None:
    mounts = [Mount(VolumeId(str(number)), path) for number, path in enumerate(paths)]
    assert mount_order(mounts) == tuple(mounts)


REFERENCES = st.builds(VolumesFrom, NODES, st.sampled_from([None, True, False]))
MOUNTS = st.builds(
    Mount, NODES.map(VolumeId), st.sampled_from(["/a", "/a/b", "/c", "/d/e/f"]), st.booleans(), st.booleans()
)
SOURCES = st.lists(st.tuples(REFERENCES, st.lists(MOUNTS, max_size=4)), max_size=4)


@given(st.lists(st.sampled_from(["/a", "/a/b", "/c", "/x"]), max_size=6), SOURCES)
def test_the_mount_table_is_whole_and_sound(paths: list[str], sources: list[tuple[VolumesFrom, list[Mount]]]) -> None:
    plan = plan_mounts(paths, sources)
    fresh = [VolumeId(f"new{number}") for number in range(len(plan.fresh))]
    mounts = plan.mounts(fresh)
    destinations = [mount.destination for mount in mounts]
    offered = {mount.destination for _, given in sources for mount in given}
    assert len(set(destinations)) == len(destinations)
    assert set(destinations) == set(paths) | offered
    assert {mount.destination for mount in mounts if mount.owned} == set(paths) - offered
    assert all(not mount.read_only for mount in mounts if mount.owned)


@given(SOURCES)
def test_the_last_source_wins_and_nothing_is_widened(sources: list[tuple[VolumesFrom, list[Mount]]]) -> None:
    for mount in plan_mounts((), sources).inherited:
        reference, last = [(r, m) for r, given in sources for m in given if m.destination == mount.destination][-1]
        assert mount.volume == last.volume
        assert mount.read_only == (last.read_only or reference.read_only is True)
        assert not mount.owned


# What the user writes.


@given(PATHS)
def test_a_path_is_cleaned_or_refused(path: str) -> None:
    clean, refusal = _value_or_refusal(lambda: parse_volume(path))
    if clean is None:
        assert refusal.isprintable()
        assert posixpath.normpath("/" + path).lstrip("/") == "" or ".." in path
        return
    assert clean.startswith("/")
    assert not clean.startswith("//")
    assert clean == posixpath.normpath(clean) != "/"
    assert parse_volume(clean) == clean


@given(st.text(max_size=40))
def test_any_text_is_a_path_or_one_clear_line(text: str) -> None:
    clean, refusal = _value_or_refusal(lambda: clean_destination(text))
    assert clean is not None or (refusal.isprintable() and refusal.startswith("invalid volume"))


def test_dots_and_slashes_are_cleaned_away() -> None:
    assert parse_volume("//d/./e/../") == "/d"
    assert parse_volume("/a/b/") == "/a/b"
    assert parse_volume("/a/../../b") == "/b", "the parent of the root is the root"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("name:/path", "no names"),
        ("/host:/path", "no chosen source"),
        ("/path:ro", "no names"),
        ("relative/path", "absolute"),
        (".", "absolute"),
        ("/", "root itself"),
        ("//", "root itself"),
        ("/a/..", "root itself"),
        ("/..", "root itself"),
        ("/a/../..", "root itself"),
        ("/a\0b", "NUL"),
        ("/" + "n" * 256, "longer than 255"),
        ("/" + "/".join(["n" * 200] * 21), "longer than 4095"),
    ],
)
def test_what_cannot_be_a_volume_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidConfig, match=re.escape(reason)) as caught:
        parse_volume(text)
    assert len(str(caught.value)) < 400


@given(NAMES, st.sampled_from(["", ":ro", ":rw"]))
def test_a_reference_has_a_container_and_a_mode(container: str, mode: str) -> None:
    parsed = parse_volumes_from(container + mode)
    assert parsed == VolumesFrom(container, {"": None, ":ro": True, ":rw": False}[mode])


@pytest.mark.parametrize(
    ("mode", "read_only"), [("z", None), ("Z", None), ("ro,z", True), ("Z,ro", True), ("rw,Z", False)]
)
def test_modes_for_labels_say_nothing_about_access(mode: str, read_only: bool | None) -> None:
    assert parse_volumes_from(f"a:{mode}") == VolumesFrom("a", read_only)


@pytest.mark.parametrize(("text", "reason"), [("", "name a container"), (":ro", "name a container"), ("a:", "mode"),
                                              ("a:rx", "ro or rw"), ("a:ro:rw", "ro or rw"),
                                              ("a:ro,rw", "ro or rw"), ("a:z,Z,ro", "ro or rw")])  # fmt: skip
def test_a_reference_that_is_none_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidConfig, match=reason):
        parse_volumes_from(text)
