"""Work on files in a container's view: what is copied keeps all it has, and nothing reaches the host."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import stat
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from bireme.launcher.requests import StartRequest
from bireme_actors import BiremeError, InvalidConfig, NotFound, StorageError
from tests.runtime.launcher.harness import PATIENCE, Bench

pytestmark = pytest.mark.root

MTIME = 1_234_567_890_123_456_789


async def pack(bench: Bench, path: str, **options: Any) -> bytes:
    """The archive of a path, as the launcher writes it."""
    reading, writing = os.pipe()
    collected = bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_read_all, reading, collected)
        try:
            with trio.fail_after(PATIENCE):
                await bench.launcher.archive(bench.archive_request("pack", path, **options), [writing])
        finally:
            os.close(writing)
    return bytes(collected)


async def _read_all(fd: int, collected: bytearray) -> None:
    async with trio.lowlevel.FdStream(fd) as stream:
        async for chunk in stream:
            collected += chunk


async def unpack(bench: Bench, path: str, data: bytes, **options: Any) -> dict[str, object]:
    """Have an archive unpacked."""
    reading, writing = os.pipe()
    result: dict[str, object] = {}

    async def write() -> None:
        async with trio.lowlevel.FdStream(writing) as stream:
            try:
                await stream.send_all(data)
            except trio.BrokenResourceError:
                return

    failure: BiremeError | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        try:
            with trio.fail_after(PATIENCE):
                result = await bench.launcher.archive(bench.archive_request("unpack", path, **options), [reading])
        except BiremeError as error:
            failure = error
        os.close(reading)
    if failure is not None:
        raise failure
    return result


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {info.name: info for info in archive}


def archive(*entries: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes], kind: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as written:
        for entry in entries:
            info, data = entry if isinstance(entry, tuple) else (entry, b"")
            info.size = len(data)
            written.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def info(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, link, mode
    return made


def fill(base: Path) -> None:
    """One of everything a directory can hold."""
    base.mkdir(parents=True)
    (base / "file").write_bytes(b"hello")
    os.chown(base / "file", 1000, 1001)
    (base / "file").chmod(0o4640)
    os.setxattr(base / "file", "user.note", b"\xff\x00raw")
    os.utime(base / "file", ns=(MTIME, MTIME))
    os.link(base / "file", base / "twin")
    (base / "link").symlink_to("file")
    os.utime(base / "link", ns=(MTIME, MTIME), follow_symlinks=False)
    os.chown(base / "link", 7, 8, follow_symlinks=False)
    os.mkfifo(base / "pipe")
    os.mknod(base / "device", stat.S_IFCHR | 0o620, os.makedev(1, 3))
    (base / "sub/deep").mkdir(parents=True)
    (base / "sub/deep/x").write_bytes(b"deep")
    (base / ("long" * 60)).write_bytes(b"")
    (base / os.fsdecode(b"latin-\xe9")).write_bytes(b"")
    with (base / "sparse").open("wb") as file:
        file.seek(8 << 20)
        file.write(b"end")
    os.setxattr(base / "sub", "user.dir", b"1")
    (base / "sub").chmod(0o2750)
    os.utime(base / "sub", ns=(MTIME, MTIME))
    os.utime(base, ns=(MTIME, MTIME))


def describe(base: Path) -> dict[str, tuple[object, ...]]:
    """Everything that a copy is to keep."""
    found: dict[str, tuple[object, ...]] = {}
    for path in [base, *sorted(base.rglob("*"))]:
        this = path.lstat()
        plain = not path.is_symlink() and (path.is_file() or path.is_dir())
        xattrs = {name: os.getxattr(path, name) for name in os.listxattr(path)} if plain else {}
        content = path.read_bytes() if plain and path.is_file() else os.readlink(path) if path.is_symlink() else b""
        links = 0 if path.is_dir() else this.st_nlink
        owner = (this.st_uid, this.st_gid, this.st_mode, this.st_mtime_ns, this.st_rdev, links)
        found[str(path.relative_to(base))] = (*owner, xattrs, content)
    return found


async def test_stat(bench: Bench) -> None:
    (bench.layers / "base/etc/link").symlink_to("../etc/passwd")
    passwd = (bench.layers / "base/etc/passwd").lstat()
    found = await bench.launcher.archive(bench.archive_request("stat", "/etc//x/../passwd"))
    assert found == {
        "name": "passwd",
        "size": passwd.st_size,
        "mode": passwd.st_mode,
        "mtime": passwd.st_mtime_ns,
        "linkTarget": "",
    }
    link = await bench.launcher.archive(bench.archive_request("stat", "/etc/link"))
    assert (link["name"], link["linkTarget"]) == ("link", "/etc/passwd")
    assert stat.S_ISLNK(int(str(link["mode"])))
    root = await bench.launcher.archive(bench.archive_request("stat", "/"))
    assert root["name"] == "/"
    for path in ("/nowhere", "/nowhere/deep", "/etc/passwd/below"):
        with pytest.raises(NotFound, match=f"Could not find the file {path} in container c0"):
            await bench.launcher.archive(bench.archive_request("stat", path))


@pytest.mark.parametrize("running", [False, True])
async def test_pack_and_unpack_keep_everything(bench: Bench, running: bool) -> None:
    fill(bench.layers / "base/data")
    (bench.layers / "base/data/device").unlink()  # packed, but never unpacked
    sleeper = await bench.start_sleeper() if running else None
    data = await pack(bench, "/data")
    assert set(members(data)) == {"data"} | {
        f"data/{name}" for name in describe(bench.layers / "base/data") if name != "."
    }
    assert await unpack(bench, "/tmp", data) == {}
    if sleeper is not None:
        await bench.end(sleeper)
    assert describe(bench.root / "containers/c0/upper/tmp/data") == describe(bench.layers / "base/data")


async def test_pack_writes_what_others_read(bench: Bench) -> None:
    fill(bench.layers / "base/data")
    found = members(await pack(bench, "/data"))
    assert found["data/file"].pax_headers["SCHILY.xattr.user.note"].encode("utf-8", "surrogateescape") == b"\xff\x00raw"
    assert (found["data/twin"].type, found["data/twin"].linkname) == (tarfile.LNKTYPE, "data/file")
    assert (found["data/link"].type, found["data/link"].linkname, found["data/link"].uid) == (
        tarfile.SYMTYPE,
        "file",
        7,
    )
    assert (found["data/device"].type, found["data/device"].devmajor, found["data/device"].devminor) == (b"3", 1, 3)
    assert (found["data/file"].uid, found["data/file"].gid, found["data/file"].mode) == (1000, 1001, 0o4640)
    assert found["data/sparse"].size == (8 << 20) + 3


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/data", {"data", "data/x"}),
        ("/data/", {".", "./x"}),
        ("/data/.", {".", "./x"}),
        ("/data/x", {"x"}),
        ("/link", {"link"}),
        ("/link/", {".", "./x"}),
        ("/link/x", {"x"}),
    ],
)
async def test_pack_names_its_entries_after_the_path(bench: Bench, path: str, names: set[str]) -> None:
    base = bench.layers / "base"
    (base / "data").mkdir()
    (base / "data/x").touch()
    (base / "link").symlink_to("data")
    assert set(members(await pack(bench, path))) == names


async def test_an_export_leaves_out_what_is_mounted(bench: Bench) -> None:
    """The volume, like the kernel's file systems, is there as an empty directory."""
    (bench.root / "volumes/v0").mkdir(parents=True)
    (bench.root / "volumes/v0/inside").touch()
    sleeper = await bench.start_sleeper(mounts=[bench.volume("/data")])
    names = set(members(await pack(bench, "/", contents=True)))
    await bench.end(sleeper)
    assert {"bin/busybox", "etc/passwd", "proc", "dev", "data"} <= names
    assert not {name for name in names if name.startswith(("proc/", "dev/", "sys/", "data/", "/", "."))}


