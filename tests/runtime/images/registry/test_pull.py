"""Pulling: what is told, what is fetched, what goes on where it broke off, and what is left of what fails."""

from __future__ import annotations

import errno
import json
import os
from collections import namedtuple
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import zstandard

from bireme.images import ImageStore, ProgressEvent
from bireme.images.registry import RegistryError
from bireme.images.registry.partials import Partials
from bireme_actors import ImageNotFound, StorageError
from tests.runtime.images.archives import image_config, leftovers, root_of, sha256
from tests.runtime.images.registry.fake_registry import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_LIST,
    OCI_LAYER,
    FakeRegistry,
    Reply,
    Seen,
    layer,
    packed,
)

ONE, TWO, THREE = layer("one"), layer("two"), layer("three")
pack = packed


def big(number: int = 0) -> bytes:
    """A layer that gzip does not make small."""
    return layer(f"big{number}", os.urandom(3 << 20))


def lines(events: list[ProgressEvent]) -> list[str]:
    """What is told, but for counts."""
    return [f"{event.id}: {event.status}" if event.id else event.status for event in events if not event.current]


def short(data: bytes) -> str:
    return sha256(pack(data))[7:19]


def partials_of(directory: Path) -> list[Path]:
    return sorted((directory / "staging").glob("blob-*"))


async def test_a_pull_tells_what_docker_tells(
    registry: FakeRegistry, store: ImageStore, images_directory: Path
) -> None:
    registry.image("team/box", "1", [ONE, TWO])
    digest = sha256(registry.manifests["team/box", "1"][1])
    told: list[ProgressEvent] = []
    image = await store.remote.pull(f"{registry.host}/team/box:1", progress=told.append)
    assert image.references == (f"{registry.host}/team/box:1",)
    assert image.digests == (f"{registry.host}/team/box@{digest}",)
    assert (root_of(store, images_directory, image.id, 1) / "two").read_bytes() == b"content"
    said = lines(told)
    assert said[0] == "1: Pulling from team/box"
    assert said[1:3] == [f"{short(data)}: Pulling fs layer" for data in (ONE, TWO)]
    assert said[-4:] == [
        f"{short(ONE)}: Pull complete",
        f"{short(TWO)}: Pull complete",
        f"Digest: {digest}",
        f"Status: Downloaded newer image for {registry.host}/team/box:1",
    ]
    for data in (ONE, TWO):
        own = [text.partition(": ")[2] for text in said if text.startswith(short(data))]
        assert own == ["Pulling fs layer", "Verifying Checksum", "Download complete", "Pull complete"]
    assert partials_of(images_directory) == []


async def test_what_is_here_is_not_fetched_again(registry: FakeRegistry, store: ImageStore) -> None:
    registry.image("box", "1", [ONE, TWO])
    registry.image("box", "2", [ONE, THREE])
    await store.remote.pull(f"{registry.host}/box:1")
    registry.log.clear()
    told: list[ProgressEvent] = []
    await store.remote.pull(f"{registry.host}/box:1", progress=told.append)
    assert lines(told)[-1] == f"Status: Image is up to date for {registry.host}/box:1"
    assert len(registry.asked("/blobs/")) == 1  # the configuration
    told.clear()
    await store.remote.pull(f"{registry.host}/box:2", progress=told.append)
    assert f"{short(ONE)}: Already exists" in lines(told)
    assert f"{short(THREE)}: Pull complete" in lines(told)
    assert not registry.asked(f"blobs/{sha256(pack(ONE))}")


async def test_a_pull_by_digest_gives_no_tag(registry: FakeRegistry, store: ImageStore) -> None:
    digest = registry.image("box", "", [ONE])["digest"]
    told: list[ProgressEvent] = []
    image = await store.remote.pull(f"{registry.host}/box@{digest}", progress=told.append)
    assert (image.references, image.digests) == ((), (f"{registry.host}/box@{digest}",))
    assert lines(told)[0] == f"{digest}: Pulling from box"
    assert store.get(f"{registry.host}/box@{digest}").id == image.id


