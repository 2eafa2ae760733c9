"""Unpacking one layer: what is kept, what overlayfs gets to see, and what an archive may not do."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bireme.images.extract import Unpacked, unpack
from bireme_actors import BiremeError, InvalidConfig, StorageError
from tests.runtime.images.archives import (
    MOMENT,
    Entry,
    device,
    directory,
    everything_below,
    fifo,
    file,
    hard_link,
    sha256,
    symlink,
    tar,
)

OPAQUE = "trusted.overlay.opaque"


class Place:
    """A directory to unpack into, beside one that must not change."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = base / "layer" / "fs"
        self.outside = base / "outside"
        self.outside.mkdir()
        (self.outside / "canary").write_bytes(b"alive")
        (self.outside / "canary").chmod(0o600)

    def unpack(self, *entries: Entry, kind: int = tarfile.PAX_FORMAT) -> Unpacked:
        return self.unpack_bytes(tar(*entries, kind=kind))

    def unpack_bytes(self, data: bytes) -> Unpacked:
        (self.base / "layer").mkdir()
        return unpack(io.BytesIO(data), str(self.base / "layer"))

    def assert_outside_untouched(self) -> None:
        assert everything_below(self.outside) == ["canary"]
        found = (self.outside / "canary").lstat()
        assert (found.st_mode, found.st_nlink, found.st_size) == (stat.S_IFREG | 0o600, 1, 5)
        assert (self.outside / "canary").read_bytes() == b"alive"
        assert set(os.listdir(self.base)) <= {"layer", "outside"}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_files_directories_and_links_come_out_as_they_went_in(place: Place) -> None:
    data = tar(directory("a"), file("a/f", b"x" * 70_000), hard_link("a/h", "a/f"), symlink("a/s", "f"), file("e"))
    unpacked = place.unpack_bytes(data)
    assert (place.root / "a/f").read_bytes() == b"x" * 70_000
    assert (place.root / "a/h").stat().st_ino == (place.root / "a/f").stat().st_ino
    assert os.readlink(place.root / "a/s") == "f"
    assert (place.root / "e").read_bytes() == b""
    assert (unpacked.diff_id, unpacked.archive_size) == (sha256(data), len(data))
    assert (unpacked.size, unpacked.entries) == (70_000, 5)


def test_modes_and_times_are_kept_also_of_directories(place: Place) -> None:
    place.unpack(
        directory("./", mode=0o751, mtime=MOMENT - 5),
        directory("d", mode=0o1777, mtime=MOMENT + 0.25),
        file("d/suid", b"1", mode=0o4755, mtime=MOMENT + 0.123456789),
        symlink("d/l", "x", mtime=5),
        directory("locked", mode=0o500),
        file("locked/f", b"2"),
    )
    assert stat.S_IMODE((place.root / "d/suid").stat().st_mode) == 0o4755
    assert (place.root / "d").stat().st_mtime_ns == MOMENT * 10**9 + 250_000_000
    assert stat.S_IMODE((place.root / "d").stat().st_mode) == 0o1777
    assert (place.root / "d/l").lstat().st_mtime_ns == 5 * 10**9
    assert stat.S_IMODE((place.root / "locked").stat().st_mode) == 0o500
    assert stat.S_IMODE(place.root.stat().st_mode) == 0o751
    assert place.root.stat().st_mtime_ns == (MOMENT - 5) * 10**9


def test_times_are_kept_to_the_nanosecond(place: Place) -> None:
    place.unpack(file("f", pax_headers={"mtime": "1700000000.123456789"}), file("old", mtime=-3))
    assert (place.root / "f").stat().st_mtime_ns == 1_700_000_000_123_456_789
    assert (place.root / "old").stat().st_mtime_ns == -3 * 10**9


