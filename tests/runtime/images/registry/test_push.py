"""Pushing: what is sent, what is not sent again, and what is begun anew."""

from __future__ import annotations

import gzip
import json
import os
from functools import partial
from pathlib import Path

import pytest
import trio

from bireme.images import ImageStore, ProgressEvent
from bireme.images.registry import Credentials, RegistryError
from bireme.images.registry.session import Options
from bireme_actors import ImageNotFound, InvalidConfig, StorageError
from tests.runtime.images.archives import Source, docker_archive, leftovers, root_of, sha256
from tests.runtime.images.registry.fake_registry import (
    DOCKER,
    DOCKER_CONFIG,
    DOCKER_LAYER,
    OCI,
    OCI_LAYER,
    FakeRegistry,
    Reply,
    basic,
    layer,
    refused,
)

ONE, TWO = layer("one"), layer("two", os.urandom(1 << 20))


@pytest.fixture
async def ours(registry: FakeRegistry, store: ImageStore) -> str:
    """An image of two layers, under a name of the registry."""
    name = f"{registry.host}/team/box:1"
    await store.load(Source(docker_archive([ONE, TWO], [name])))
    return name


def lines(events: list[ProgressEvent]) -> list[str]:
    return [f"{event.id}: {event.status}" if event.id else event.status for event in events if not event.current]


async def test_a_push_tells_what_docker_tells(registry: FakeRegistry, store: ImageStore, ours: str) -> None:
    told: list[ProgressEvent] = []
    (digest,) = await store.remote.push(ours, progress=told.append)
    said = lines(told)
    one, two = sha256(ONE)[7:19], sha256(TWO)[7:19]
    kind, manifest = registry.manifests["team/box", "1"]
    assert said[:3] == [
        f"The push refers to repository [{registry.host}/team/box]",
        f"{two}: Preparing",
        f"{one}: Preparing",
    ]
    assert set(said[3:5]) == {f"{one}: Pushed", f"{two}: Pushed"}
    assert said[5:] == [f"1: digest: {digest} size: {len(manifest)}", ""]
    assert told[-1].aux == {"Tag": "1", "Digest": digest, "Size": len(manifest)}
    assert (kind, sha256(manifest)) == (DOCKER, digest)
    assert store.get(ours).digests == (f"{registry.host}/team/box@{digest}",)


async def test_the_manifest_is_docker_s_to_the_last_byte(registry: FakeRegistry, store: ImageStore, ours: str) -> None:
    await store.remote.push(ours)
    document = json.loads(registry.manifests["team/box", "1"][1])
    assert list(document) == ["schemaVersion", "mediaType", "config", "layers"]
    assert document["config"]["mediaType"] == DOCKER_CONFIG
    assert registry.manifests["team/box", "1"][1].startswith(
        b'{\n   "schemaVersion": 2,\n   "mediaType": "' + DOCKER.encode() + b'",\n   "config": {\n      "mediaType": "'
    )
    for entry, data in zip(document["layers"], (ONE, TWO), strict=True):
        blob = registry.blobs[entry["digest"]]
        assert (entry["mediaType"], entry["size"]) == (DOCKER_LAYER, len(blob))
        assert gzip.decompress(blob) == data
        assert blob[4:8] == bytes(4)  # no time in it
    assert registry.blobs[document["config"]["digest"]] == json.dumps(store.get(ours).document).encode()


async def test_what_was_pushed_is_not_sent_again(registry: FakeRegistry, store: ImageStore, ours: str) -> None:
    first = await store.remote.push(ours)
    registry.log.clear()
    told: list[ProgressEvent] = []
    assert await store.remote.push(ours, progress=told.append) == first
    assert len([line for line in lines(told) if line.endswith("Layer already exists")]) == 2
    assert not registry.asked("POST|PATCH")


async def test_another_store_makes_the_same_blobs(
    registry: FakeRegistry, store: ImageStore, ours: str, tmp_path: Path, options: Options
) -> None:
    first = await store.remote.push(ours)
    other = await trio.to_thread.run_sync(ImageStore, str(tmp_path / "other"))
    other.remote.options = options
    await other.load(Source(docker_archive([ONE, TWO], [ours])))
    registry.log.clear()
    assert await other.remote.push(ours) == first
    assert not registry.asked("POST|PATCH")