async def test_an_index_leads_to_the_image_of_a_platform(registry: FakeRegistry, store: ImageStore) -> None:
    arm = registry.image("box", "", [ONE])
    here = registry.image("box", "", [TWO])
    entries = [
        {**arm, "platform": {"os": "linux", "architecture": "arm", "variant": "v7"}},
        {**here, "platform": {"os": "linux", "architecture": "amd64"}},
    ]
    index = registry.manifest("box", "1", {"schemaVersion": 2, "manifests": entries}, DOCKER_LIST)
    image = await store.remote.pull(f"{registry.host}/box:1", platform="linux/amd64")
    assert image.diff_ids == (sha256(TWO),)
    assert image.digests == (f"{registry.host}/box@{index['digest']}",)
    told: list[ProgressEvent] = []
    image = await store.remote.pull(f"{registry.host}/box:1", platform="linux/arm/v7", progress=told.append)
    assert image.diff_ids == (sha256(ONE),)
    assert any("WARNING" in line and "wanted linux/arm/v7, actual: linux/amd64" in line for line in lines(told))
    with pytest.raises(ImageNotFound, match="no matching manifest for linux/s390x in the manifest list entries"):
        await store.remote.pull(f"{registry.host}/box:1", platform="linux/s390x")


@pytest.mark.parametrize(
    ("kind", "compress"),
    [
        (OCI_LAYER, bytes),
        (f"{OCI_LAYER}+gzip", pack),
        (f"{OCI_LAYER}+zstd", zstandard.compress),
        ("application/vnd.docker.image.rootfs.diff.tar", bytes),
    ],
)
async def test_layers_of_every_kind(registry: FakeRegistry, store: ImageStore, kind: str, compress: Any) -> None:
    registry.image("box", "latest", [ONE, TWO], kind=kind, pack=compress)
    image = await store.remote.pull(f"{registry.host}/box")
    assert image.diff_ids == (sha256(ONE), sha256(TWO))


async def test_a_layer_that_comes_twice_is_fetched_once(registry: FakeRegistry, store: ImageStore) -> None:
    registry.image("box", "1", [ONE, TWO, ONE])
    image = await store.remote.pull(f"{registry.host}/box:1")
    assert image.diff_ids == (sha256(ONE), sha256(TWO), sha256(ONE))
    assert len(registry.asked(sha256(pack(ONE)))) == 1


async def test_three_layers_at_once(registry: FakeRegistry, store: ImageStore) -> None:
    layers = [layer(f"n{number}", os.urandom(1000)) for number in range(6)]
    registry.image("box", "1", layers)
    gate = trio.Event()

    def hold(seen: Seen) -> Reply | None:
        digest = seen.path.rpartition("/")[2]
        if digest not in {sha256(pack(data)) for data in layers}:
            return None
        return Reply(200, {}, registry.blobs[digest], cut=10, until=gate)

    registry.faults.append(hold)
    told: list[ProgressEvent] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(store.remote.pull, f"{registry.host}/box:1", progress=told.append))
        await registry.wait_until(lambda: registry.at_once >= 3)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert registry.most_at_once == 3
        waiting = [line for line in lines(told) if line.endswith("Waiting")]
        assert waiting == [f"{short(data)}: Waiting" for data in layers[3:]]
        gate.set()
    assert registry.most_at_once == 3
    assert len(store.get(f"{registry.host}/box:1").layers) == 6


async def test_two_who_want_the_same_fetch_it_once(registry: FakeRegistry, store: ImageStore) -> None:
    registry.image("box", "1", [big()])
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(store.remote.pull, f"{registry.host}/box:1")
    blobs = [seen for seen in registry.asked("GET .*/blobs/") if "range" not in seen.headers]
    assert len({str(seen) for seen in blobs}) == 2
    assert len(blobs) <= 4  # three times the configuration, once the layer