@pytest.mark.root
def test_owners_devices_and_attributes_are_kept(place: Place) -> None:
    place.unpack(
        file("f", b"x", uid=1000, gid=2000, mode=0o6755, pax_headers={"SCHILY.xattr.user.a": "b"}),
        directory("d", uid=3, gid=4, pax_headers={"SCHILY.xattr.trusted.t": "v"}),
        symlink("s", "x", uid=5, gid=6, pax_headers={"SCHILY.xattr.trusted.s": "v"}),
        device("c", 1, 3, mode=0o666),
        device("b", 7, 300, block=True),
        fifo("p", mode=0o640),
        hard_link("h", "c"),
    )
    found = (place.root / "f").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1000, 2000, 0o6755)
    assert os.getxattr(place.root / "f", "user.a") == b"b"
    assert ((place.root / "d").stat().st_uid, os.getxattr(place.root / "d", "trusted.t")) == (3, b"v")
    assert (place.root / "s").lstat().st_gid == 6
    assert os.getxattr(place.root / "s", "trusted.s", follow_symlinks=False) == b"v"
    assert stat.S_ISCHR((place.root / "c").lstat().st_mode)
    assert (place.root / "c").lstat().st_rdev == os.makedev(1, 3)
    assert stat.S_ISBLK((place.root / "b").lstat().st_mode)
    assert (place.root / "b").lstat().st_rdev == os.makedev(7, 300)
    assert stat.S_ISFIFO((place.root / "p").lstat().st_mode)
    assert (place.root / "h").lstat().st_ino == (place.root / "c").lstat().st_ino


@pytest.mark.root
def test_whiteouts_become_overlayfs_s_own(place: Place) -> None:
    place.unpack(
        directory("d"),
        file("d/.wh..wh..opq"),
        file(".wh.gone"),
        file("deep/er/.wh.x"),
        directory(".wh..wh.plnk"),
        file(".wh..wh.plnk/1", b"aufs"),
        file(".wh..wh.aufs", b"aufs"),
    )
    assert everything_below(place.root) == ["d", "deep", "deep/er", "deep/er/x", "gone"]
    for name in ("gone", "deep/er/x"):
        found = (place.root / name).lstat()
        assert stat.S_ISCHR(found.st_mode)
        assert found.st_rdev == 0
    assert os.getxattr(place.root / "d", OPAQUE) == b"y"


@pytest.mark.root
@pytest.mark.parametrize("turn", [1, -1])
def test_a_whiteout_hides_what_is_below_and_not_its_own_layer(place: Place, turn: int) -> None:
    pairs = [file(".wh.d"), directory("d")][::turn], [file(".wh.f"), file("f", b"new")][::turn]
    place.unpack(*pairs[0], file("d/new", b"1"), *pairs[1])
    assert os.getxattr(place.root / "d", OPAQUE) == b"y"
    assert (place.root / "d/new").read_bytes() == b"1"
    assert (place.root / "f").read_bytes() == b"new"


@pytest.mark.root
def test_attributes_that_steer_overlayfs_are_left_out(place: Place) -> None:
    names = ("trusted.overlay.redirect", "trusted.overlay.metacopy", "trusted.overlay.opaque", "user.overlay.opaque")
    headers = {f"SCHILY.xattr.{name}": "y" for name in names}
    place.unpack(directory("d", pax_headers=headers), file("f", pax_headers=headers))
    assert not set(names) & {*os.listxattr(place.root / "d"), *os.listxattr(place.root / "f")}


def test_long_and_odd_names(place: Place) -> None:
    deep = "/".join(["d" * 200] * 10)
    odd = ["ü/日本", "a\nb", "sp ace", "back\\slash", "-rf", "q'\"", os.fsdecode(b"not-\xff-utf8")]
    place.unpack(
        *(file(f"{deep}/{name}", name.encode("utf-8", "surrogateescape")) for name in odd),
        symlink("l", "t" * 300),
        kind=tarfile.GNU_FORMAT,
    )
    for name in odd:
        assert (place.root / deep / name).read_bytes() == name.encode("utf-8", "surrogateescape")
    assert os.readlink(place.root / "l") == "t" * 300