async def test_a_volume_is_packed_with_what_it_holds(bench: Bench) -> None:
    (bench.root / "volumes/v0").mkdir(parents=True)
    (bench.root / "volumes/v0/inside").touch()
    mounts = [bench.volume("/data")]
    root = bench.root_request("c0", mounts=mounts)
    assert set(members(await pack(bench, "/data", root=root))) == {"data", "data/inside"}
    sleeper = await bench.start_sleeper(mounts=mounts)
    assert set(members(await pack(bench, "/data"))) == {"data", "data/inside"}
    await bench.end(sleeper)


async def test_what_is_in_memory_is_read_and_written_while_the_container_runs(bench: Bench) -> None:
    root = bench.root_request("c0", mounts=[bench.tmpfs("/t")])
    sleeper = await bench.start_sleeper(mounts=[bench.tmpfs("/t")])
    await unpack(bench, "/t", archive(info("given")), root=root)
    await bench.exec("touch", "/t/made")
    assert sorted(members(await pack(bench, "/t", root=root))) == ["t", "t/given", "t/made"]
    await bench.end(sleeper)
    assert sorted(members(await pack(bench, "/t", root=root))) == ["t"]


async def test_of_what_is_in_memory_only_the_place_is_there_before_and_after(bench: Bench) -> None:
    """With the permissions that the tmpfs is to have, also where a volume lies in it; what is put there is hidden."""
    mounts = [bench.tmpfs("/t"), bench.volume("/t/v")]
    await unpack(bench, "/t/v", archive(info("given")), root=bench.root_request("c0", mounts=mounts))
    await unpack(bench, "/t", archive(info("hidden")), root=bench.root_request("c0", mounts=mounts))
    found = members(await pack(bench, "/t", root=bench.root_request("c0", mounts=mounts)))
    assert sorted(found) == ["t", "t/hidden", "t/v", "t/v/given"]
    done = await bench.run_shell("ls /t /t/v; stat -c %a /t", mounts=mounts)
    assert done.lines == ["/t:", "v", "", "/t/v:", "given", "1777"]