async def test_all_tags(registry: FakeRegistry, store: ImageStore) -> None:
    registry.image("box", "1", [ONE])
    registry.image("box", "2", [TWO])
    told: list[ProgressEvent] = []
    images = await store.remote.pull_all(f"{registry.host}/box", progress=told.append)
    assert [image.references for image in images] == [(f"{registry.host}/box:1",), (f"{registry.host}/box:2",)]
    assert lines(told)[-1] == f"Status: Downloaded newer image for {registry.host}/box"
    with pytest.raises(ImageNotFound, match="not found: name unknown: repository name not known to registry"):
        await store.remote.pull_all(f"{registry.host}/other")


async def test_tags_come_page_by_page(registry: FakeRegistry, store: ImageStore) -> None:
    registry.image("box", "1", [ONE])
    registry.image("box", "2", [TWO])
    link = {"Link": '</v2/box/tags/list?last=1&n=1>; rel="next"'}
    registry.fail("/tags/list", Reply(200, link, b'{"tags":["1"]}'), Reply(200, {}, b'{"tags":["2"]}'))
    assert len(await store.remote.pull_all(f"{registry.host}/box")) == 2
    assert registry.asked("/tags/list")[1].query == {"last": ["1"], "n": ["1"]}


# What breaks off


async def test_a_broken_layer_goes_on_where_it_broke_off(
    registry: FakeRegistry, store: ImageStore, naps: list[float]
) -> None:
    data = big()
    registry.image("box", "1", [ONE, data])
    blob = pack(data)
    registry.fail(f"blobs/{sha256(blob)}", Reply(200, {}, blob, cut=2_000_000))
    told: list[ProgressEvent] = []
    await store.remote.pull(f"{registry.host}/box:1", progress=told.append)
    first, second = registry.asked(f"blobs/{sha256(blob)}")
    assert "range" not in first.headers
    assert second.headers["range"] == "bytes=2000000-"
    assert naps == [0.5]
    assert f"{short(data)}: Retrying in 1 second" in lines(told)


async def test_a_registry_that_cannot_go_on_sends_all_again(registry: FakeRegistry, store: ImageStore) -> None:
    data = big()
    registry.image("box", "1", [data])
    blob = pack(data)
    registry.fail(f"blobs/{sha256(blob)}", Reply(200, {}, blob, cut=2_000_000), Reply(200, {}, blob))
    image = await store.remote.pull(f"{registry.host}/box:1")
    assert image.diff_ids == (sha256(data),)


@pytest.mark.parametrize(
    "wrong",
    [
        Reply(206, {"Content-Range": "bytes 5-9/10"}, b"12345"),
        Reply(206, {"Content-Range": "nonsense"}, b"12345"),
        Reply(206, {}, b"12345"),
        Reply(416),
    ],
)
async def test_a_registry_that_goes_on_elsewhere_is_asked_for_all(
    registry: FakeRegistry, store: ImageStore, wrong: Reply
) -> None:
    data = big()
    registry.image("box", "1", [data])
    blob = pack(data)
    registry.fail(f"blobs/{sha256(blob)}", Reply(200, {}, blob, cut=2_000_000), wrong)
    await store.remote.pull(f"{registry.host}/box:1")
    assert "range" not in registry.asked(f"blobs/{sha256(blob)}")[2].headers


async def test_a_busy_registry_is_left_alone_as_long_as_it_asks(
    registry: FakeRegistry, store: ImageStore, naps: list[float]
) -> None:
    registry.image("box", "1", [ONE])
    busy = Reply(429, {"Retry-After": "7"}, b"{}")
    registry.fail("manifests/1", busy, Reply(503))
    registry.fail(f"blobs/{sha256(pack(ONE))}", Reply(502), busy)
    await store.remote.pull(f"{registry.host}/box:1")
    assert naps == [7, 1, 0.5, 7]


async def test_a_registry_that_asks_for_too_long_is_given_up(
    registry: FakeRegistry, store: ImageStore, naps: list[float]
) -> None:
    registry.always("manifests/1", Reply(429, {"Retry-After": "86400"}, b'{"errors":[{"code":"TOOMANYREQUESTS"}]}'))
    with pytest.raises(RegistryError, match="toomanyrequests"):
        await store.remote.pull(f"{registry.host}/box:1")
    assert naps == []


