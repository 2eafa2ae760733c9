from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from bireme.engine._changes import ADDED, DELETED, MODIFIED, find_changes


def tree(base: Path, names: dict[str, str | None]) -> str:
    """Directories (None) and files, all of one age."""
    base.mkdir()
    for name, content in names.items():
        path = base / name
        if content is None:
            path.mkdir(parents=True)
        else:
            path.write_text(content)
    for path in base.rglob("*"):
        os.utime(path, ns=(1, 1))
    return str(base)


def test_an_untouched_container_has_no_changes(tmp_path: Path) -> None:
    lower = tree(tmp_path / "lower", {"etc": None, "etc/passwd": "root"})
    upper = tree(tmp_path / "upper", {})
    assert find_changes(upper, [lower]) == []


def test_additions_modifications_and_the_directories_above_them(tmp_path: Path) -> None:
    lower = tree(tmp_path / "lower", {"etc": None, "etc/passwd": "root", "srv": None})
    upper = tree(tmp_path / "upper", {"etc": None, "etc/passwd": "changed", "etc/new": "x", "srv": None})
    assert find_changes(upper, [lower]) == [("/etc", MODIFIED), ("/etc/new", ADDED), ("/etc/passwd", MODIFIED)]


@pytest.mark.root
def test_whiteouts_are_deletions(tmp_path: Path) -> None:
    lower = tree(tmp_path / "lower", {"gone": "x"})
    upper = tree(tmp_path / "upper", {})
    os.mknod(f"{upper}/gone", stat.S_IFCHR, os.makedev(0, 0))
    assert find_changes(upper, [lower]) == [("/gone", DELETED)]


@pytest.mark.root
def test_a_name_that_a_higher_layer_deleted_is_an_addition(tmp_path: Path) -> None:
    bottom = tree(tmp_path / "bottom", {"file": "x"})
    top = tree(tmp_path / "top", {})
    os.mknod(f"{top}/file", stat.S_IFCHR, os.makedev(0, 0))
    upper = tree(tmp_path / "upper", {"file": "again"})
    assert find_changes(upper, [top, bottom]) == [("/file", ADDED)]


def test_the_engines_mount_points_are_nobodys_change(tmp_path: Path) -> None:
    lower = tree(tmp_path / "lower", {})
    upper = tree(tmp_path / "upper", {"proc": None, "etc": None, "etc/hosts": "", "data": None})
    assert find_changes(upper, [lower]) == [("/data", ADDED)]


def test_making_those_changes_the_directory_of_none(tmp_path: Path) -> None:
    lower = tree(tmp_path / "lower", {"etc": None, "srv": None})
    upper = tree(tmp_path / "upper", {"etc": None, "etc/hosts": "", "srv": None})
    for name in ("etc", "srv"):
        os.utime(f"{upper}/{name}", ns=(2, 2))
    assert find_changes(upper, [lower]) == [("/srv", MODIFIED)]
    os.chmod(f"{upper}/etc", 0o700)
    assert find_changes(upper, [lower]) == [("/etc", MODIFIED), ("/srv", MODIFIED)]


def test_links_of_a_layer_do_not_lead_to_the_host(tmp_path: Path) -> None:
    """The image has a link where the container has a directory: what the host has there is no part of the image."""
    host = tree(tmp_path / "host", {"secret": "x"})
    lower = tree(tmp_path / "lower", {})
    os.symlink(host, f"{lower}/place")
    upper = tree(tmp_path / "upper", {"place": None, "place/secret": "mine"})
    os.symlink(host, f"{upper}/way-out")
    assert find_changes(upper, [lower]) == [("/place", MODIFIED), ("/place/secret", ADDED), ("/way-out", ADDED)]


def test_however_deep_the_container_has_dug(tmp_path: Path) -> None:
    upper = tree(tmp_path / "upper", {})
    deep = os.open(upper, os.O_PATH)
    for _ in range(3000):
        os.mkdir("d", dir_fd=deep)
        below = os.open("d", os.O_PATH, dir_fd=deep)
        os.close(deep)
        deep = below
    os.close(deep)
    assert len(find_changes(upper, [])) >= 2000
    assert subprocess.run(["rm", "-rf", upper], check=False).returncode == 0  # pytest's own way of removing gives up
