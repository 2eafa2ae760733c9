"""The embedded busybox: complete, the same every time, made once."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from bireme.images import ImageStore, default
from bireme_actors import ImageNotFound, MissingRequirement
from tests.runtime.images.archives import Source, file, leftovers, root_of, saved, tar

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not os.path.exists(default.BINARY), reason="busybox-static is not installed"),
]


async def test_it_is_made_on_first_use_under_any_of_its_names(store: ImageStore) -> None:
    with pytest.raises(ImageNotFound):
        store.get("busybox")
    image = await store.resolve("docker.io/library/busybox")
    assert image == store.get("busybox") == await store.resolve("busybox:latest")
    assert image.references == ("busybox:latest",)
    assert image.config.cmd == ("sh",)
    assert image.config.env == ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)
    with pytest.raises(ImageNotFound, match="No such image: busybox:1"):
        await store.resolve("busybox:1")


async def test_every_applet_is_there(store: ImageStore, images_directory: Path) -> None:
    await store.resolve("busybox")
    root = root_of(store, images_directory, "busybox")
    listed = await trio.run_process([default.BINARY, "--list-full"], capture_stdout=True)
    program = (root / "bin/busybox").stat()
    assert stat.S_IMODE(program.st_mode) == 0o755
    for name in set(listed.stdout.decode().split()) - {"linuxrc"}:
        assert (root / name).stat().st_ino == program.st_ino
    shell = await trio.run_process(["chroot", str(root), "/bin/sh", "-c", "echo $((6*7)); id -un"], capture_stdout=True)
    assert shell.stdout == b"42\nroot\n"


async def test_its_directories_and_files(store: ImageStore, images_directory: Path) -> None:
    await store.resolve("busybox")
    root = root_of(store, images_directory, "busybox")
    modes = {"tmp": 0o1777, "var/tmp": 0o1777, "root": 0o700, "home": 0o755, "etc/passwd": 0o644, "etc/shadow": 0o640}
    for name, mode in modes.items():
        assert stat.S_IMODE((root / name).stat().st_mode) == mode
    users = [line.split(":")[0] for line in (root / "etc/passwd").read_text().splitlines()]
    groups = [line.split(":")[0] for line in (root / "etc/group").read_text().splitlines()]
    assert {"root", "daemon", "nobody"} <= set(users)
    assert {"root", "users", "nogroup"} <= set(groups)


async def test_it_is_the_same_in_every_store(store: ImageStore, tmp_path: Path) -> None:
    other = ImageStore(str(tmp_path / "other"))
    one, two = await store.resolve("busybox"), await other.resolve("busybox")
    assert one.id == two.id
    assert await saved(store, "busybox") == await saved(other, "busybox")


async def test_it_is_made_once_for_any_number_of_callers(store: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    make = default._archive

    def counted() -> tuple[bytes, int]:
        made.append(1)
        return make()

    monkeypatch.setattr(default, "_archive", counted)
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(store.resolve, "busybox")
    assert len(made) == 1


async def test_a_cancelled_maker_leaves_it_to_the_next(store: ImageStore, images_directory: Path) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.ensure_default()
    assert scope.cancelled_caught
    assert leftovers(images_directory) == []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.ensure_default)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    await store.ensure_default()
    assert store.get("busybox").references == ("busybox:latest",)


async def test_an_image_of_that_name_is_left_alone(store: ImageStore) -> None:
    mine = await store.import_(Source(tar(file("x"))), reference="busybox")
    await store.ensure_default()
    assert (await store.resolve("busybox")).id == mine.id


async def test_removed_it_comes_back(store: ImageStore) -> None:
    image = await store.resolve("busybox")
    await store.remove("busybox", force=False, used_by={})
    assert (await store.resolve("busybox")).id == image.id


@pytest.mark.parametrize(
    ("program", "message"),
    [(None, "cannot be read"), ("/bin/bash", "not a statically linked"), ("/etc/passwd", "not a statically linked")],
)
async def test_without_a_static_busybox_the_package_is_named(
    store: ImageStore, images_directory: Path, monkeypatch: pytest.MonkeyPatch, program: str | None, message: str
) -> None:
    monkeypatch.setattr(default, "BINARY", program or str(images_directory / "nothing"))
    with pytest.raises(MissingRequirement, match=f"{message}.*install busybox-static"):
        await store.resolve("busybox")
    assert leftovers(images_directory) == []


async def test_a_busybox_that_does_not_run_is_told(
    store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "busybox"
    broken.write_bytes(b"\x7fELF\x02\x01\x01".ljust(128, b"\0"))
    broken.chmod(0o755)
    monkeypatch.setattr(default, "BINARY", str(broken))
    with pytest.raises(MissingRequirement, match=r"does not run.*install busybox-static"):
        await store.resolve("busybox")
