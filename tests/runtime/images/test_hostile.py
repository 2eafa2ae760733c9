"""Random archives of a hostile kind: nothing outside changes, and what was taken can be given back to the last bit."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bireme.images._recipe import assemble
from bireme.images.extract import Unpacked, unpack
from bireme_actors import InvalidConfig
from tests.runtime.images.archives import (
    Entry,
    directory,
    everything_below,
    fifo,
    file,
    hard_link,
    symlink,
    tar,
)

_PARTS = ["a", "b", "c", ".", "..", "", ".wh.a", ".wh.b", ".wh..wh..opq", ".wh..wh.x", "outside", "canary", "fs"]
_names = st.lists(st.sampled_from(_PARTS), min_size=1, max_size=4).map("/".join)
_targets = _names | st.sampled_from(
    [
        "/",
        "..",
        "../..",
        "../../outside",
        "../../outside/canary",
        "/proc/self/root",
        "/proc/self/cwd",
        "CANARY",
        "OUTSIDE",
    ]
)
_entries = st.one_of(
    st.builds(file, _names, st.binary(max_size=40)),
    st.builds(file, _names, st.integers(500, 1100).map(bytes)),
    st.builds(directory, _names),
    st.builds(symlink, _names, _targets),
    st.builds(hard_link, _names, _targets),
    st.builds(fifo, _names),
)


@contextmanager
def place() -> Iterator[tuple[Path, Path]]:
    """A directory to unpack into, and one beside it with a canary."""
    with tempfile.TemporaryDirectory(prefix="bireme-hostile-") as name:
        base = Path(name)
        (base / "layer").mkdir()
        (base / "outside").mkdir()
        (base / "outside" / "canary").write_bytes(b"alive")
        (base / "outside" / "canary").chmod(0o600)
        yield base / "layer", base / "outside"


def given_back(layer: Path, unpacked: Unpacked) -> bytes:
    """The archive, put together again."""
    tree = os.open(layer / "fs", os.O_RDONLY | os.O_DIRECTORY)
    try:
        return b"".join(assemble(str(layer / "recipe"), tree, str(layer / "aside"), unpacked.replaced))
    finally:
        os.close(tree)


def _aimed(entry: Entry, outside: Path) -> Entry:
    for word, path in (("OUTSIDE", outside), ("CANARY", outside / "canary")):
        if entry[0].linkname == word:
            entry[0].linkname = str(path)
    return entry


@pytest.mark.root
@settings(max_examples=400)
@given(st.lists(_entries, max_size=12))
def test_random_archives_never_escape_and_are_given_back(entries: list[Entry]) -> None:
    with place() as (layer, outside):
        data = tar(*(_aimed(entry, outside) for entry in entries))
        try:
            unpacked = unpack(io.BytesIO(data), str(layer))
        except InvalidConfig as error:
            assert "\n" not in str(error)  # noqa: PT017 (most of these archives are taken)
        else:
            assert given_back(layer, unpacked) == data
        assert everything_below(outside) == ["canary"]
        found = (outside / "canary").lstat()
        assert (found.st_mode & 0o7777, found.st_nlink) == (0o600, 1)
        assert (outside / "canary").read_bytes() == b"alive"
        assert sorted(os.listdir(outside.parent)) == ["layer", "outside"]


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_archive_is_taken_or_refused_in_one_line(data: st.DataObject) -> None:
    names = st.sampled_from(["a", "b/c", "d" * 120, "é"])
    entries = data.draw(st.lists(st.builds(file, names, st.binary(max_size=20)), min_size=1, max_size=3))
    archive = bytearray(tar(*entries))
    for _ in range(data.draw(st.integers(1, 4))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    with place() as (layer, outside):
        try:
            unpacked = unpack(io.BytesIO(bytes(archive)), str(layer))
        except InvalidConfig as error:
            assert "\n" not in str(error)  # noqa: PT017 (some damage changes only content)
        else:
            assert given_back(layer, unpacked) == archive
        assert everything_below(outside) == ["canary"]