async def test_a_reader_that_leaves_ends_the_work(bench: Bench) -> None:
    (bench.layers / "base/big").write_bytes(bytes(4 << 20))
    reading, writing = os.pipe()
    os.close(reading)
    with pytest.raises(BiremeError, match="Broken pipe"):
        await bench.launcher.archive(bench.archive_request("pack", "/big"), [writing])
    os.close(writing)


async def test_cancelling_breaks_the_work_off(bench: Bench) -> None:
    """Nobody reads: the packing waits for ever."""
    (bench.layers / "base/big").write_bytes(bytes(4 << 20))
    reading, writing = os.pipe()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.launcher.archive, bench.archive_request("pack", "/big"), [writing])
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert bench.launcher.statistics()["asks"] == 0
    os.close(writing)
    os.close(reading)


async def test_unpack_needs_a_directory(bench: Bench) -> None:
    with pytest.raises(NotFound, match="/nowhere"):
        await unpack(bench, "/nowhere", archive())
    with pytest.raises(InvalidConfig, match="extraction point is not a directory: /etc/passwd"):
        await unpack(bench, "/etc/passwd", archive())


async def test_unpack_gives_everything_to_the_containers_user(bench: Bench) -> None:
    entry = info("x")
    entry.uid, entry.gid = 77, 88
    await unpack(bench, "/tmp", archive(entry))
    await unpack(bench, "/root", archive(entry), copy_uid_gid=True, user="ann")
    upper = bench.root / "containers/c0/upper"
    assert _owner(upper / "tmp/x") == (77, 88)
    assert _owner(upper / "root/x") == (1000, 1001)


