"""What cannot work: one clear line that names the thing, Docker's exit status, and nothing left half made."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system._cli import Cli, Done
from tests.system._images import Entry, image_tar

pytestmark = [pytest.mark.root, pytest.mark.system]


@pytest.fixture(autouse=True)
def nothing_half_made(bireme: Cli) -> Iterator[None]:
    """Whatever a test tries in vain leaves the root as it was."""
    before = on_disk(bireme)
    yield
    bireme.clear()
    assert on_disk(bireme) == before


def on_disk(bireme: Cli) -> set[str]:
    """Containers, volumes and what is being made of them, images and their layers."""
    places = ("containers", "volumes", "volumes/.staging", "images", "images/layers")
    return {
        f"{place}/{entry.name}" for place in places if (bireme.root / place).is_dir()
        for entry in (bireme.root / place).iterdir()
    }


def check(done: Done, status: int, *parts: str) -> None:
    """One line, and in it what has to be said; Docker's pointer to the help and its sum at the end may follow."""
    assert (done.status, done.out) == (status, ""), done
    lines = [line for line in done.err.splitlines() if not line.startswith(("See 'bireme ", "Error: failed to "))]
    assert len(lines) == 1, done.err
    for part in parts:
        assert part in lines[0]


@pytest.mark.parametrize("verb", ["run", "create"])
@pytest.mark.parametrize(
    ("volume", "parts"),
    [
        ("name:/path", ("name:/path", "no names")),
        ("/host:/path", ("/host:/path", "source")),
        ("/host:/path:ro", ("/host:/path:ro",)),
        ("rel/path", ("rel/path", "absolute")),
        ("./path", ("./path", "absolute")),
        ("", ("empty",)),
        ("/", ('"/"', "root")),
        ("//", ('"//"', "root")),
        ("/a/../..", ("/a/../..", "root")),
        ("/../etc/..", ("/../etc/..", "root")),
    ],
)
def test_a_volume_path_that_cannot_be(bireme: Cli, verb: str, volume: str, parts: tuple[str, ...]) -> None:
    check(bireme(verb, "-v", volume, "s-base", "true"), 125, *parts)


def test_a_nul_in_a_path_as_only_the_api_can_send_it(bireme: Cli) -> None:
    body = json.dumps({"Image": "s-base", "Cmd": ["true"], "Volumes": {"/a\0b": {}}}).encode()
    head = "POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(bireme.run_dir / "bireme.sock"))
        sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = b"".join(iter(lambda: sock.recv(65536), b"")).decode()
    assert answer.startswith("HTTP/1.1 400 ")
    assert "NUL" in answer


@pytest.mark.parametrize(
    ("words", "status", "parts"),
    [
        (("run", "--pull", "never", "nosuch:1", "true"), 125, ("No such image: nosuch:1",)),
        (("run", "up/Case", "true"), 125, ("up/Case", "lowercase")),
        (("run", "s-base:", "true"), 125, ("s-base:",)),
        (("run", "--volumes-from", "nosuch", "s-base", "true"), 125, ("No such container: nosuch",)),
        (("run", "--name", "self", "--volumes-from", "self", "s-base", "true"), 125, ("No such container: self",)),
        (("run", "--volumes-from", "", "s-base", "true"), 125, ()),
        (("run", "--name", "bad name", "s-base", "true"), 125, ("bad name",)),
        (("run", "-v", "/plain", "s-file", "true"), 125, ("/plain", "file")),
        (("run", "-u", "nobodyhere", "s-base", "true"), 125, ("nobodyhere",)),
        (("run", "--stop-signal", "SIGNOT", "s-base", "true"), 125, ("SIGNOT",)),
        (("start", "nosuch"), 1, ("No such container: nosuch",)),
        (("stop", "nosuch"), 1, ("No such container: nosuch",)),
        (("kill", "nosuch"), 1, ("No such container: nosuch",)),
        (("wait", "nosuch"), 1, ("No such container: nosuch",)),
        (("rm", "nosuch"), 1, ("No such container: nosuch",)),
        (("logs", "nosuch"), 1, ("No such container: nosuch",)),
        (("exec", "nosuch", "true"), 1, ("No such container: nosuch",)),
        (("cp", "nosuch:/x", "."), 1, ("No such container: nosuch",)),
        (("rename", "nosuch", "other"), 1, ("No such container: nosuch",)),
        (("rmi", "nosuch"), 1, ("No such image: nosuch",)),
        (("tag", "nosuch", "other"), 1, ("No such image: nosuch",)),
    ],
)
def test_what_is_unknown_or_malformed(bireme: Cli, words: tuple[str, ...], status: int, parts: tuple[str, ...]) -> None:
    check(bireme(*words), status, *parts)


def test_inspect_of_nothing_still_prints_a_list(bireme: Cli) -> None:
    done = bireme("inspect", "nosuch")
    assert (done.status, done.out.strip()) == (1, "[]")
    assert "no such object: nosuch" in done.err.lower()