async def test_what_was_pulled_goes_to_a_neighbour_by_mounting(registry: FakeRegistry, store: ImageStore) -> None:
    pulled = registry.image("theirs", "1", [ONE, TWO])
    registry.owners |= {("theirs", digest) for digest in registry.blobs}
    await store.remote.pull(f"{registry.host}/theirs:1")
    await store.tag(f"{registry.host}/theirs:1", f"{registry.host}/mine:2")
    told: list[ProgressEvent] = []
    await store.remote.push(f"{registry.host}/mine:2", progress=told.append)
    assert len([line for line in lines(told) if line.endswith("Mounted from theirs")]) == 2
    assert len(registry.asked("PATCH")) == 1  # the configuration
    document = json.loads(registry.manifests["mine", "2"][1])
    assert document["layers"] == json.loads(registry.manifests["theirs", str(pulled["digest"])][1])["layers"]


async def test_a_registry_that_mounts_nothing_is_sent_everything(registry: FakeRegistry, store: ImageStore) -> None:
    registry.image("theirs", "1", [ONE, TWO])
    await store.remote.pull(f"{registry.host}/theirs:1")
    await store.tag(f"{registry.host}/theirs:1", f"{registry.host}/mine:2")
    await store.remote.push(f"{registry.host}/mine:2")
    assert len(registry.asked("PATCH")) == 3
    assert len(registry.asked("DELETE /v2/mine/blobs/uploads/")) == 2


async def test_the_mount_asks_for_a_token_for_both(registry: FakeRegistry, store: ImageStore) -> None:
    registry.image("theirs", "1", [ONE])
    registry.owners |= {("theirs", digest) for digest in registry.blobs}
    registry.challenge, registry.accepted = 'Bearer realm="BASE/token"', {"Bearer t"}
    registry.tokens = [{"token": "t"}]
    await store.remote.pull(f"{registry.host}/theirs:1")
    await store.tag(f"{registry.host}/theirs:1", f"{registry.host}/mine:2")
    await store.remote.push(f"{registry.host}/mine:2")
    scopes = [seen.query["scope"] for seen in registry.asked("/token")]
    assert scopes[1:] == [["repository:mine:pull,push"], ["repository:mine:pull,push", "repository:theirs:pull"]]


async def test_a_layer_of_another_compression_keeps_it(registry: FakeRegistry, store: ImageStore) -> None:
    registry.image("theirs", "1", [ONE], kind=OCI_LAYER, pack=bytes)
    registry.owners |= {("theirs", digest) for digest in registry.blobs}
    await store.remote.pull(f"{registry.host}/theirs:1")
    await store.tag(f"{registry.host}/theirs:1", f"{registry.host}/mine:2")
    await store.remote.push(f"{registry.host}/mine:2")
    kind, manifest = registry.manifests["mine", "2"]
    assert kind == OCI
    assert json.loads(manifest)["layers"] == [{"mediaType": OCI_LAYER, "size": len(ONE), "digest": sha256(ONE)}]


async def test_all_tags_of_a_repository(registry: FakeRegistry, store: ImageStore, ours: str) -> None:
    await store.tag(ours, f"{registry.host}/team/box:2")
    await store.tag(ours, f"{registry.host}/team/other:3")
    assert len(await store.remote.push(f"{registry.host}/team/box", all_tags=True)) == 2
    assert {tag for _, tag in registry.manifests if ":" not in tag} == {"1", "2"}
    with pytest.raises(ImageNotFound, match=r"does not exist locally with the tag: 127\.0\.0\.1:\d+/none"):
        await store.remote.push(f"{registry.host}/none", all_tags=True)
    with pytest.raises(InvalidConfig, match="tag can't be used"):
        await store.remote.push(ours, all_tags=True)


async def test_what_cannot_be_pushed(registry: FakeRegistry, store: ImageStore, ours: str) -> None:
    told: list[ProgressEvent] = []
    with pytest.raises(ImageNotFound, match=r"^An image does not exist locally with the tag: .*/team/none$"):
        await store.remote.push(f"{registry.host}/team/none:1", progress=told.append)
    assert lines(told) == [f"The push refers to repository [{registry.host}/team/none]"]
    with pytest.raises(InvalidConfig, match="digest reference"):
        await store.remote.push(f"{registry.host}/team/box@{sha256(b'')}")


async def test_a_broken_upload_is_begun_anew(
    registry: FakeRegistry, store: ImageStore, ours: str, naps: list[float]
) -> None:
    registry.fail("PATCH", Reply(0), Reply(503))
    registry.fail("PUT .*/uploads/", Reply(500))
    registry.fail("PUT .*/manifests/", Reply(502))
    (digest,) = await store.remote.push(ours)
    assert ("team/box", digest) in registry.manifests
    assert len(naps) == 4


