"""Atomic writes, locks, joins and removals."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bireme import _files


def test_a_write_replaces_the_whole_file_and_leaves_nothing_beside(tmp_path: Path) -> None:
    for durable in (True, False):
        _files.write_atomic(tmp_path / "f", b"x" * 100)
        _files.write_atomic(tmp_path / "f", b"new", mode=0o640, durable=durable)
        assert (tmp_path / "f").read_bytes() == b"new"
        assert (tmp_path / "f").stat().st_mode & 0o777 == 0o640
        assert os.listdir(tmp_path) == ["f"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _files.write_atomic(tmp_path / "f", b"old")

    def fail(*arguments: Any) -> None:
        raise OSError(5, "Input/output error")

    for call in ("fsync", "rename"):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            with pytest.raises(OSError, match="Input/output error"):
                _files.write_atomic(tmp_path / "f", b"new")
        assert (tmp_path / "f").read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["f"]


def test_what_the_kernel_takes_in_pieces_is_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:3]))
    _files.write_atomic(tmp_path / "f", bytes(range(100)))
    assert (tmp_path / "f").read_bytes() == bytes(range(100))


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    first = _files.try_lock(tmp_path / "lock")
    assert first is not None
    assert _files.try_lock(tmp_path / "lock") is None
    os.close(first)
    second = _files.try_lock(tmp_path / "lock")
    assert second is not None
    os.close(second)


@pytest.mark.parametrize("relative", ["/etc", "..", "../x", "a/../../x", "a\0b", "a/../.."])
def test_a_join_that_escapes_is_refused(relative: str) -> None:
    with pytest.raises(ValueError, match=r"leaves|relative"):
        _files.join_beneath("/base", relative)


@pytest.mark.parametrize(
    ("relative", "joined"), [("a", "/base/a"), (".", "/base"), ("a/../b", "/base/b"), ("", "/base")]
)
def test_a_join_that_stays(relative: str, joined: str) -> None:
    assert _files.join_beneath("/base", relative) == joined


def test_opening_beneath_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_text("inside")
    (tmp_path / "l").symlink_to("d")
    (tmp_path / "d" / "out").symlink_to("/etc/passwd")
    base = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    try:
        fd = _files.open_beneath(base, "d/./f", os.O_RDONLY)
        assert os.read(fd, 10) == b"inside"
        os.close(fd)
        for bad in ("l/f", "d/out"):
            with pytest.raises(OSError, match=r"Too many levels|Not a directory"):
                _files.open_beneath(base, bad, os.O_RDONLY)
        for bad in ("../x", "/etc/passwd", "d/../d/f"):
            with pytest.raises(ValueError, match="does not stay"):
                _files.open_beneath(base, bad, os.O_RDONLY)
    finally:
        os.close(base)


def test_a_tree_is_removed_without_following_links(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("")
    top = tmp_path / "top"
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "link").symlink_to(outside)
    (top / "dangling").symlink_to("/nowhere")
    os.mkfifo(top / "fifo")
    _files.remove_tree(top)
    assert sorted(os.listdir(tmp_path)) == ["outside"]
    assert os.listdir(outside) == ["kept"]


def test_a_link_in_place_of_a_tree_is_removed_itself(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "file").write_text("")
    for name in ("link", "file", "nothing"):
        _files.remove_tree(tmp_path / name)
    assert os.listdir(tmp_path) == ["target"]


def test_a_tree_of_any_depth_is_removed_with_few_descriptors(tmp_path: Path) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    top = tmp_path / "top"
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for depth in range(1500):
        os.mkdir("directory", dir_fd=fd)
        if depth % 100 == 0:
            os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        below = os.open("directory", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    _files.remove_tree(top)
    assert os.listdir(tmp_path) == []
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_tree_of_many_files_is_removed(tmp_path: Path) -> None:
    for name in range(3000):
        (tmp_path / f"{name}").touch()
    _files.remove_tree(tmp_path)
    assert not tmp_path.exists()


def test_somebody_else_may_remove_the_same_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        (tmp_path / "top" / name).mkdir(parents=True)
        (tmp_path / "top" / name / "f").touch()
    real = _files._entries

    def entries_then_gone(directory: int) -> Any:
        found = list(real(directory))
        subprocess.run(["rm", "-rf", str(tmp_path / "top")], check=True)
        return found

    monkeypatch.setattr(_files, "_entries", entries_then_gone)
    _files.remove_tree(tmp_path / "top")
    assert os.listdir(tmp_path) == []


def _freeze(path: Path, flags: str) -> None:
    done = subprocess.run(["chattr", f"+{flags}", str(path)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"this file system has no inode flags: {done.stderr.decode().strip()}")


@pytest.mark.root
@pytest.mark.parametrize("flags", ["i", "a", "ia"])
def test_what_was_made_immutable_is_removed_too(tmp_path: Path, flags: str) -> None:
    (tmp_path / "top" / "d").mkdir(parents=True)
    (tmp_path / "top" / "d" / "f").write_text("x")
    (tmp_path / "top" / "l").symlink_to("d")
    for path in (tmp_path / "top" / "d" / "f", tmp_path / "top" / "d", tmp_path / "top"):
        _freeze(path, flags)
    _files.rename_any(str(tmp_path / "top"), str(tmp_path / "thrown"))
    _files.remove_tree(tmp_path / "thrown")
    assert os.listdir(tmp_path) == []


def test_sizes_count_each_hard_link_once(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    empty = _files.tree_size(tmp_path)
    (tmp_path / "d" / "a").write_bytes(b"x" * 100_000)
    os.link(tmp_path / "d" / "a", tmp_path / "b")
    size = _files.tree_size(tmp_path)
    assert 100_000 <= size - empty < 200_000
    assert _files.tree_size(tmp_path / "nothing") == 0


def test_sizes_of_trees_deeper_than_any_path_are_told(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    for _ in range(600):
        os.mkdir("directory", dir_fd=fd)
        below = os.open("directory", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    assert _files.tree_size(tmp_path) >= 0
    _files.remove_tree(tmp_path / "directory")
