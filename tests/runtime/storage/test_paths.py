"""Where things are, and who may open a root."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bireme import _syscalls as sys_
from bireme.storage import Layout, open_root
from bireme_actors import Conflict, ContainerId, StorageError, VolumeId

CONTAINER, VOLUME = ContainerId("c" * 64), VolumeId("d" * 64)


def test_every_path_lies_below_the_root_and_is_the_same_seen_from_it() -> None:
    layout = Layout("/r")
    for name in ("config", "state", "exit", "log", "upper", "work", "hostname", "hosts", "resolv_conf"):
        absolute = getattr(layout, name)(CONTAINER)
        assert absolute.startswith(f"/r/containers/{CONTAINER}/")
        assert absolute == f"/r/{getattr(layout.relative, name)(CONTAINER)}"
    assert layout.volume(VOLUME) == f"/r/volumes/{VOLUME}"
    assert layout.relative.layers == "images/layers"
    assert layout.volume_trash(VOLUME) != layout.volume_trash(VOLUME)


def test_opening_makes_what_is_missing_and_keeps_what_is_there(tmp_path: Path) -> None:
    root = tmp_path / "a" / "b"
    with open_root(root) as layout:
        (Path(layout.volumes) / "mine").mkdir()
        modes = {name: stat.S_IMODE(os.stat(path).st_mode) for name, path in (("", root), ("images", layout.images))}
        assert modes == {"": 0o711, "images": 0o700}
        os.chmod(layout.images, 0o750)
    with open_root(root) as layout:
        assert (Path(layout.volumes) / "mine").is_dir()
        assert stat.S_IMODE(os.stat(layout.images).st_mode) == 0o750
        assert sorted(os.listdir(layout.containers)) == [".trash"]


def test_the_root_is_free_of_links(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with open_root(tmp_path / "link") as layout:
        assert layout.root == str(tmp_path.resolve() / "real")


def test_a_root_in_use_is_refused_by_name_until_it_is_closed(tmp_path: Path) -> None:
    with open_root(tmp_path), pytest.raises(Conflict, match=f"root {tmp_path} is in use by another engine.*--root"):
        open_root(tmp_path)
    open_root(tmp_path).close()


def test_the_lock_ends_with_its_process_by_any_means(tmp_path: Path) -> None:
    script = "import sys, os, signal; from bireme.storage import open_root; open_root(sys.argv[1]); print(flush=True);"
    script += "signal.pause()"
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(Conflict):
            open_root(tmp_path)
        holder.kill()
    open_root(tmp_path).close()


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=f"cannot use root {tmp_path}/file/root: Not a directory.*BIREME_ROOT"):
        open_root(tmp_path / "file" / "root")


@pytest.mark.root
def test_a_file_system_that_takes_no_writing_is_named() -> None:
    with pytest.raises(StorageError, match="cannot use root /proc/bireme: No such file or directory"):
        open_root("/proc/bireme")
    assert not os.path.exists("/proc/bireme")


def test_a_file_system_without_whiteouts_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, target: str, flags: int) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(sys_, "renameat2", refuse)
    with pytest.raises(StorageError, match=r"is on \w+, which lacks whiteouts.*ext4, xfs, btrfs or tmpfs"):
        open_root(tmp_path)
    monkeypatch.undo()
    with open_root(tmp_path) as layout:
        assert os.listdir(layout.containers) == [".trash"]


def test_a_file_system_without_attributes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, name: str, value: bytes) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "setxattr", refuse)
    with pytest.raises(StorageError, match="lacks extended attributes"):
        open_root(tmp_path)


_ON_OVERLAY = """
import sys
from bireme import _syscalls as sys_
from bireme.storage import open_root
from bireme_actors import StorageError
base = sys.argv[1]
sys_.unshare(sys_.CLONE_NEWNS)
sys_.mount(None, "/", None, sys_.MS_REC | sys_.MS_PRIVATE)
options = f"lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work"
sys_.mount("overlay", f"{base}/merged", "overlay", 0, options)
try:
    open_root(f"{base}/merged/root")
except StorageError as error:
    print(error)
"""


@pytest.mark.root
def test_a_root_on_an_overlay_is_refused(tmp_path: Path) -> None:
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    command = [sys.executable, "-c", _ON_OVERLAY, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"root {tmp_path}/merged/root is on overlay, which lacks" in done.stdout
    assert "choose a root on ext4, xfs, btrfs or tmpfs with --root or BIREME_ROOT" in done.stdout


def test_many_openings_leave_no_descriptor(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        open_root(tmp_path).close()
        with open_root(tmp_path), pytest.raises(Conflict):
            open_root(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before