async def test_what_came_before_a_failure_is_not_fetched_by_the_next_pull(
    registry: FakeRegistry, store: ImageStore, images_directory: Path, naps: list[float]
) -> None:
    data = big()
    registry.image("box", "1", [data])
    blob = pack(data)
    registry.fail(f"blobs/{sha256(blob)}", Reply(200, {}, blob, cut=2_000_000), *[Reply(500)] * 3)
    with pytest.raises(RegistryError, match="500 Internal Server Error"):
        await store.remote.pull(f"{registry.host}/box:1")
    assert naps == [0.5, 1, 2]
    assert [path.stat().st_size for path in partials_of(images_directory)] == [2_000_000]
    assert store.list() == ()
    registry.log.clear()
    await store.remote.pull(f"{registry.host}/box:1")
    assert registry.asked(f"blobs/{sha256(blob)}")[0].headers["range"] == "bytes=2000000-"
    assert partials_of(images_directory) == []


async def test_a_damaged_leftover_is_fetched_anew(
    registry: FakeRegistry, store: ImageStore, images_directory: Path
) -> None:
    data = big()
    registry.image("box", "1", [data])
    blob = pack(data)
    (images_directory / "staging" / f"blob-{sha256(blob)[7:]}").write_bytes(b"x" * 1000)
    image = await store.remote.pull(f"{registry.host}/box:1")
    assert image.diff_ids == (sha256(data),)


async def test_a_pull_that_is_cancelled_leaves_what_can_go_on_and_nothing_else(
    registry: FakeRegistry, store: ImageStore, images_directory: Path
) -> None:
    data = big()
    registry.image("box", "1", [ONE, data])
    blob = pack(data)
    registry.fail(f"blobs/{sha256(blob)}", Reply(200, {}, blob, cut=1_500_000, until=trio.Event()))
    unpacked = trio.Event()
    counted = trio.Event()

    def progress(event: ProgressEvent) -> None:
        if event.status == "Pull complete":
            unpacked.set()
        if event.status == "Downloading" and event.id == short(data):
            counted.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(store.remote.pull, f"{registry.host}/box:1", progress=progress))
        await unpacked.wait()
        await counted.wait()
        nursery.cancel_scope.cancel()
    (kept,) = partials_of(images_directory)
    size = kept.stat().st_size
    assert 0 < size <= 1_500_000
    assert leftovers(images_directory) == [f"staging/{kept.name}"]
    await store.remote.pull(f"{registry.host}/box:1")
    assert registry.asked(f"blobs/{sha256(blob)}")[-1].headers["range"] == f"bytes={size}-"


async def test_partials_go_when_pruned_and_at_the_next_start(store: ImageStore, images_directory: Path) -> None:
    path = images_directory / "staging" / f"blob-{'0' * 64}"
    path.write_bytes(b"12345")
    _, freed = await store.prune(dangling_only=True, used=())
    assert (freed, path.exists()) == (5, False)
    path.write_bytes(b"12345")
    await trio.to_thread.run_sync(ImageStore, str(images_directory))
    assert not path.exists()


async def test_partials_are_bounded_the_oldest_go_first(tmp_path: Path) -> None:
    partials = Partials(str(tmp_path), most=10)
    for age, letter in enumerate("abc"):
        path = tmp_path / f"blob-{letter * 64}"
        path.write_bytes(b"12345")
        os.utime(path, (1000 - age, 1000 - age))
    async with partials.claim("sha256:" + "c" * 64):
        assert partials.trim() == 0
    assert partials.trim() == 5
    assert sorted(name[5] for name in os.listdir(tmp_path)) == ["a", "b"]


# What nobody should believe


async def refusal(registry: FakeRegistry, store: ImageStore, directory: Path) -> str:
    """The words with which a pull fails; nothing is left then."""
    with pytest.raises(RegistryError) as caught:
        await store.remote.pull(f"{registry.host}/box:1")
    assert [path for path in leftovers(directory) if not path.startswith("staging/blob-")] == []
    assert sum(path.stat().st_size for path in partials_of(directory)) <= 3 << 21
    return str(caught.value)


