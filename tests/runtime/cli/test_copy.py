"""``cp``: where things go, what archives are made of files, and what files of archives."""

from __future__ import annotations

import base64
import io
import json
import os
import stat
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bireme.cli._copy.pack import pack
from bireme.cli._copy.plan import Place, asserts_directory, follow, plan_copy, split_argument, split_path
from bireme.cli._copy.unpack import unpack
from bireme.cli._errors import CliError

if TYPE_CHECKING:
    from tests.runtime.cli.fake_engine import CommandLine, FakeEngine


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("c:/x", ("c", "/x")),
        ("c:x:y", ("c", "x:y")),
        ("./c:x", ("", "./c:x")),
        ("/c:x", ("", "/c:x")),
        ("plain", ("", "plain")),
        ("-", ("", "-")),
        (":x", ("", "x")),
    ],
)
def test_which_side_is_a_container(text: str, parts: tuple[str, str]) -> None:
    assert split_argument(text) == parts


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/a/b", ("/a", "b")),
        ("/a/b/", ("/a", "b")),
        ("/a/b/.", ("/a/b", ".")),
        ("a", (".", "a")),
        (".", (".", ".")),
        ("/", ("/", "/")),
        ("//a/../b", ("/", "b")),
    ],
)
def test_the_last_part_of_a_path(path: str, parts: tuple[str, str]) -> None:
    assert split_path(path) == parts


def test_what_says_that_it_is_a_directory() -> None:
    assert [path for path in ("a", "a/", "a/.", ".", "a.") if asserts_directory(path)] == ["a/", "a/.", "."]


FILE, TREE, CONTENTS = Place("/s/f"), Place("/s/d", is_directory=True), Place("/s/d/.", is_directory=True)
INTO, ONTO, NEW, NEW_TREE = (
    Place("/t/dir", is_directory=True),
    Place("/t/file"),
    Place("/t/new", exists=False),
    Place("/t/new/", exists=False),
)


@pytest.mark.parametrize(
    ("source", "target", "plan"),
    [
        (FILE, INTO, ("/t/dir", "f")),
        (FILE, ONTO, ("/t", "file")),
        (FILE, NEW, ("/t", "new")),
        (TREE, INTO, ("/t/dir", "d")),
        (TREE, NEW, ("/t", "new")),
        (TREE, NEW_TREE, ("/t", "new")),
        (CONTENTS, INTO, ("/t/dir", ".")),
        (CONTENTS, NEW, ("/t", "new")),
        (Place("/", is_directory=True), INTO, ("/t/dir", ".")),
        (Place("/real/f", name="link"), INTO, ("/t/dir", "link")),
    ],
)
def test_where_a_copy_goes(source: Place, target: Place, plan: tuple[str, str]) -> None:
    assert plan_copy(source, target) == plan


def test_where_no_copy_can_go() -> None:
    with pytest.raises(CliError, match="cannot copy directory /s/d onto the file /t/file"):
        plan_copy(TREE, ONTO)
    with pytest.raises(CliError, match="no such directory: /t/new/"):
        plan_copy(FILE, NEW_TREE)


def test_a_followed_link_keeps_its_name() -> None:
    place = follow("/a/link", "../b/real")
    assert (place.path, place.name) == ("/b/real", "link")
    assert follow("/a/link/", "/r").path == "/r/"
    assert follow("/a/link/.", "/r").path == "/r/."
    assert follow("/a/same", "/r/same").name == ""


# --- archives


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "sub").mkdir(parents=True)
    (root / "file").write_bytes(b"x" * 70_000)
    (root / "file").chmod(0o640)
    os.utime(root / "file", ns=(10**9, 981173106123456789))
    os.link(root / "file", root / "sub" / "same")
    (root / "link").symlink_to("file")
    os.mkfifo(root / "pipe")
    (root / "sub" / ("long" * 60)).write_bytes(b"")
    (root / "sub").chmod(0o500)
    return root


