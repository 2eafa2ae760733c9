"""A layer's archive is given back to the last bit, whoever made it, and a changed layer is found out."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import pytest

from bireme.images._recipe import assemble
from bireme.images.extract import Unpacked, unpack
from bireme_actors import StorageError
from tests.runtime.images.archives import Entry, directory, file, hard_link, symlink, tar


def unpacked_at(base: Path, data: bytes) -> Unpacked:
    (base / "layer").mkdir()
    return unpack(io.BytesIO(data), str(base / "layer"))


def given_back(base: Path, unpacked: Unpacked) -> bytes:
    tree = os.open(base / "layer/fs", os.O_RDONLY | os.O_DIRECTORY)
    try:
        pieces = assemble(str(base / "layer/recipe"), tree, str(base / "layer/aside"), unpacked.replaced)
        return b"".join(pieces)
    finally:
        os.close(tree)


def gnu_tar(base: Path, *options: str) -> bytes:
    """What GNU tar makes of a directory with all there is, a file with holes among it."""
    source = base / "source"
    (source / ("long" * 40)).mkdir(parents=True)
    (source / "small").write_bytes(b"content")
    (source / ("long" * 40) / ("name" * 30)).write_bytes(b"x" * 5000)
    (source / "link").symlink_to("t" * 120)
    os.link(source / "small", source / "again")
    with (source / "holes").open("wb") as holes:
        holes.write(b"head")
        for number in range(1, 40):
            holes.seek(number * 100_000)
            holes.write(b"%d" % number * 512)
        holes.truncate(5_000_000)
    return subprocess.run(["tar", "-C", str(source), *options, "-cf", "-", "."], check=True, capture_output=True).stdout


@pytest.mark.parametrize(
    "options",
    [
        ("--format=gnu", "--sparse"),
        ("--format=posix", "--sparse", "--sparse-version=0.0"),
        ("--format=posix", "--sparse", "--sparse-version=0.1"),
        ("--format=posix", "--sparse", "--sparse-version=1.0"),
        ("--format=gnu",),
        ("--format=posix", "--xattrs"),
    ],
    ids=" ".join,
)
def test_archives_of_gnu_tar(tmp_path: Path, options: tuple[str, ...]) -> None:
    data = gnu_tar(tmp_path, *options)
    unpacked = unpacked_at(tmp_path, data)
    root, source = tmp_path / "layer/fs", tmp_path / "source"
    for name in ("small", "again", "holes", f"{'long' * 40}/{'name' * 30}"):
        assert (root / name).read_bytes() == (source / name).read_bytes()
    if "--sparse" in options:
        assert (root / "holes").stat().st_blocks * 512 < 2_000_000
    assert os.readlink(root / "link") == "t" * 120
    assert (root / "small").stat().st_ino == (root / "again").stat().st_ino
    assert given_back(tmp_path, unpacked) == data


REPLACING: dict[str, list[Entry]] = {
    "a file by a file": [file("f", b"first"), file("f", b"second"), file("f", b"third")],
    "a file by a link": [file("f", b"first"), symlink("f", "x"), file("f", b"third")],
    "a linked file": [file("f", b"first"), hard_link("h", "f"), file("f", b"second"), file("h", b"third")],
    "a link's name": [file("f", b"first"), hard_link("h", "f"), file("h", b"second")],
    "a whole directory": [file("d/a", b"1"), file("d/b/c", b"2"), symlink("d", "x"), file("d2/a", b"3")],
    "a directory twice": [file("d/a", b"1"), file("d/a", b"2"), symlink("d", "x"), directory("d"), file("d/a", b"3")],
    "through another name": [file("d/a", b"1"), symlink("l", "d"), file("l/a", b"2"), file("d/a", b"3")],
    "what is skipped": [file(".wh..wh.x/y", b"aufs" * 100), file("a", b"1"), file(".wh.b", b"content")],
}


@pytest.mark.root
@pytest.mark.parametrize("name", REPLACING)
def test_what_an_archive_replaces_is_given_back_too(tmp_path: Path, name: str) -> None:
    data = tar(*REPLACING[name])
    assert given_back(tmp_path, unpacked_at(tmp_path, data)) == data


def test_bytes_after_the_end_belong_to_the_archive(tmp_path: Path) -> None:
    data = tar(file("a", b"1")) + b"\0" * 2048 + b"trailing" * 5000
    unpacked = unpacked_at(tmp_path, data)
    assert unpacked.archive_size == len(data)
    assert given_back(tmp_path, unpacked) == data


def test_a_recipe_is_small(tmp_path: Path) -> None:
    data = tar(*(file(f"directory/file-{number}", b"content" * 300) for number in range(300)))
    unpacked_at(tmp_path, data)
    assert (tmp_path / "layer/recipe").stat().st_size < len(data) / 20


def test_a_missing_and_a_shortened_file_are_found_out(tmp_path: Path) -> None:
    unpacked = unpacked_at(tmp_path, tar(file("a", b"x" * 100), file("b", b"y" * 100)))
    (tmp_path / "layer/fs/a").write_bytes(b"x" * 99)
    with pytest.raises(StorageError, match="shorter"):
        given_back(tmp_path, unpacked)
    (tmp_path / "layer/fs/a").unlink()
    with pytest.raises(StorageError, match="'a' cannot be read"):
        given_back(tmp_path, unpacked)
    (tmp_path / "layer/fs/a").symlink_to("b")
    with pytest.raises(StorageError, match="'a' cannot be read"):
        given_back(tmp_path, unpacked)