async def test_a_layer_with_another_digest(registry: FakeRegistry, store: ImageStore, images_directory: Path) -> None:
    registry.image("box", "1", [ONE, TWO])
    bad = bytearray(pack(TWO))
    bad[-1] ^= 1
    registry.blobs[sha256(pack(TWO))] = bytes(bad)
    text = await refusal(registry, store, images_directory)
    assert text == f"filesystem layer verification failed for digest {sha256(pack(TWO))}"
    assert [path for path in partials_of(images_directory) if sha256(pack(TWO))[7:] in path.name] == []


async def test_a_disk_that_is_full_gets_back_what_was_fetched(
    registry: FakeRegistry, store: ImageStore, images_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.image("box", "1", [big()])

    def full(fd: int, data: bytes) -> None:
        os.write(fd, data[:100])
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr("bireme.images.registry.partials.write_all", full)
    with pytest.raises(StorageError, match="a layer cannot be stored: No space left on device"):
        await store.remote.pull(f"{registry.host}/box:1")
    assert leftovers(images_directory) == []


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(200, {}, b"", endless=True), "sends more of"),
        (Reply(200, {"Content-Length": str(1 << 50)}, b"x", cut=1), "sends more of"),
        (Reply(200, {}, b"x" * 10_000), "sends more of"),
        (Reply(404, {}, b'{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}'), "blob unknown"),
        (Reply(418, {}, b"\x1b[31m<html>"), "received unexpected HTTP status: 418"),
    ],
)
async def test_a_layer_that_is_none(
    registry: FakeRegistry, store: ImageStore, images_directory: Path, reply: Reply, words: str
) -> None:
    registry.image("box", "1", [ONE, TWO])
    registry.always(f"blobs/{sha256(pack(TWO))}", reply)
    assert words in await refusal(registry, store, images_directory)


async def test_a_registry_that_sends_nothing_but_beginnings(
    registry: FakeRegistry, store: ImageStore, images_directory: Path, naps: list[float]
) -> None:
    data = big()
    registry.image("box", "1", [data])
    blob = pack(data)
    registry.always(f"blobs/{sha256(blob)}", Reply(200, {}, blob, cut=2_000_000))
    assert "unexpected EOF" in await refusal(registry, store, images_directory)
    assert len(naps) <= 4


async def test_a_configuration_that_tells_of_other_layers(
    registry: FakeRegistry, store: ImageStore, images_directory: Path
) -> None:
    registry.image("box", "1", [ONE, TWO], raw=image_config(ONE, THREE))
    with pytest.raises(Exception, match="invalid diffID for a layer"):
        await store.remote.pull(f"{registry.host}/box:1")
    assert [path for path in leftovers(images_directory) if "blob-" not in path] == []
    registry.image("box", "1", [ONE, TWO], raw=image_config(ONE))
    text = await refusal(registry, store, images_directory)
    assert text == "invalid manifest, layers length mismatch: expected 1, got 2"


async def test_another_configuration_than_was_named(
    registry: FakeRegistry, store: ImageStore, images_directory: Path
) -> None:
    registry.image("box", "1", [ONE])
    registry.blobs[sha256(image_config(ONE))] = image_config(TWO)
    assert "sent another blob" in await refusal(registry, store, images_directory)


