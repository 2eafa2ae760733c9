"""Loading: the three layouts, what is chosen of several platforms, and what is refused."""

from __future__ import annotations

import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from bireme.images import ImageStore
from bireme.images._config import host_platform, read_config
from bireme_actors import BiremeError, InvalidConfig
from tests.runtime.images.archives import (
    OciLayout,
    Source,
    docker_archive,
    file,
    image_config,
    leftovers,
    named,
    root_of,
    sha256,
    symlink,
    tar,
)

ONE, TWO = tar(file("one", b"1" * 1000)), tar(file("two", b"2" * 2000), file(".wh.one"))
ARCH, _ = host_platform()
OTHER = "s390x" if ARCH != "s390x" else "amd64"
PLATFORM = {"architecture": ARCH, "os": "linux"}
FOREIGN = {"architecture": OTHER, "os": "linux"}
UNKNOWN = {"architecture": "unknown", "os": "unknown"}

root = pytest.mark.root


async def load(store: ImageStore, data: bytes) -> list[str]:
    """Load; the names that were given."""
    return [name for name, _ in await store.load(Source(data))]


@root
@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress], ids=["plain", "gzip", "xz"])
async def test_a_docker_archive(store: ImageStore, images_directory: Path, pack: Callable[[bytes], bytes]) -> None:
    assert await load(store, pack(docker_archive([ONE, TWO], ["a/b:1", "c:2"], Cmd=["sh"]))) == ["a/b:1", "c:2"]
    image = store.get("c:2")
    assert image.id == sha256(image_config(ONE, TWO, Cmd=["sh"]))
    assert image.config.cmd == ("sh",)
    assert (root_of(store, images_directory, "c:2", 0) / "one").read_bytes() == b"1" * 1000
    assert (root_of(store, images_directory, "c:2", 1) / "two").read_bytes() == b"2" * 2000
    assert (root_of(store, images_directory, "c:2", 1) / "one").is_char_device()


@root
@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress], ids=["plain", "gzip", "zstd"])
async def test_an_oci_layout_of_two_layers(
    store: ImageStore, images_directory: Path, pack: Callable[[bytes], bytes]
) -> None:
    layout = OciLayout()
    manifest = layout.image([ONE, TWO], pack=pack, Cmd=["sh"])
    assert await load(store, layout.archive(named(manifest, "docker.io/library/a:1"))) == ["a:1"]
    image = store.get("a:1")
    assert image.id == sha256(image_config(ONE, TWO, Cmd=["sh"]))
    assert image.diff_ids == (sha256(ONE), sha256(TWO))
    assert (root_of(store, images_directory, "a:1", 1) / "one").is_char_device()


async def test_of_several_platforms_this_machine_s_is_chosen(store: ImageStore) -> None:
    layout = OciLayout()
    mine = {**layout.image([ONE], Cmd=["mine"]), "platform": PLATFORM}
    foreign = {**layout.image([ONE], Cmd=["foreign"]), "platform": FOREIGN}
    proof = {**layout.image([ONE], Cmd=["proof"]), "platform": UNKNOWN}
    proof["annotations"] = {"vnd.docker.reference.type": "attestation-manifest"}
    index = layout.index(layout.index(foreign, mine, proof))
    assert await load(store, layout.archive(named(index, "r.io/a:1"))) == ["r.io/a:1"]
    assert store.get("r.io/a:1").config.cmd == ("mine",)


async def test_a_platform_whose_blob_is_not_there_is_passed_over(store: ImageStore) -> None:
    layout = OciLayout()
    absent = {**layout.image([TWO], Cmd=["absent"]), "platform": PLATFORM}
    del layout.blobs[str(absent["digest"])]
    plain = layout.image([ONE], Cmd=["plain"])
    await load(store, layout.archive(named(layout.index(absent, plain), "a:1")))
    assert store.get("a:1").config.cmd == ("plain",)


async def test_an_index_may_have_several_images_and_images_several_names(store: ImageStore) -> None:
    layout = OciLayout()
    one, two, third = (layout.image([ONE], Cmd=[word]) for word in ("one", "two", "third"))
    by_tag = {**third, "annotations": {"org.opencontainers.image.ref.name": "latest"}}
    by_ref = {**two, "annotations": {"org.opencontainers.image.ref.name": "x/two:2"}}
    data = layout.archive(named(one, "docker.io/library/a:1"), named(one, "docker.io/library/b:1"), by_ref, by_tag)
    assert await load(store, data) == ["a:1", "b:1", "x/two:2", sha256(image_config(ONE, Cmd=["third"]))]
    assert store.get("a:1").references == ("a:1", "b:1")


