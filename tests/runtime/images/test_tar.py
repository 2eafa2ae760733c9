"""The reader of archives: forms that tools write, and what it refuses of forms that nobody should."""

from __future__ import annotations

import io
import tarfile

import pytest

from bireme.images._tar import Archive
from bireme.images._tar_headers import Entry
from bireme_actors import InvalidConfig
from tests.runtime.images.archives import file, hard_link, symlink, tar


def read(data: bytes) -> list[tuple[Entry, bytes]]:
    """Every entry with its content; what was kept and the contents are the whole archive."""
    kept: list[bytes] = []
    archive = Archive(io.BytesIO(data), kept.append)
    found = []
    for entry in archive:
        content = b"".join(archive.content(entry.size))
        found.append((entry, content))
    assert sum(map(len, kept)) + sum(len(content) for _, content in found) == len(data)
    return found


def header(name: str = "f", **fields: bytes) -> bytes:
    """One header block of GNU form with some fields written over; the checksum is right."""
    block = bytearray(tarfile.TarInfo(name).tobuf(tarfile.GNU_FORMAT))
    for key, value in fields.items():
        at = _OFFSETS[key]
        block[at : at + len(value)] = value
    if "checksum" not in fields:
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


_OFFSETS = {"name": 0, "mode": 100, "uid": 108, "size": 124, "mtime": 136, "checksum": 148, "kind": 156, "magic": 257}
_OFFSETS |= {"prefix": 345, "map": 386, "extended": 482, "length": 483}


def pax(*records: bytes, kind: bytes = b"x") -> bytes:
    """An extended header of these records, as they are."""
    body = b"".join(records)
    return header("pax", kind=kind, size=b"%011o\0" % len(body)) + body + bytes(-len(body) % 512)


def record(key: bytes, value: bytes) -> bytes:
    length = len(key) + len(value) + 3
    while len(b"%d" % length) + len(key) + len(value) + 3 != length:
        length += 1
    return b"%d %s=%s\n" % (length, key, value)


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_the_three_forms(kind: int) -> None:
    entries = [file("a/" + "b" * 90, b"x" * 700, uid=5, gid=6, mode=0o751), symlink("s", "t"), hard_link("h", "s")]
    (one, content), (two, _), (three, _) = read(tar(*entries, kind=kind))
    assert (one.name, one.kind, one.mode, one.uid, one.gid) == ("a/" + "b" * 90, "file", 0o751, 5, 6)
    assert content == b"x" * 700
    assert (two.kind, two.target, three.kind, three.target) == ("symlink", "t", "link", "s")


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_and_numbers_that_need_an_extension(kind: int) -> None:
    long = file("n" * 5000, b"1", uid=3_000_000, mtime=2**34)
    link = symlink("ü" * 60, "t" * 300)
    (one, _), (two, _) = read(tar(long, link, kind=kind))
    assert (one.name, one.uid, one.mtime) == ("n" * 5000, 3_000_000, 2**34 * 10**9)
    assert (two.name, two.target) == ("ü" * 60, "t" * 300)


def test_a_name_with_a_prefix_and_a_file_that_v7_calls_a_directory() -> None:
    prefixed = header("tail", magic=b"ustar\x0000", prefix=b"head/er")
    old = header("dir/", kind=b"\0", magic=bytes(8))
    assert [(entry.name, entry.kind) for entry, _ in read(prefixed + old)] == [
        ("head/er/tail", "file"),
        ("dir/", "directory"),
    ]


def test_times_before_the_epoch_and_between_the_seconds() -> None:
    (one, _), (two, _) = read(
        header(mtime=b"\xff" * 12) + pax(record(b"mtime", b"-1.5")) + header() + b"\0" * 1024,
    )
    assert (one.mtime, two.mtime) == (-(10**9), -1_500_000_000)


def test_headers_for_the_whole_archive_and_labels_are_passed_over() -> None:
    data = pax(record(b"comment", b"abc"), record(b"path", b"evil"), kind=b"g") + header("volume", kind=b"V") + header()
    assert [entry.name for entry, _ in read(data)] == ["f"]