MANIFEST: dict[str, Any] = {
    "schemaVersion": 2,
    "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(b""), "size": 0},
    "layers": [],
}
FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
BLOB = {"mediaType": DOCKER_LAYER, "digest": sha256(b""), "size": 0}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"{", "the manifest of .* is invalid"),
        (b"[" * 100_000, "the manifest of .* is invalid"),
        (b"null", "the manifest of .* is invalid"),
        (b" " * (5 << 20), "longer than 4194304 bytes"),
        ({"schemaVersion": 1, "fsLayers": []}, "of schema 1, which is not supported any more"),
        ({"schemaVersion": 2}, "names no configuration"),
        ({**MANIFEST, "manifests": []}, "a manifest and an index at once"),
        ({**MANIFEST, "layers": [{**BLOB, "mediaType": FOREIGN}]}, "it is foreign"),
        ({**MANIFEST, "layers": [{**BLOB, "mediaType": "text/html"}]}, "a layer of an unknown kind"),
        ({**MANIFEST, "layers": [{**BLOB, "digest": "sha256:../../../etc/passwd"}]}, "not a SHA-256 digest"),
        ({**MANIFEST, "layers": [{**BLOB, "digest": "md5:" + "0" * 64}]}, "not a SHA-256 digest"),
        ({**MANIFEST, "layers": [{**BLOB, "size": -1}]}, "negative size"),
        ({**MANIFEST, "layers": [{**BLOB, "size": "9"}]}, "is invalid"),
        ({**MANIFEST, "layers": [BLOB] * 126}, "max depth exceeded"),
        ({**MANIFEST, "config": {**BLOB, "mediaType": "application/vnd.cncf.helm.config.v1+json"}}, "is no image"),
        ({**MANIFEST, "config": {**MANIFEST["config"], "size": 1 << 40}}, "longer than"),
        ({"schemaVersion": 2, "mediaType": "application/vnd.oci.artifact.manifest.v1+json"}, "unsupported kind"),
    ],
)
async def test_a_manifest_that_is_none(
    registry: FakeRegistry, store: ImageStore, images_directory: Path, document: Any, words: str
) -> None:
    registry.manifest("box", "1", document)
    with pytest.raises(RegistryError, match=words):
        await store.remote.pull(f"{registry.host}/box:1")
    assert leftovers(images_directory) == []


async def test_manifests_are_verified(registry: FakeRegistry, store: ImageStore, images_directory: Path) -> None:
    kind, data = registry.manifests["box", "1"] if registry.image("box", "1", [ONE]) else ("", b"")
    registry.manifests["box", sha256(data)] = kind, data + b" "
    with pytest.raises(RegistryError, match="manifest verification failed for digest"):
        await store.remote.pull(f"{registry.host}/box@{sha256(data)}")
    registry.fail("manifests/1", Reply(200, {"Docker-Content-Digest": sha256(b"other")}, data))
    assert "manifest verification failed" in await refusal(registry, store, images_directory)


async def test_indexes_that_lead_nowhere(registry: FakeRegistry, store: ImageStore, images_directory: Path) -> None:
    platform = {"os": "linux", "architecture": "amd64"}
    entry: dict[str, object] = {**registry.image("box", "", [ONE]), "size": 5, "platform": platform}
    registry.manifest("box", "1", {"schemaVersion": 2, "manifests": [entry]}, DOCKER_LIST)
    with pytest.raises(RegistryError, match="its index tells another size"):
        await store.remote.pull(f"{registry.host}/box:1", platform="linux/amd64")
    entry = {**registry.image("box", "", [ONE]), "platform": platform}
    for number in range(6):
        tag = "1" if number == 5 else ""
        index = {"schemaVersion": 2, "manifests": [entry]}
        entry = {**registry.manifest("box", tag, index, DOCKER_LIST), "platform": platform}
    with pytest.raises(RegistryError, match="nest too deeply"):
        await store.remote.pull(f"{registry.host}/box:1", platform="linux/amd64")
    assert leftovers(images_directory) == []


@pytest.mark.parametrize("tag", ["../up", "a/b", "", "x" * 129, "-x", "a b"])
async def test_a_tag_that_cannot_be_one(registry: FakeRegistry, store: ImageStore, tag: str) -> None:
    registry.always("tags/list", Reply(200, {}, json.dumps({"tags": ["1", tag]}).encode()))
    with pytest.raises(RegistryError, match="which cannot be one"):
        await store.remote.pull_all(f"{registry.host}/box")


@pytest.mark.parametrize("link", ["http://127.0.0.2/v2/box/tags/list", "//other/v2/", "/v3/"])
async def test_a_list_that_goes_on_elsewhere(registry: FakeRegistry, store: ImageStore, link: str) -> None:
    registry.always("tags/list", Reply(200, {"Link": f'<{link}>; rel="next"'}, b'{"tags":["1"]}'))
    with pytest.raises(RegistryError, match="refused"):
        await store.remote.pull_all(f"{registry.host}/box")