def test_directories_that_the_archive_leaves_out_are_made(place: Place) -> None:
    place.unpack(file("a/b/c", b"1"), file("./x/./y//z", b"2"), file("p/q/../r", b"3"))
    assert (place.root / "a/b/c").read_bytes() == b"1"
    assert (place.root / "x/y/z").read_bytes() == b"2"
    assert (place.root / "p/r").read_bytes() == b"3"


def test_the_last_of_several_entries_counts(place: Place) -> None:
    place.unpack(
        file("f", b"1"),
        hard_link("h", "f"),
        file("f", b"22"),
        symlink("was-link", "f"),
        file("was-link", b"3"),
        directory("dir"),
        file("dir/in", b"4"),
        symlink("dir", "elsewhere"),
        symlink("link", "x"),
        directory("link", mode=0o700),
        directory("twice", mode=0o700),
        file("twice/kept", b"5"),
        directory("twice", mode=0o755),
    )
    assert (place.root / "f").read_bytes() == b"22"
    assert (place.root / "h").read_bytes() == b"1"
    assert (place.root / "was-link").read_bytes() == b"3"
    assert os.readlink(place.root / "dir") == "elsewhere"
    assert stat.S_ISDIR((place.root / "link").lstat().st_mode)
    assert (place.root / "twice/kept").read_bytes() == b"5"
    assert stat.S_IMODE((place.root / "twice").stat().st_mode) == 0o755


def test_a_link_inside_the_root_is_followed_there(place: Place) -> None:
    place.unpack(symlink("lib", "usr/lib"), directory("usr/lib"), file("lib/a", b"1"), symlink("abs", "/usr"))
    assert (place.root / "usr/lib/a").read_bytes() == b"1"


# -- what an archive may not do ----------------------------------------------------------------------------------------


def absolute_link(place: Place) -> list[Entry]:
    return [symlink("l", str(place.outside)), file("l/canary", b"dead"), file("l/new", b"!")]


def climbing_link(place: Place) -> list[Entry]:
    return [symlink("l", "../../outside"), file("l/canary", b"dead"), file("l/new", b"!")]


def link_to_a_link(place: Place) -> list[Entry]:
    return [symlink("a", ".."), symlink("b", "a/.."), symlink("c", "b/outside"), file("c/canary", b"dead")]


def link_in_place_of_the_file(place: Place) -> list[Entry]:
    return [symlink("f", str(place.outside / "canary")), file("f", b"dead")]


def hard_link_to_the_outside(place: Place) -> list[Entry]:
    return [hard_link("h", str(place.outside / "canary")), file("h", b"dead")]


def hard_link_that_climbs(place: Place) -> list[Entry]:
    return [hard_link("h", "../../outside/canary"), file("h", b"dead")]


def hard_link_through_a_link(place: Place) -> list[Entry]:
    return [symlink("l", "../../outside"), hard_link("h", "l/canary"), file("h", b"dead")]


def hard_link_to_a_link(place: Place) -> list[Entry]:
    return [symlink("l", str(place.outside / "canary")), hard_link("h", "l"), file("h", b"dead", mode=0o777)]


def directory_through_a_link(place: Place) -> list[Entry]:
    return [symlink("l", str(place.outside)), directory("l/d", mode=0o777), directory("l", mode=0o777)]


def directory_swapped_after_the_fact(place: Place) -> list[Entry]:
    return [directory("d", mode=0o777), symlink("d", str(place.outside)), file("d/canary", b"dead")]


def whiteout_through_a_link(place: Place) -> list[Entry]:
    return [symlink("l", str(place.outside)), file("l/.wh.canary"), file("l/.wh..wh..opq")]


def replaced_through_a_link(place: Place) -> list[Entry]:
    return [symlink("l", "../../outside"), directory("l/canary"), symlink("l/canary", "x")]


def absolute_name(place: Place) -> list[Entry]:
    return [file(str(place.outside / "canary"), b"dead"), file(f"/../..{place.outside}/new", b"!")]


