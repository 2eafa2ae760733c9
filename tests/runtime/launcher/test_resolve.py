"""Finding and making the place of a mount: inside the root, whatever stands in the way."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bireme.launcher import _resolve
from bireme.launcher._protocol import Failure


@pytest.fixture
def root(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    base = tmp_path / "root"
    base.mkdir()
    fd = os.open(base, os.O_PATH | os.O_DIRECTORY)
    yield fd, base
    os.close(fd)


def place_of(fd: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/there", "there"),
        ("/there/new/deep", "there/new/deep"),
        ("/new", "new"),
        ("/absolute/x", "there/x"),
        ("/relative/x", "there/x"),
        ("/dir/ln/x", "there/x"),
        ("/up/x", "x"),
        ("/dangling", "nowhere/deep"),
        ("/dangling/x", "nowhere/deep/x"),
        ("/there/../../../x", "x"),
        ("/dangling/../x", "nowhere/x"),
        ("/chain", "there"),
    ],
)
def test_directories(root: tuple[int, Path], path: str, expected: str) -> None:
    fd, base = root
    (base / "there").mkdir()
    (base / "dir").mkdir()
    for name, target in (
        ("absolute", "/there"),
        ("relative", "there"),
        ("dir/ln", "../there"),
        ("up", "../../../../../.."),
        ("dangling", "/nowhere/deep"),
        ("chain", "relative"),
    ):
        (base / name).symlink_to(target)
    assert place_of(_resolve.open_directory(fd, path)) == str(base / expected)
    found = (base / expected).stat()
    assert stat.S_IMODE(found.st_mode) == 0o755 or expected == "there"


def test_a_file_is_no_directory(root: tuple[int, Path]) -> None:
    fd, base = root
    (base / "file").touch()
    for path in ("/file", "/file/below"):
        with pytest.raises(NotADirectoryError):
            _resolve.open_directory(fd, path)


def test_links_in_a_circle(root: tuple[int, Path]) -> None:
    fd, base = root
    (base / "a").symlink_to("b")
    (base / "b").symlink_to("a")
    with pytest.raises(OSError, match="Too many levels"):
        _resolve.open_directory(fd, "/a")
    with pytest.raises(Failure, match="too many levels of symbolic links"):
        _resolve.without_links(fd, "/a")


def test_files(root: tuple[int, Path]) -> None:
    fd, base = root
    (base / "etc").mkdir()
    (base / "etc/hosts").write_text("kept")
    (base / "ln").symlink_to("/etc/new")
    assert place_of(_resolve.open_file(fd, "/etc/hosts")) == str(base / "etc/hosts")
    assert place_of(_resolve.open_file(fd, "/a/b/c")) == str(base / "a/b/c")
    assert place_of(_resolve.open_file(fd, "/ln")) == str(base / "etc/new")
    assert (base / "etc/hosts").read_text() == "kept"
    assert (base / "a/b/c").read_bytes() == b""


def test_no_descriptor_is_left(root: tuple[int, Path]) -> None:
    fd, base = root
    (base / "file").touch()
    before = len(os.listdir("/proc/self/fd"))
    os.close(_resolve.open_directory(fd, "/a/b/c"))
    os.close(_resolve.open_file(fd, "/a/b/x"))
    with pytest.raises(NotADirectoryError):
        _resolve.open_directory(fd, "/file/x/y")
    assert len(os.listdir("/proc/self/fd")) == before


NAMES = st.sampled_from(["a", "b", "c", "l1", "l2", "l3", "..", "."])
PATHS = st.lists(NAMES, min_size=1, max_size=6).map("/".join)


@settings(max_examples=150)
@given(targets=st.lists(st.tuples(st.booleans(), PATHS), min_size=3, max_size=3), path=PATHS)
def test_it_never_leaves_the_root(
    tmp_path_factory: pytest.TempPathFactory, targets: list[tuple[bool, str]], path: str
) -> None:
    """Whatever the links say, the place is inside, and nothing appears beside the root."""
    outer = tmp_path_factory.mktemp("outer")
    base = outer / "root"
    (base / "a/b").mkdir(parents=True)
    for number, (absolute, target) in enumerate(targets, 1):
        (base / f"l{number}").symlink_to(("/" if absolute else "") + target)
    root = os.open(base, os.O_PATH | os.O_DIRECTORY)
    try:
        place = place_of(_resolve.open_directory(root, "/" + path))
        assert place == str(base) or place.startswith(f"{base}/")
    except (OSError, Failure):
        pass
    finally:
        os.close(root)
    assert os.listdir(outer) == ["root"]
