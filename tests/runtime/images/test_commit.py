"""``commit``: one more layer on an image's own, and the configuration of who wrote it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bireme.images import Commit, ImageConfig, ImageStore
from bireme_actors import ImageNotFound, InvalidConfig
from tests.runtime.images.archives import Source, directory, everything_below, file, sha256, tar

BASE = tar(directory("etc"), file("etc/one", b"1"))
LAYER = tar(file("etc/two", b"22"), file("etc/.wh.one", b""))
CONFIG = ImageConfig(
    env=("A=1", "B=1"),
    cmd=("sh",),
    working_dir="/w",
    labels={"l": "1", "m": "1"},
    volumes=("/v",),
    exposed_ports=("80/tcp",),
)
CHANGES = ("ENV B=2", 'CMD ["cat"]', "LABEL l=2", "EXPOSE 81/udp", "VOLUME /w", "USER me")


async def based(store: ImageStore) -> str:
    return (await store.import_(Source(BASE), reference="base:1", message="from outside")).id


async def test_a_layer_on_top_and_its_history(store: ImageStore, images_directory: Path) -> None:
    base = await based(store)
    commit = Commit(base=base, config=CONFIG, reference="own:1", changes=CHANGES, message="note", author="me")
    image = await store.commit(Source(LAYER), commit)
    assert image.diff_ids == (sha256(BASE), sha256(LAYER))
    assert (image.references, image.comment, image.author) == (("own:1",), "note", "me")
    assert image.document["parent"] == base
    assert [(entry.comment, entry.size) for entry in image.history] == [("from outside", 1), ("note", 2)]
    top = images_directory / "layers" / store.layers(image.id)[-1]
    assert (top / "etc/two").read_bytes() == b"22"
    assert not (top / "etc/one").is_file()
    assert image.layers[0] == store.get(base).layers[0]


async def test_changes_are_put_over_the_configuration(store: ImageStore) -> None:
    image = await store.commit(Source(LAYER), Commit(base=await based(store), config=CONFIG, changes=CHANGES))
    config = image.config
    assert (config.env, config.cmd, config.user) == (("A=1", "B=2"), ("cat",), "me")
    assert (config.working_dir, config.volumes) == ("/w", ("/v", "/w"))
    assert (config.labels, config.exposed_ports) == ({"l": "2", "m": "1"}, ("80/tcp", "81/udp"))


async def test_the_layers_stay_when_the_image_below_goes(store: ImageStore, images_directory: Path) -> None:
    base = await based(store)
    image = await store.commit(Source(LAYER), Commit(base=base, config=CONFIG, reference="own"))
    await store.remove("base:1", force=False, used_by={})
    for layer in store.layers(image.id):
        assert (images_directory / "layers" / layer).is_dir()


async def test_what_cannot_be_committed_leaves_nothing(store: ImageStore, images_directory: Path) -> None:
    base = await based(store)
    before = everything_below(images_directory)
    with pytest.raises(ImageNotFound):
        await store.commit(Source(LAYER), Commit(base=f"sha256:{'0' * 64}", config=CONFIG))
    for commit in (
        Commit(base=base, config=CONFIG, reference="BAD"),
        Commit(base=base, config=CONFIG, changes=["RUN x"]),
        Commit(base=base, config=CONFIG, message="\0"),
    ):
        with pytest.raises(InvalidConfig):
            await store.commit(Source(LAYER), commit)
    with pytest.raises(InvalidConfig):
        await store.commit(Source(b"no archive" * 100), Commit(base=base, config=CONFIG))
    assert everything_below(images_directory) == before