def test_a_prefix_that_fits_two(bireme: Cli) -> None:
    made: dict[str, str] = {}
    for _ in range(17):
        container = bireme.ok("create", "s-base", "true")
        if container[0] in made:
            check(bireme("start", container[0]), 1, f"'{container[0]}'", "ambiguous")
            return
        made[container[0]] = container
    pytest.fail("seventeen identifiers, and no two begin alike")


def test_a_name_taken(bireme: Cli) -> None:
    holder = bireme.ok("create", "--name", "r02x", "s-base", "true")
    check(bireme("run", "--name", "r02x", "s-base", "true"), 125, '"/r02x"', holder, "rename")


def test_the_removal_of_what_runs(bireme: Cli) -> None:
    container = bireme.ok("run", "-d", "s-base", "sleep", "60")
    check(bireme("rm", container), 1, container, "running")
    assert bireme.ok("inspect", "-f", "{{.State.Running}}", container) == "true"


def test_the_removal_of_a_volume_that_is_held(bireme: Cli) -> None:
    container = bireme.ok("create", "-v", "/d", "s-base", "true")
    volume = bireme.ok("inspect", "-f", "{{range .Mounts}}{{.Name}}{{end}}", container)
    check(bireme("volume", "rm", volume), 1, volume, "in use")


def test_exec_in_what_does_not_run(bireme: Cli) -> None:
    container = bireme.ok("create", "s-base", "true")
    check(bireme("exec", container, "true"), 1, container, "not running")


# Images that are none


def hostile(*entries: Entry, links: tuple[tuple[str, str], ...] = ()) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for entry in entries:
            tar.addfile(entry.info(), io.BytesIO(entry.text.encode()))
        for name, target in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.LNKTYPE, target
            tar.addfile(info)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "archive",
    [
        image_tar()[:100_000],
        b"this is no archive" * 1000,
        b"\x1f\x8b\x08 neither is this",
        b"\x28\xb5\x2f\xfd nor this",
    ],
    ids=["truncated", "no tar", "no gzip", "no zstd"],
)
def test_a_damaged_archive(bireme: Cli, archive: bytes) -> None:
    check(bireme("import", "-", "damaged", stdin=archive), 1)
    assert "damaged" not in bireme.ok("images", "--format", "{{.Repository}}").split()


@pytest.mark.parametrize(
    "archive",
    [
        hostile(Entry("../escaped", "x")),
        hostile(Entry("a/../../../escaped", "x")),
        hostile(Entry("out", link="/tmp"), Entry("out/escaped", "x")),
        hostile(Entry("out", link="../../../../../../tmp"), Entry("out/escaped", "x")),
        hostile(Entry("file", "x"), links=(("escaped", "/etc/hostname"),)),
        hostile(links=(("escaped", "../../../../../../etc/hostname"),)),
    ],
    ids=["dots", "dots inside", "through a link", "through dots in a link", "hard link", "hard link with dots"],
)
def test_an_archive_that_reaches_out_does_not(bireme: Cli, archive: bytes) -> None:
    before = Path("/etc/hostname").stat().st_nlink
    done = bireme("import", "-", "hostile", stdin=archive)
    assert Path("/etc/hostname").stat().st_nlink == before
    places = (bireme.root.parent, bireme.root, bireme.root / "images", bireme.root / "images/layers", Path("/tmp"))
    assert [place for place in places if (place / "escaped").exists()] == []
    if done.status == 0:
        bireme.ok("rmi", "hostile")
    else:
        check(done, 1)


def test_a_missing_archive(bireme: Cli) -> None:
    check(bireme("import", "/no/such.tar", "x"), 1, "/no/such.tar")
    check(bireme("load", "-i", "/no/such.tar"), 1, "/no/such.tar")


# The disk and its owner


def test_a_full_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(disk)], check=True)
    cli = Cli(disk / "root", tmp_path / "run")
    try:
        cli.ok("import", "-", "small", stdin=image_tar((Entry("many/", mode=0o755), Entry("many/x", "x" * 9_000_000))))
        before = on_disk(cli)
        large = image_tar((Entry("x", "x" * 20_000_000),))
        check(cli("import", "-", "large", stdin=large), 1, "o space left on device")
        assert on_disk(cli) == before
        first = cli.ok("create", "-v", "/many", "small", "true")
        check(cli("run", "-v", "/many", "small", "true"), 125, "o space left on device")
        assert cli.containers() == [first]
        cli.ok("rm", "-v", first)
        assert on_disk(cli) == before
        assert cli.ok("run", "--rm", "-v", "/many", "small", "cat", "/etc/hostname") != ""
    finally:
        cli("shutdown")
        subprocess.run(["umount", str(disk)], check=True)


def test_a_root_in_use(bireme: Cli, tmp_path: Path) -> None:
    other = Cli(bireme.root, tmp_path / "run")
    check(other("ps"), 1, str(bireme.root), "in use")