TRICKS = [
    absolute_link,
    climbing_link,
    link_to_a_link,
    link_in_place_of_the_file,
    hard_link_to_the_outside,
    hard_link_that_climbs,
    hard_link_through_a_link,
    hard_link_to_a_link,
    directory_through_a_link,
    directory_swapped_after_the_fact,
    whiteout_through_a_link,
    replaced_through_a_link,
    absolute_name,
]


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick.__name__)
def test_nothing_outside_changes(place: Place, trick: Callable[[Place], list[Entry]]) -> None:
    """Refused or made harmless: either will do, what is outside stays as it is."""
    try:
        place.unpack(*trick(place))
    except (InvalidConfig, StorageError) as error:
        assert "\n" not in str(error)  # noqa: PT017 (some of the tricks just do not work)
    place.assert_outside_untouched()


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([file("../x", b"!")], r"'../x' leaves the directory"),
        ([file("a/../../x", b"!")], r"leaves the directory"),
        ([file("..", b"!")], r"leaves the directory"),
        ([hard_link("h", "nothing")], r"'h' cannot be unpacked: No such file"),
        ([hard_link("h", "h")], r"hard link to itself"),
        ([directory("d"), hard_link("h", "d")], r"'h' cannot be unpacked"),
        ([file("a", b"1"), file("a/b", b"2")], r"'a' cannot be entered: Not a directory"),
        ([symlink("a", "a"), file("a/b", b"2")], r"'a' cannot be entered: Too many levels"),
        ([symlink("a", "nowhere"), file("a/b", b"2")], r"'a' cannot be entered"),
        ([symlink("s", "")], r"'s' cannot be unpacked"),
        ([file("x" * 256, b"1")], r"cannot be unpacked: File name too long"),
        ([file("/".join(["d" * 250] * 18), b"1")], r"File name too long"),
        ([file(".wh.", b"")], r"names nothing that can be hidden"),
        ([file("d/.wh...", b"")], r"names nothing that can be hidden"),
        ([file("d/.wh..", b"")], r"names nothing that can be hidden"),
        ([file(".", b"1")], r"has no name"),
        ([symlink("/", "x")], r"has no name"),
    ],
)
def test_what_makes_no_sense_is_refused(place: Place, entries: list[Entry], message: str) -> None:
    with pytest.raises(InvalidConfig, match=message) as caught:
        place.unpack(*entries)
    assert "\n" not in str(caught.value)
    place.assert_outside_untouched()


@pytest.mark.root
def test_impossible_owners_are_refused(place: Place) -> None:
    with pytest.raises(InvalidConfig, match="impossible user"):
        place.unpack(file("f", uid=0xFFFFFFFF))


def test_an_archive_cut_anywhere_is_refused_or_ends_between_two_entries(tmp_path: Path) -> None:
    data = tar(file("a", b"x" * 1000), file("b" * 150, b"y" * 700), kind=tarfile.PAX_FORMAT)
    end = data.rindex(b"y") + 1
    taken = set()
    for cut in range(0, end, 128):
        target = tmp_path / str(cut)
        target.mkdir()
        try:
            unpack(io.BytesIO(data[:cut]), str(target))
            taken.add(cut)
        except InvalidConfig as error:
            assert "damaged" in str(error)  # noqa: PT017 (some cuts fall between entries)
    assert taken == {0, 512 + 1024}


def test_what_is_no_archive_is_told(place: Place) -> None:
    with pytest.raises(InvalidConfig, match="not a tar archive"):
        place.unpack_bytes(b"MZ" + bytes(range(256)) * 20)


def test_descriptors_are_closed_whatever_happens(tmp_path: Path) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = count()
    cases: list[list[Entry]] = [
        [file("a/b/c", b"1")],
        [file("../x")],
        [hard_link("a/b", "c")],
        [file("a"), file("a/b")],
    ]
    for number, entries in enumerate(cases):
        target = tmp_path / str(number)
        target.mkdir()
        with contextlib.suppress(BiremeError):
            unpack(io.BytesIO(tar(*entries)), str(target))
        assert count() == before