def _owner(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_uid, found.st_gid


async def test_unpack_replaces_unless_asked_not_to(bench: Bench) -> None:
    upper = bench.root / "containers/c0/upper/tmp"
    await unpack(bench, "/tmp", archive(info("d", tarfile.DIRTYPE, mode=0o755), info("d/x"), info("f")))
    for new in (info("d"), info("f", tarfile.DIRTYPE)):
        with pytest.raises(InvalidConfig, match="cannot overwrite"):
            await unpack(bench, "/tmp", archive(new), no_overwrite_dir_non_dir=True)
    assert (upper / "d/x").is_file()
    await unpack(bench, "/tmp", archive((info("d"), b"now a file"), info("f", tarfile.DIRTYPE), info("f/y")))
    assert (upper / "d").read_text() == "now a file"
    assert (upper / "f/y").is_file()


async def test_unpack_merges_directories(bench: Bench) -> None:
    await unpack(bench, "/tmp", archive(info("d", tarfile.DIRTYPE, mode=0o755), info("d/x")))
    await unpack(bench, "/tmp", archive(info("d", tarfile.DIRTYPE, mode=0o700), info("d/y")))
    upper = bench.root / "containers/c0/upper/tmp"
    assert sorted(os.listdir(upper / "d")) == ["x", "y"]
    assert stat.S_IMODE((upper / "d").stat().st_mode) == 0o700


async def test_unpack_into_a_read_only_volume(bench: Bench) -> None:
    root = bench.root_request("c0", mounts=[bench.volume("/data", read_only=True)])
    with pytest.raises(StorageError, match="Read-only file system"):
        await unpack(bench, "/data", archive(info("x")), root=root)


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("case", range(10))
async def test_unpack_never_leaves_the_root(bench: Bench, tmp_path: Path, running: bool, case: int) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_text("safe")
    up = "../" * 20 + str(outside).lstrip("/")
    cases: list[Iterable[tarfile.TarInfo]] = [
        [info("../escaped")],
        [info(f"{up}/escaped")],
        [info(f"{outside}/escaped")],
        [info("l", tarfile.SYMTYPE, str(outside)), info("l/escaped")],
        [info("l", tarfile.SYMTYPE, up), info("l/escaped"), info("l/victim")],
        [info("h", tarfile.LNKTYPE, f"{outside}/victim"), info("h")],
        [info("h", tarfile.LNKTYPE, "../" * 9 + "etc/passwd")],
        [info("l", tarfile.SYMTYPE, str(outside)), info("h", tarfile.LNKTYPE, "l/victim")],
        [info("l", tarfile.SYMTYPE, "/proc/1/root"), info("l/escaped")],
        [info("l", tarfile.SYMTYPE, "/proc/self/fd/3"), info("l/escaped")],
    ]  # fmt: skip
    sleeper = await bench.start_sleeper() if running else None
    with contextlib.suppress(BiremeError):
        await unpack(bench, "/tmp", archive(*cases[case]))
    if sleeper is not None:
        await bench.end(sleeper)
    assert os.listdir(outside) == ["victim"]
    assert (outside / "victim").read_text() == "safe"
    assert (outside / "victim").stat().st_nlink == 1
    assert all("/upper/" in found for found in _find(tmp_path, "escaped"))


def _find(base: Path, name: str) -> list[str]:
    return [str(path) for path in base.rglob(name)]


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE])
async def test_unpack_makes_no_device(bench: Bench, kind: bytes) -> None:
    with pytest.raises(InvalidConfig, match="something else than files, links and pipes: dev"):
        await unpack(bench, "/tmp", archive(info("dev", kind)))
    assert not (bench.root / "containers/c0/upper/tmp/dev").exists()


async def test_unpack_sets_no_attribute_of_the_kernels(bench: Bench) -> None:
    entry = info("x")
    names = ("trusted.overlay.opaque", "security.ima", "user.fine")
    entry.pax_headers = {f"SCHILY.xattr.{name}": "y" for name in names}
    await unpack(bench, "/tmp", archive(entry))
    assert os.listxattr(bench.root / "containers/c0/upper/tmp/x") == ["user.fine"]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x01" * 2000, "the archive cannot be read"),
        (archive(info("a/../../x")), "leads out of the directory"),
        (archive(info("h", tarfile.LNKTYPE, "../x")), "leads out of the directory"),
        (b"short", "the archive cannot be read"),
        (archive((info("x"), b"y" * 5000))[:2000], "the archive cannot be read"),
        (archive(info("a"), info("a/b")), "lies below something else than a directory"),
        (archive(info("a", tarfile.SYMTYPE, "nowhere"), info("a/b")), "lies below a link to nowhere"),
        (archive(info("h", tarfile.LNKTYPE, "gone")), "hard link h points to nothing"),
    ],
)
async def test_what_cannot_be_unpacked(bench: Bench, data: bytes, text: str) -> None:
    with pytest.raises(BiremeError, match=text):
        await unpack(bench, "/tmp", data)


async def test_a_header_that_claims_too_much(bench: Bench) -> None:
    """An extended header of four gigabytes is not read into memory."""
    bomb = info("pax", tarfile.XHDTYPE)
    bomb.size = 4 << 30
    with pytest.raises(InvalidConfig, match="the archive cannot be read"):
        await unpack(bench, "/tmp", bomb.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20))


async def test_copy_keeps_everything(bench: Bench) -> None:
    fill(bench.layers / "base/data")
    target = _target(bench)
    request = bench.archive_request("copy", "/data", root=bench.image_request(), target="volumes/new")
    found = await bench.launcher.archive(request)
    expected = describe(bench.layers / "base/data")
    assert found == {"found": True, "entries": len(expected) - 1}
    assert describe(target) == expected
    assert (target / "sparse").stat().st_blocks * 512 < 1 << 20
    assert (target / "file").stat().st_ino == (target / "twin").stat().st_ino


def _target(bench: Bench) -> Path:
    path = bench.root / "volumes/new"
    path.mkdir(parents=True)
    return path