async def test_a_foreign_image_is_refused_and_says_for_what_it_is(store: ImageStore) -> None:
    layout = OciLayout()
    index = layout.index({**layout.image([ONE]), "platform": FOREIGN})
    with pytest.raises(InvalidConfig, match=f"no image for linux/{ARCH}, only for linux/{OTHER}"):
        await load(store, layout.archive(named(index, "a:1")))


async def test_an_old_archive_that_links_the_layers_that_images_share(store: ImageStore) -> None:
    raw = image_config(ONE)
    manifest = [{"Config": "c.json", "RepoTags": ["a:1"], "Layers": ["two/layer.tar"]}]
    data = tar(
        file("one/layer.tar", ONE),
        symlink("two/layer.tar", "../one/layer.tar"),
        file("c.json", raw),
        file("manifest.json", json.dumps(manifest).encode()),
    )
    assert await load(store, data) == ["a:1"]
    assert store.get("a:1").diff_ids == (sha256(ONE),)


def very_old_archive(*, parent: str = "") -> bytes:
    ids = ["1" * 64, "2" * 64]
    documents = [
        {"id": ids[0], "created": "2014-01-01T00:00:00Z", "container_config": {"Cmd": ["/bin/sh", "-c", "ADD x"]}},
        {"id": ids[1], "parent": parent or ids[0], "created": "2014-01-02T00:00:00Z", "comment": "top", "os": "linux",
         "config": {"Cmd": ["sh"]}, "architecture": "amd64", "Size": 5},
    ]  # fmt: skip
    members = [file("repositories", json.dumps({"old/image": {"1": ids[1], "2": ids[1]}}).encode())]
    for identifier, document, layer in zip(ids, documents, [ONE, TWO], strict=True):
        members += [file(f"{identifier}/VERSION", b"1.0"), file(f"{identifier}/json", json.dumps(document).encode())]
        members.append(file(f"{identifier}/layer.tar", layer))
    return tar(*members)


@root
async def test_a_very_old_archive(store: ImageStore) -> None:
    assert await load(store, very_old_archive()) == ["old/image:1", "old/image:2"]
    image = store.get("old/image:2")
    assert (image.config.cmd, image.diff_ids, image.comment) == (("sh",), (sha256(ONE), sha256(TWO)), "top")
    assert [(step.created_by, step.size) for step in image.history] == [("/bin/sh -c ADD x", 1000), ("", 2000)]
    assert not {"id", "parent", "Size"} & set(image.document)


async def test_a_very_old_archive_whose_parents_go_in_circles(store: ImageStore) -> None:
    with pytest.raises(InvalidConfig, match="parent"):
        await load(store, very_old_archive(parent="2" * 64))


def docker_members(**fields: Any) -> bytes:
    manifest = {"Config": "c.json", "RepoTags": ["a:1"], "Layers": ["l.tar"], **fields}
    members = [file("c.json", image_config(ONE)), file("l.tar", ONE), file("two.tar", TWO)]
    return tar(*members, file("manifest.json", json.dumps([manifest]).encode()))


def oci_members(change: Callable[[OciLayout, dict[str, object]], Any]) -> bytes:
    layout = OciLayout()
    manifest = layout.image([ONE])
    return layout.archive(change(layout, manifest) or manifest)


def _deep(layout: OciLayout, manifest: dict[str, object]) -> dict[str, object]:
    for _ in range(8):
        manifest = layout.index(manifest)
    return manifest


def _spoil(layout: OciLayout, place: int) -> None:
    digest = list(layout.blobs)[place]
    layout.blobs[digest] = layout.blobs[digest].replace(b"e", b"E", 1) + b" "


def _wrong_layer(layout: OciLayout, manifest: dict[str, object]) -> None:
    digest = next(digest for digest, data in layout.blobs.items() if data[:2] == b"\x1f\x8b")
    layout.blobs[digest] = gzip.compress(TWO)