async def test_a_list_without_an_end(registry: FakeRegistry, store: ImageStore) -> None:
    registry.always("tags/list", Reply(200, {"Link": '</v2/box/tags/list?n=1>; rel="next"'}, b'{"tags":["1"]}'))
    with pytest.raises(RegistryError, match="has more than"):
        await store.remote.pull_all(f"{registry.host}/box")
    assert len(registry.asked("tags/list")) == 100


async def test_an_image_larger_than_the_disk(
    registry: FakeRegistry, store: ImageStore, images_directory: Path
) -> None:
    document = {**MANIFEST, "config": registry.blob(image_config(ONE), DOCKER_CONFIG)}
    registry.manifest("box", "1", {**document, "layers": [{**BLOB, "size": 1 << 61}]})
    with pytest.raises(StorageError, match="no space left on device"):
        await store.remote.pull(f"{registry.host}/box:1")
    assert not registry.asked(f"blobs/{BLOB['digest']}")
    assert leftovers(images_directory) == []


async def test_few_bytes_that_stand_for_more_than_the_disk_has(
    registry: FakeRegistry, store: ImageStore, images_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a disk that seems to run full while the layer is unpacked: it is given up before the disk refuses."""
    registry.image("box", "1", [layer("zeros", bytes(200 << 20))])
    facts = namedtuple("facts", "f_blocks f_frsize f_bavail")
    looks: list[int] = []

    def statvfs(path: str) -> object:
        looks.append(1)
        return facts(1 << 20, 4096, 1 << 19 if len(looks) < 3 else 0)

    monkeypatch.setattr("bireme.images.registry.partials.os.statvfs", statvfs)
    with pytest.raises(StorageError, match="no space left on device"):
        await store.remote.pull(f"{registry.host}/box:1")
    assert [path for path in leftovers(images_directory) if "blob-" not in path] == []


# Redirects


async def test_a_redirect_shows_no_credential_to_another_host(registry: FakeRegistry, store: ImageStore) -> None:
    registry.image("box", "1", [ONE])
    registry.challenge, registry.accepted = 'Bearer realm="BASE/token",service="s"', {"Bearer abc"}
    registry.tokens = [{"token": "abc"}]
    digest = sha256(pack(ONE))
    async with FakeRegistry().serving() as other:
        other.blobs = registry.blobs
        other.always("/elsewhere", Reply(200, {}, pack(ONE)))
        registry.fail(f"blobs/{digest}", Reply(307, {"Location": f"{other.base}/elsewhere?signature=1"}))
        await store.remote.pull(f"{registry.host}/box:1")
    assert registry.asked(f"blobs/{digest}")[0].headers["authorization"] == "Bearer abc"
    (seen,) = other.log
    assert "authorization" not in seen.headers
    assert seen.query == {"signature": ["1"]}


async def test_a_redirect_on_the_same_host_keeps_it(registry: FakeRegistry, store: ImageStore) -> None:
    registry.image("box", "1", [ONE])
    registry.challenge, registry.accepted = 'Bearer realm="BASE/token"', {"Bearer abc"}
    registry.tokens = [{"access_token": "abc"}]
    registry.fail(f"blobs/{sha256(pack(ONE))}", Reply(302, {"Location": f"/v2/box/blobs/{sha256(pack(ONE))}"}))
    await store.remote.pull(f"{registry.host}/box:1")


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("/v2/box/manifests/1", "stopped after 6 redirects"),
        ("", "which is nowhere"),
        ("file:///etc/passwd", "which is nowhere"),
        ("gopher://127.0.0.1/", "which is nowhere"),
        ("http://127.0.0.1:99999999/", "which is nowhere"),
        ("http://[::1/", "manifests/1"),
    ],
)
async def test_redirects_that_lead_nowhere(
    registry: FakeRegistry, store: ImageStore, images_directory: Path, location: str, words: str
) -> None:
    registry.always("manifests/1", Reply(302, {"Location": location}))
    assert words in await refusal(registry, store, images_directory)