async def test_copy_follows_links_inside_the_image_only(bench: Bench, tmp_path: Path) -> None:
    base = bench.layers / "base"
    (base / "real/deep").mkdir(parents=True)
    (base / "real/deep/x").touch()
    (base / "way").symlink_to("/real")
    (base / "out").symlink_to(tmp_path)
    target = _target(bench)
    for path, found in (("/way/deep", True), ("/out", False), ("/none", False), ("/etc/passwd/x", None)):
        request = bench.archive_request("copy", path, root=bench.image_request(), target=str(target))
        if found is None:
            with pytest.raises(InvalidConfig, match="cannot mount volume over existing file"):
                await bench.launcher.archive(request)
        else:
            assert (await bench.launcher.archive(request))["found"] is found
    assert os.listdir(target) == ["x"]


async def test_copy_from_several_layers(bench: Bench) -> None:
    """What a higher layer has removed is not there."""
    (bench.layers / "base/data").mkdir()
    (bench.layers / "base/data/gone").touch()
    (bench.layers / "top/data").mkdir(parents=True)
    os.mknod(bench.layers / "top/data/gone", stat.S_IFCHR, 0)
    (bench.layers / "top/data/new").touch()
    root = bench.image_request()
    root["layers"] = ["base", "top"]
    target = _target(bench)
    await bench.launcher.archive(bench.archive_request("copy", "/data", root=root, target="volumes/new"))
    assert os.listdir(target) == ["new"]


async def test_copy_at_a_file(bench: Bench) -> None:
    _target(bench)
    request = bench.archive_request("copy", "/etc/passwd", root=bench.image_request(), target="volumes/new")
    with pytest.raises(InvalidConfig, match="cannot mount volume over existing file, file exists /etc/passwd"):
        await bench.launcher.archive(request)


async def test_copy_makes_a_working_directory_first(bench: Bench) -> None:
    """Never outside of the root, and a file in its way is left for the start to tell of."""
    (bench.layers / "base/data").mkdir()
    (bench.layers / "base/data/out").symlink_to("../../../..")
    (bench.layers / "base/data/file").touch()
    target = _target(bench)
    root = bench.start_request("true")["root"]
    for working_dir in ("/data/out/made", "/data/file", "/data/sub/deep"):
        for entry in target.iterdir():
            entry.unlink() if not entry.is_dir() or entry.is_symlink() else shutil.rmtree(entry)
        request = bench.archive_request("copy", "/data", root=root, target="volumes/new")
        request["working_dir"] = working_dir
        assert (await bench.launcher.archive(request))["found"]
    assert sorted(os.listdir(target)) == ["file", "out", "sub"]
    assert [path.stat().st_mode & 0o777 for path in (target / "sub", target / "sub/deep")] == [0o755] * 2


COPIES_UP = "for name in one two; do mv /data/$name /data/$name.new && echo x >> /data/file || exit 9; done"
"""Changes to lower layers: each needs overlay's work directory."""


def _fill_lower_layer(bench: Bench) -> None:
    (bench.layers / "base/data").mkdir()
    for name in ("one", "two", "file"):
        (bench.layers / "base/data" / name).touch()


async def test_reading_leaves_a_starting_container_its_work_directory(bench: Bench) -> None:
    """A fresh view of a container that does not run yet may be there while that starts."""
    _fill_lower_layer(bench)
    request = bench.start_request("sh", "-c", "read line; " + COPIES_UP)
    request["process"]["stdin"] = True
    running = await bench.launcher.start(request)
    late = bench.archive_request("stat", "/data/file", root=request["root"])
    late["container"] = ""  # as one that was asked for before the start: in a view of its own
    await bench.launcher.archive(late)
    assert running.stdin is not None
    await running.stdin.send_all(b"go\n")
    assert (await running.wait())["code"] == 0


async def test_a_start_waits_for_what_is_unpacked_into_the_container(bench: Bench) -> None:
    _fill_lower_layer(bench)
    request = bench.start_request("sh", "-c", "test -e /data/late && " + COPIES_UP)
    reading, writing = os.pipe()
    asked = bench.archive_request("unpack", "/data", root=request["root"])
    order: list[str] = []

    async def unpack() -> None:
        await bench.launcher.archive(asked, [reading])
        order.append("unpacked")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(unpack)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(_start_and_wait, bench, request, order)
        await trio.testing.wait_all_tasks_blocked()
        assert bench.launcher.statistics()["asks"] == 1
        os.close(reading)
        os.write(writing, _archive_of("late"))
        os.close(writing)
    assert order == ["unpacked", "exit 0"]


async def _start_and_wait(bench: Bench, request: StartRequest, order: list[str]) -> None:
    running = await bench.launcher.start(request)
    order.append(f"exit {(await running.wait())['code']}")


def _archive_of(name: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()