REFUSED: dict[str, tuple[bytes, str]] = {
    "a root file system": (ONE, "holds no image .*use import"),
    "nothing": (b"", "holds no image"),
    "no image in the list": (tar(file("manifest.json", b"[]")), "list of images is empty"),
    "too many images": (tar(file("manifest.json", json.dumps([{"Config": "c"}] * 257).encode())), "257 images"),
    "no JSON": (tar(file("manifest.json", b"[{")), "manifest.json is invalid"),
    "another shape": (tar(file("manifest.json", b'[{"Config":1}]')), "manifest.json is invalid"),
    "a missing configuration": (docker_members(Config="x.json"), "has no 'x.json'"),
    "a configuration outside": (docker_members(Config="../../../etc/passwd"), "has no '../../../etc/passwd'"),
    "a missing layer": (docker_members(Layers=["x.tar"]), "has no 'x.tar'"),
    "a layer too many": (docker_members(Layers=["l.tar", "l.tar"]), "length mismatch: expected 1, got 2"),
    "another layer": (docker_members(Layers=["two.tar"]), "invalid diffID"),
    "no layer": (docker_members(Layers=["c.json"]), "damaged"),
    "a bad name": (docker_members(RepoTags=["Bad:1"]), "must be lowercase"),
    "a name without a tag": (docker_members(RepoTags=["a"]), "invalid tag 'a'"),
    "a link in circles": (tar(symlink("manifest.json", "x"), symlink("x", "manifest.json")), "holds no image"),
    "a spoilt configuration": (oci_members(lambda layout, _: _spoil(layout, 0)), "another digest"),
    "a spoilt layer": (oci_members(lambda layout, _: _spoil(layout, 1)), "damaged"),
    "another layer's blob": (oci_members(_wrong_layer), "another digest|invalid diffID"),
    "a spoilt manifest": (oci_members(lambda layout, _: _spoil(layout, 2)), "another digest"),
    "indexes without end": (oci_members(_deep), "nest too deeply"),
    "an index of nothing": (oci_members(lambda layout, _: layout.index()), "no image for"),
    "a digest that is a path": (
        oci_members(lambda layout, manifest: {**manifest, "digest": "sha256:../../../../etc/passwd"}),
        "not a SHA-256 digest",
    ),
    "something else": (
        oci_members(lambda layout, _: layout.add(b'{"config":{"mediaType":"x/y","digest":"z","size":1}}')),
        "holds no image: its configuration is 'x/y'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_it_refuses(store: ImageStore, images_directory: Path, name: str) -> None:
    data, message = REFUSED[name]
    with pytest.raises(InvalidConfig, match=message) as caught:
        await load(store, data)
    assert "\n" not in str(caught.value)
    assert leftovers(images_directory) == []


async def test_of_several_images_all_or_none_come(store: ImageStore, images_directory: Path) -> None:
    layout = OciLayout()
    good, bad = layout.image([ONE]), layout.image([TWO], Cmd=["bad"])
    config = next(digest for digest, data in layout.blobs.items() if b"bad" in data)
    layout.blobs[config] += b" "
    with pytest.raises(BiremeError):
        await load(store, layout.archive(named(good, "good:1"), named(bad, "bad:1")))
    assert leftovers(images_directory) == []


async def test_a_layer_that_is_here_already_is_not_unpacked_again(store: ImageStore, images_directory: Path) -> None:
    await load(store, docker_archive([ONE]))
    marked = root_of(store, images_directory, "test:1")
    before = marked.stat().st_ino
    await load(store, docker_archive([ONE], ["other:1"], Cmd=["x"]))
    assert root_of(store, images_directory, "other:1").stat().st_ino == before


async def test_a_name_that_moves_is_told(store: ImageStore) -> None:
    told: list[str] = []
    await load(store, docker_archive([ONE]))
    before = store.get("test:1").id
    await store.load(Source(docker_archive([ONE], Cmd=["x"])), progress=lambda event: told.append(event.status))
    assert f"The image test:1 already exists, renaming the old one with ID {before} to empty string" in told
    assert store.get(before).references == ()


def test_the_configuration_of_a_very_old_archive_can_be_read() -> None:
    from bireme.images._legacy import legacy_config

    raw = legacy_config([b'{"id":"1","os":"linux","config":{"Cmd":["a"]}}'], [sha256(ONE)])
    assert read_config(raw).config.cmd == ("a",)