def test_types_without_content_have_none_whatever_their_size_says() -> None:
    data = header("d", kind=b"5", size=b"%011o\0" % 999) + header("f")
    assert [(entry.name, entry.size) for entry, _ in read(data)] == [("d", 0), ("f", 0)]


def test_an_attribute_may_have_any_bytes() -> None:
    data = pax(record(b"SCHILY.xattr.user.a=b", b"\0\n=\xff"), record(b"SCHILY.xattr.user.c", b"")) + header()
    ((entry, _),) = read(data)
    assert entry.xattrs == {"user.a": b"b=\0\n=\xff", "user.c": b""}


def test_the_end_mark_ends_the_entries() -> None:
    assert [entry.name for entry, _ in read(header("a") + bytes(512) + header("b"))] == ["a"]


_SPARSE = header("s", kind=b"S", size=b"%011o\0" % 512, map=b"%011o\0%011o\0" % (1024, 512), length=b"%011o\0" % 4096)


def test_old_gnu_holes() -> None:
    ((entry, content),) = read(_SPARSE + b"x" * 512)
    assert (entry.length, entry.segments, content) == (4096, [(1024, 512)], b"x" * 512)


MALFORMED = {
    "a wrong checksum": header(checksum=b"000001\0 "),
    "an unknown type": header(kind=b"Z"),
    "a size that is no number": header(size=b"12x45678901\0"),
    "a size below zero": header(size=b"\xff" * 12),
    "a size beyond all": header(size=b"\x80" + b"\xff" * 11),
    "a header that describes nothing": pax(record(b"path", b"x")) + bytes(1024),
    "an endless extended header": header(kind=b"x", size=b"%011o\0" % (1 << 30)),
    "extended headers without end": pax(record(b"a", b"b")) * 20 + header(),
    "a record that is too long": pax(b"99 path=x\n") + header(),
    "a record without a length": pax(b"path=x\n") + header(),
    "a record of length zero": pax(b"0 path=x\n") + header(),
    "a record without an end": pax(b"9 path=xy") + header(),
    "a record without a key": pax(b"7 path\n") + header(),
    "a NUL in a name": pax(record(b"path", b"a\0b")) + header(),
    "a NUL in a target": pax(record(b"linkpath", b"a\0b")) + header(kind=b"2"),
    "a time that is no number": pax(record(b"mtime", b"now")) + header(),
    "an owner that is no number": pax(record(b"uid", b"root")) + header(),
    "an owner below zero": pax(record(b"uid", b"-1")) + header(),
    "holes that overlap": pax(record(b"GNU.sparse.map", b"0,9,5,9"), record(b"GNU.sparse.size", b"99")) + header(),
    "holes beyond the end": pax(record(b"GNU.sparse.map", b"90,10"), record(b"GNU.sparse.size", b"95")) + header(),
    "holes that do not add up": pax(record(b"GNU.sparse.map", b"0,9"), record(b"GNU.sparse.size", b"99")) + header(),
    "half a hole": pax(record(b"GNU.sparse.map", b"0,9,5"), record(b"GNU.sparse.size", b"99")) + header(),
    "holes without a size": pax(record(b"GNU.sparse.map", b"0,0")) + header(),
    "a map without content": pax(record(b"GNU.sparse.major", b"1"), record(b"GNU.sparse.realsize", b"9")) + header(),
    "a map without end": pax(record(b"GNU.sparse.major", b"1"), record(b"GNU.sparse.realsize", b"9"))
    + header(size=b"%011o\0" % 4096)
    + b"1" * 4096,
    "a map of too many": pax(record(b"GNU.sparse.major", b"1"), record(b"GNU.sparse.realsize", b"9"))
    + header(size=b"%011o\0" % 1024)
    + b"99999999\n".ljust(1024, b"0"),
    "old holes that do not add up": _SPARSE.replace(b"", b"") + b"x" * 100,
    "half a header": header()[:300],
    "content that is missing": header(size=b"%011o\0" % 600) + b"x" * 100,
    "padding that is missing": header(size=b"%011o\0" % 600) + b"x" * 700,
}


@pytest.mark.parametrize("name", MALFORMED)
def test_it_refuses(name: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        read(MALFORMED[name])
    assert "\n" not in str(caught.value)