async def test_an_upload_that_breaks_in_the_middle(
    registry: FakeRegistry, store: ImageStore, naps: list[float]
) -> None:
    name = f"{registry.host}/large:1"
    await store.load(Source(docker_archive([layer("large", os.urandom(16 << 20))], [name])))

    async def hang_up(stream: trio.SocketStream) -> None:
        await stream.receive_some(1000)
        await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, hang_up, 0, host="127.0.0.1"))
        place = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/upload"
        registry.fail("POST .*/uploads/", Reply(202, {"Location": place}))
        await store.remote.push(name)
        nursery.cancel_scope.cancel()
    assert naps == [0.5]


async def test_a_registry_that_never_takes_it_is_given_up(
    registry: FakeRegistry, store: ImageStore, images_directory: Path, ours: str, naps: list[float]
) -> None:
    before = leftovers(images_directory)
    registry.always("PATCH", Reply(503, {}, b'{"errors":[{"code":"UNAVAILABLE","message":"not now"}]}'))
    with pytest.raises(RegistryError, match="unavailable: not now"):
        await store.remote.push(ours)
    assert 3 <= len(naps) <= 6
    assert leftovers(images_directory) == before


@pytest.mark.parametrize(
    ("pattern", "reply", "words"),
    [
        ("HEAD", Reply(403), "403 Forbidden"),
        ("POST", refused(403, "DENIED", "requested access to the resource is denied"), "^denied: requested access"),
        ("POST", Reply(202, {"Location": "file:///etc"}), "which is nowhere"),
        ("PATCH", Reply(413), "413"),
        ("PUT .*/uploads/", refused(400, "DIGEST_INVALID", "no"), "digest invalid: no"),
        ("PUT .*/manifests/", refused(400, "MANIFEST_INVALID", "bad"), "manifest invalid: bad"),
        ("PATCH", Reply(200, {}, b"", endless=True), "longer than|unexpected"),
    ],
)
async def test_refusals(
    registry: FakeRegistry, store: ImageStore, ours: str, pattern: str, reply: Reply, words: str
) -> None:
    registry.always(pattern, reply)
    with pytest.raises(RegistryError, match=words):
        await store.remote.push(ours)
    assert store.get(ours).digests == ()


async def test_credentials_are_for_the_registry_alone(registry: FakeRegistry, store: ImageStore, ours: str) -> None:
    """Also when it wants the content sent elsewhere."""
    registry.challenge, registry.accepted = 'Basic realm="x"', {basic("me", "secret")}
    with pytest.raises(RegistryError, match=r"^no basic auth credentials$"):
        await store.remote.push(ours)
    async with FakeRegistry().serving() as other:
        other.always("PATCH", Reply(202, {"Location": "/x"}))
        other.always("PUT", Reply(201))
        registry.always("POST", Reply(202, {"Location": f"{other.base}/upload"}))
        await store.remote.push(ours, credentials=Credentials(username="me", password="secret"))
        assert len(other.asked("PATCH")) == 3
        assert not any("authorization" in seen.headers for seen in other.log)


async def test_a_changed_layer_is_not_pushed(
    registry: FakeRegistry, store: ImageStore, images_directory: Path, ours: str
) -> None:
    (root_of(store, images_directory, ours) / "one").write_bytes(b"CONTENT")
    with pytest.raises(StorageError, match="has been changed"):
        await store.remote.push(ours)


async def test_a_push_that_is_cancelled_leaves_nothing(
    registry: FakeRegistry, store: ImageStore, images_directory: Path, ours: str
) -> None:
    before = leftovers(images_directory)
    registry.always("PATCH", Reply(202, {"Content-Length": "1"}, b"x", cut=0, until=trio.Event()))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(store.remote.push, ours))
        await registry.wait_until(lambda: bool(registry.asked("PATCH")))
        nursery.cancel_scope.cancel()
    assert leftovers(images_directory) == before
    assert store.get(ours).digests == ()


async def test_notes_on_layers_that_make_no_sense_count_as_none(
    registry: FakeRegistry, store: ImageStore, images_directory: Path, ours: str
) -> None:
    for directory in (images_directory / "layers").iterdir():
        (directory / "blobs.json").write_bytes(b'[{"digest":"sha256:../x","size":-1,"media_type":""}]')
    assert await store.remote.push(ours)
