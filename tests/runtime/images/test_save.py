"""Saving: what comes out loads here and elsewhere as the same image, and is always the same."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from contextlib import aclosing
from pathlib import Path

import pytest
import trio

from bireme.images import ImageStore
from bireme_actors import ImageNotFound, InvalidConfig, StorageError
from tests.runtime.images.archives import (
    OciLayout,
    Source,
    directory,
    docker_archive,
    file,
    hard_link,
    leftovers,
    named,
    root_of,
    saved,
    sha256,
    symlink,
    tar,
)

ONE = tar(directory("d"), file("d/one", b"1" * 3000), hard_link("h", "d/one"), symlink("s", "h"), file("e"))
TWO = tar(file("two", b"2" * 2000), file("d/.wh.one"), file("two", b"replaced"), kind=tarfile.GNU_FORMAT)


@pytest.fixture
def other(tmp_path: Path) -> ImageStore:
    """Another store."""
    return ImageStore(str(tmp_path / "other"))


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {m.name: archive.extractfile(m).read() for m in archive if m.isfile()}  # type: ignore[union-attr]  # files have content


@pytest.mark.root
async def test_an_image_is_the_same_after_save_and_load(store: ImageStore, other: ImageStore) -> None:
    ((_, image),) = await store.load(Source(docker_archive([ONE, TWO], ["a:1"], Cmd=["sh"], Shell=["x"])))
    data = await saved(store, "a:1")
    ((name, again),) = await other.load(Source(data))
    assert (name, again.id, again.diff_ids) == ("a:1", image.id, image.diff_ids)
    assert again.document == image.document
    assert await saved(other, "a:1") == data


async def test_an_imported_image_is_the_same_after_save_and_load(store: ImageStore, other: ImageStore) -> None:
    image = await store.import_(Source(ONE), reference="a:1", changes=["ENV A=b"])
    ((_, again),) = await other.load(Source(await saved(store, image.id)))
    assert (again.id, again.references) == (image.id, ())


async def test_the_archive_is_both_docker_s_and_an_oci_layout(store: ImageStore) -> None:
    image = await store.import_(Source(ONE), reference="a:1")
    await store.tag("a:1", "r.io:5000/x/b:2")
    found = members(await saved(store, "a:1", "r.io:5000/x/b:2"))
    (docker,) = json.loads(found["manifest.json"])
    assert docker["RepoTags"] == ["a:1", "r.io:5000/x/b:2"]
    assert sha256(found[docker["Config"]]) == image.id
    assert [sha256(found[layer]) for layer in docker["Layers"]] == list(image.diff_ids)
    assert json.loads(found["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads(found["index.json"])
    names = [entry["annotations"]["io.containerd.image.name"] for entry in index["manifests"]]
    assert names == ["docker.io/library/a:1", "r.io:5000/x/b:2"]
    blobs = {name.rpartition("/")[2]: data for name, data in found.items() if name.startswith("blobs/")}
    assert all(sha256(data) == f"sha256:{name}" for name, data in blobs.items())
    manifest = json.loads(blobs[index["manifests"][0]["digest"][7:]])
    for descriptor in (index["manifests"][0], manifest["config"], *manifest["layers"]):
        assert len(blobs[descriptor["digest"][7:]]) == descriptor["size"]


async def test_the_oci_half_alone_loads_too(store: ImageStore, other: ImageStore) -> None:
    image = await store.import_(Source(ONE), reference="a:1")
    found = members(await saved(store, "a:1"))
    del found["manifest.json"]
    ((name, again),) = await other.load(Source(tar(*(file(name, data) for name, data in found.items()))))
    assert (name, again.id) == ("a:1", image.id)


async def test_several_images_share_their_layers_in_the_archive(store: ImageStore, other: ImageStore) -> None:
    await store.load(Source(docker_archive([ONE, tar(file("x"))], ["a:1"])))
    await store.load(Source(docker_archive([ONE, tar(file("y"))], ["b:1"])))
    await store.tag("a:1", "a:2")
    data = await saved(store, "b:1", "a", store.get("a:1").id)
    assert len([name for name in members(data) if name.startswith("blobs/")]) == 3 + 2 + 2
    assert [name for name, _ in await other.load(Source(data))] == ["b:1", "a:1", "a:2"]
    assert await saved(store, "b:1", "a") == data


async def test_what_is_not_here_is_told_before_anything_is_sent(store: ImageStore) -> None:
    await store.import_(Source(ONE), reference="a:1")
    with pytest.raises(ImageNotFound, match="No such image: b:latest"):
        store.save(["a:1", "b"])
    with pytest.raises(InvalidConfig):
        store.save(["Bad"])


async def test_a_layer_that_was_changed_is_found_out(store: ImageStore, images_directory: Path) -> None:
    await store.import_(Source(ONE), reference="a:1")
    (root_of(store, images_directory, "a:1") / "d/one").write_bytes(b"9" * 3000)
    with pytest.raises(StorageError, match="has been changed"):
        await saved(store, "a:1")


async def test_an_image_stays_while_it_is_saved(store: ImageStore, images_directory: Path, other: ImageStore) -> None:
    image = await store.import_(Source(tar(file("big", b"x" * (3 << 20)))), reference="a:1")
    pieces = []
    async with aclosing(store.save(["a:1"])) as source:
        pieces.append(await anext(source))
        await store.remove("a:1", force=False, used_by={})
        pieces += [piece async for piece in source]
    ((_, again),) = await other.load(Source(b"".join(pieces)))
    assert again.id == image.id
    assert leftovers(images_directory) == []


async def test_a_save_that_is_given_up_leaves_nothing(store: ImageStore, images_directory: Path) -> None:
    await store.import_(Source(tar(file("big", b"x" * (3 << 20)))), reference="a:1")
    with trio.CancelScope() as scope:
        async with aclosing(store.save(["a:1"])) as source:
            async for _ in source:
                scope.cancel()
    assert scope.cancelled_caught
    await store.remove("a:1", force=False, used_by={})
    assert leftovers(images_directory) == []


def test_the_tar_program_reads_it(tmp_path: Path) -> None:
    async def make() -> bytes:
        store = ImageStore(str(tmp_path / "images"))
        layout = OciLayout()
        await store.load(Source(layout.archive(named(layout.image([ONE]), "a:1"))))
        return await saved(store, "a:1")

    listed = subprocess.run(["tar", "-tf", "-"], input=trio.run(make), check=True, capture_output=True).stdout
    assert listed.splitlines()[:3] == [b"oci-layout", b"index.json", b"manifest.json"]