def test_a_tree_goes_there_and_back(tree: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    assert unpack(pack(str(tree), "tree"), str(target), "copy") == 0
    copy = target / "copy"
    assert (copy / "file").read_bytes() == b"x" * 70_000
    assert stat.S_IMODE((copy / "file").stat().st_mode) == 0o640
    assert (copy / "file").stat().st_mtime_ns == 981173106123456789
    assert (copy / "sub" / "same").stat().st_ino == (copy / "file").stat().st_ino
    assert os.readlink(copy / "link") == "file"
    assert stat.S_ISFIFO((copy / "pipe").lstat().st_mode)
    assert (copy / "sub" / ("long" * 60)).exists()
    assert stat.S_IMODE((copy / "sub").stat().st_mode) == 0o500
    assert (copy / "sub").stat().st_mtime_ns == (tree / "sub").stat().st_mtime_ns


def test_contents_go_into_what_is_there(tree: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    unpack(pack(str(tree), "."), str(target), ".")
    assert sorted(os.listdir(target)) == ["file", "link", "pipe", "sub"]


def test_an_archive_is_what_other_tools_read(tree: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(b"".join(pack(str(tree), "name")))) as archive:
        assert archive.getnames()[0] == "name"
        assert archive.getmember("name/sub/same").linkname == "name/file"
        assert archive.getmember("name/file").size == 70_000
        assert archive.getmember("name/file").uid == os.getuid()


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CliError, match=f"cannot read {tmp_path}/none: no such file or directory"):
        list(pack(str(tmp_path / "none"), "x"))


def archive_of(*members: tarfile.TarInfo) -> list[bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    return [buffer.getvalue()]


def entry(
    name: str, kind: bytes = tarfile.REGTYPE, *, link: str = "", mode: int = 0o644, size: int = 0
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.size = kind, link, mode, size
    return info


TOP = entry("d", tarfile.DIRTYPE, mode=0o755)


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ([TOP, entry("d/../../evil")], "would leave its directory"),
        ([TOP, entry("evil")], "more than was asked for"),
        ([TOP, entry("/evil")], "more than was asked for"),
        ([TOP, entry("d/l", tarfile.SYMTYPE, link="/"), entry("d/l/evil")], r"cannot write l: not a directory"),
        ([TOP, entry("d/h", tarfile.LNKTYPE, link="../outside")], "would leave its directory"),
        ([TOP, entry("d/h", tarfile.LNKTYPE, link="outside")], "more than was asked for"),
        ([TOP, entry("d/x", tarfile.DIRTYPE), entry("d/x")], "cannot overwrite directory"),
        ([TOP, entry("d/x"), entry("d/x", tarfile.DIRTYPE)], "cannot overwrite non-directory"),
    ],
)
def test_a_hostile_archive_lands_nowhere_else(tmp_path: Path, members: list[tarfile.TarInfo], complaint: str) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (tmp_path / "outside").write_text("untouched")
    with pytest.raises(CliError, match=complaint):
        unpack(archive_of(*members), str(target), "d")
    assert sorted(os.listdir(tmp_path)) == ["outside", "target"]
    assert (tmp_path / "outside").read_text() == "untouched"
    assert set(os.listdir(target)) <= {"d"}


def test_what_is_there_is_replaced_and_never_written_through(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("untouched")
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "f").symlink_to(tmp_path / "outside")
    os.link(tmp_path / "outside", tmp_path / "t" / "g")
    for name in ("f", "g"):
        unpack(archive_of(entry("x", size=3)), str(tmp_path / "t"), name)
    assert (tmp_path / "outside").read_text() == "untouched"
    assert (tmp_path / "t" / "f").read_bytes() == bytes(3)
    assert not (tmp_path / "t" / "f").is_symlink()


def test_rights_are_not_taken_over_unless_all_is_asked_for(tmp_path: Path) -> None:
    members = [TOP, entry("d/s", mode=0o6755), entry("d/n", tarfile.CHRTYPE)]
    assert unpack(archive_of(*members), str(tmp_path), "d") == 1
    assert stat.S_IMODE((tmp_path / "d" / "s").stat().st_mode) == 0o755
    assert not (tmp_path / "d" / "n").exists()


@pytest.mark.root
def test_all_is_taken_over_where_it_is_asked_for(tmp_path: Path) -> None:
    member = entry("d/s", mode=0o6755)
    member.uid, member.gid = 12, 34
    member.pax_headers = {"SCHILY.xattr.security.capability": "\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0"}
    device = entry("d/n", tarfile.CHRTYPE)
    device.devmajor, device.devminor = 1, 3
    assert unpack(archive_of(TOP, member, device), str(tmp_path), "d", everything=True) == 0
    facts = (tmp_path / "d" / "s").stat()
    assert (stat.S_IMODE(facts.st_mode), facts.st_uid, facts.st_gid) == (0o6755, 12, 34)
    assert (tmp_path / "d" / "n").stat().st_rdev == os.makedev(1, 3)
    assert os.listxattr(tmp_path / "d" / "s") == ["security.capability"]


@pytest.mark.parametrize("cut", [10, 600, 1100])
def test_a_damaged_archive_is_told(tmp_path: Path, cut: int) -> None:
    (whole,) = archive_of(entry("f", size=1000))
    with pytest.raises(CliError, match=r"damaged"):
        unpack([whole[:cut]], str(tmp_path), "f")


# --- the verb


def stat_header(name: str, mode: int, target: str = "") -> dict[str, str]:
    facts = {"name": name, "size": 1, "mode": mode, "mtime": "2026-01-01T00:00:00Z", "linkTarget": target}
    return {"X-Docker-Container-Path-Stat": base64.b64encode(json.dumps(facts).encode()).decode()}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "here"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


def test_a_file_from_a_container(engine: FakeEngine, bireme: CommandLine, here: Path) -> None:
    (content,) = archive_of(entry("passwd", size=5))
    engine.on("GET /containers/w/archive?path=%2Fetc%2Fpasswd", body=content, headers=stat_header("passwd", 0o644))
    assert bireme("cp", "w:/etc/passwd", "pw") == (0, "", "")
    assert (here / "pw").read_bytes() == bytes(5)
    assert bireme("cp", "w:/etc/passwd", ".").status == 0
    assert (here / "passwd").read_bytes() == bytes(5)
    ran = bireme("cp", "w:/etc/passwd", "-")
    assert ran.out.encode("utf-8", "surrogateescape") == content
    ran = bireme("cp", "w:/etc/passwd", "none/x")
    assert ran.err == f'invalid output path: directory "{here}/none" does not exist\n'


def test_a_link_of_a_container_is_followed(engine: FakeEngine, bireme: CommandLine, here: Path) -> None:
    engine.on("HEAD /containers/w/archive?path=%2Fd%2Fl", status=200, headers=stat_header("l", 1 << 27, "../f"))
    engine.on("GET /containers/w/archive?path=%2Ff", body=archive_of(entry("f"))[0], headers=stat_header("f", 0o644))
    assert bireme("cp", "-L", "w:/d/l", ".").status == 0
    assert os.listdir(here) == ["l"]


def put(engine: FakeEngine, directory: str, more: str = "") -> str:
    line = f"PUT /containers/w/archive?path={directory.replace('/', '%2F')}&noOverwriteDirNonDir=true{more}"
    engine.on(line, status=200)
    return line


def names_in(body: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        return archive.getnames()


def directory(engine: FakeEngine, path: str) -> None:
    line = f"HEAD /containers/w/archive?path={path.replace('/', '%2F')}"
    engine.on(line, status=200, headers=stat_header(path, 1 << 31 | 0o755))


def test_a_tree_into_a_container(engine: FakeEngine, bireme: CommandLine, here: Path) -> None:
    (here / "d").mkdir()
    (here / "d" / "f").write_text("x")
    directory(engine, "/tmp")
    engine.on("HEAD /containers/w/archive?path=%2Fnew", status=404)
    for words, target, names in (
        (["d", "w:/tmp"], "/tmp", ["d", "d/f"]),
        (["d/", "w:/tmp"], "/tmp", ["d", "d/f"]),
        (["d/.", "w:/tmp"], "/tmp", [".", "./f"]),
        (["d", "w:/new"], "/", ["new", "new/f"]),
        (["d/f", "w:/new"], "/", ["new"]),
    ):
        line = put(engine, target)
        assert bireme("cp", *words) == (0, "", "")
        assert engine.requests[-1].line == line
        assert names_in(engine.requests[-1].body) == names
    put(engine, "/tmp", "&copyUIDGID=true")
    assert bireme("cp", "-a", "d", "w:/tmp").status == 0


def test_a_link_in_a_container_is_where_it_leads(engine: FakeEngine, bireme: CommandLine, here: Path) -> None:
    (here / "f").write_text("x")
    engine.on("HEAD /containers/w/archive?path=%2Fl", status=200, headers=stat_header("l", 1 << 27, "tmp"))
    directory(engine, "/tmp")
    line = put(engine, "/tmp")
    assert bireme("cp", "f", "w:/l").status == 0
    assert engine.requests[-1].line == line


def test_an_archive_from_standard_input(engine: FakeEngine, bireme: CommandLine) -> None:
    directory(engine, "/tmp")
    engine.on("HEAD /containers/w/archive?path=%2Ff", status=200, headers=stat_header("f", 0o644))
    put(engine, "/tmp")
    assert bireme("cp", "-", "w:/tmp", stdin=b"archive").status == 0
    assert engine.requests[-1].body == b"archive"
    assert bireme("cp", "-", "w:/f").err == 'destination "w:/f" must be a directory\n'


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["a", "b"], "must specify at least one container source"),
        (["x:a", "y:b"], "copying between containers is not supported"),
        (["", "w:/x"], "source can not be empty"),
        (["x", ""], "destination can not be empty"),
        (["/nonexistent", "w:/x"], "lstat /nonexistent: no such file or directory"),
    ],
)
def test_what_cannot_be_copied(bireme: CommandLine, words: list[str], complaint: str) -> None:
    assert bireme("cp", *words) == (1, "", f"{complaint}\n")


def test_a_device_is_no_target(engine: FakeEngine, bireme: CommandLine, here: Path) -> None:
    (here / "f").write_text("x")
    engine.on("HEAD /containers/w/archive?path=%2Fdev%2Fx", status=200, headers=stat_header("x", 1 << 26))
    assert "must be a directory or regular file: got a device" in bireme("cp", "f", "w:/dev/x").err


def test_the_engines_refusal_is_told(engine: FakeEngine, bireme: CommandLine, here: Path) -> None:
    (here / "big").write_bytes(bytes(5 << 20))
    engine.on("HEAD /containers/w/archive?path=%2Fno%2Fx", status=404)
    engine.error("PUT /containers/w/archive?path=%2Fno&noOverwriteDirNonDir=true", 404, "Could not find the file /no")
    assert bireme("cp", "big", "w:/no/x") == (1, "", "Error response from daemon: Could not find the file /no\n")
