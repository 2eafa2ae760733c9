"""The store: import, names, removal, sharing of layers, and what the disk has after it all."""

from __future__ import annotations

import gzip
import json
import os
import threading
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from bireme.images import Image, ImageStore, ProgressEvent
from bireme_actors import Conflict, ImageNotFound, InvalidConfig, StorageError
from tests.runtime.images.archives import (
    Breaking,
    Source,
    directory,
    docker_archive,
    everything_below,
    file,
    leftovers,
    root_of,
    sha256,
    tar,
)

ONE = tar(directory("etc"), file("etc/one", b"1" * 1000))
TWO = tar(file("two", b"2" * 2000))
THREE = tar(file("three", b"3" * 3000))


async def imported(store: ImageStore, data: bytes = ONE, reference: str = "one:1") -> Image:
    return await store.import_(Source(data), reference=reference)


async def test_import_makes_an_image_with_a_name(store: ImageStore, images_directory: Path) -> None:
    image = await store.import_(
        Source(gzip.compress(ONE)), reference="docker.io/library/one", changes=["CMD sh", "ENV A=b"], message="hello"
    )
    assert image.references == ("one:latest",)
    assert (image.config.cmd, image.config.env) == (("/bin/sh", "-c", "sh"), ("A=b",))
    assert (image.comment, image.created, image.size) == ("hello", 1_700_000_000_000_000_000, 1000)
    assert (image.diff_ids, image.history[0].size) == ((sha256(ONE),), 1000)
    assert store.get("one") == store.get(image.id) == store.get(image.id[7:19]) == image
    assert store.list() == (image,)
    assert (root_of(store, images_directory, "one") / "etc/one").read_bytes() == b"1" * 1000
    raw = (images_directory / "configs" / image.id[7:]).read_bytes()
    assert sha256(raw) == image.id
    assert json.loads(raw) == image.document


async def test_import_without_a_name_and_with_a_name_that_another_has(store: ImageStore) -> None:
    first = await imported(store)
    nameless = await store.import_(Source(TWO))
    assert nameless.references == ()
    assert nameless.comment == "Imported from -"
    second = await imported(store, THREE)
    assert store.get("one:1").id == second.id
    assert store.get(first.id).references == ()
    assert len(store.list()) == 3


@pytest.mark.parametrize(
    ("reference", "changes", "message"),
    [
        ("Bad", [], "must be lowercase"),
        ("a@sha256:" + "0" * 64, [], "digest reference"),
        ("sha256:abc", [], "digest algorithm"),
        ("a", ["RUN x"], "valid change"),
    ],
)
async def test_a_bad_request_is_refused_before_a_byte_is_read(
    store: ImageStore, reference: str, changes: list[str], message: str
) -> None:
    source = Source(ONE)
    with pytest.raises(InvalidConfig, match=message):
        await store.import_(source, reference=reference, changes=changes)
    assert source.reads == 0


@pytest.mark.parametrize(
    "source", [Source(b""), Source(ONE[:700]), Source(b"no archive" * 100), Breaking(ONE[:1500])], ids=str
)
async def test_a_failed_import_leaves_nothing(store: ImageStore, images_directory: Path, source: Source) -> None:
    with pytest.raises(InvalidConfig):
        await store.import_(source, reference="a")
    assert leftovers(images_directory) == []
    assert store.list() == ()


async def test_images_and_names_are_there_after_a_restart(store: ImageStore, images_directory: Path) -> None:
    await imported(store)
    await store.tag("one:1", "r.example:5000/a/b:2")
    await store.load(Source(docker_archive([ONE, TWO], ["two:1"])))
    again = ImageStore(str(images_directory))
    assert again.list() == store.list()
    assert again.get("two:1").layers == store.get("two:1").layers
    assert again.problems == ()


async def test_layers_are_shared(store: ImageStore, images_directory: Path) -> None:
    one = await imported(store)
    ((_, two),) = await store.load(Source(docker_archive([ONE, TWO], ["two:1"])))
    assert two.layers[0] == one.layers[0]
    assert len(os.listdir(images_directory / "layers")) == 2
    assert two.size == 3000
    assert [step.size for step in two.history] == [1000, 2000]
    await store.remove("one:1", force=False, used_by={})
    assert (root_of(store, images_directory, "two:1") / "etc/one").exists()
    await store.remove("two:1", force=False, used_by={})
    assert leftovers(images_directory) == []


async def test_the_names_of_125_layers_fit_a_mount_s_options(store: ImageStore) -> None:
    layers = [tar(file(f"f{number}")) for number in range(125)]
    ((_, image),) = await store.load(Source(docker_archive(layers)))
    assert len(":".join(image.layers)) < 4000


async def test_tagging(store: ImageStore) -> None:
    one, two = await imported(store), await imported(store, TWO, "two:1")
    await store.tag("one:1", "two:1")
    assert store.get("two:1").id == one.id
    assert store.get(one.id).references == ("one:1", "two:1")
    assert store.get(two.id).references == ()
    for target in ("a@sha256:" + "0" * 64, "Bad", "", "sha256:1"):
        with pytest.raises(InvalidConfig):
            await store.tag("one:1", target)
    with pytest.raises(ImageNotFound, match="No such image: nosuch:latest"):
        await store.tag("nosuch", "b")


async def test_looking_up(store: ImageStore) -> None:
    one, two = await imported(store), await imported(store, TWO, "two")
    for text in ("nosuch", "one", "two:1", one.id[:-1] + "g", "a" * 64, "sha256:" + "b" * 64):
        with pytest.raises(ImageNotFound, match=r"^No such image: "):
            store.get(text)
    with pytest.raises(InvalidConfig):
        store.get("-")
    await store.tag("one:1", two.id[7:15])
    assert store.get(two.id[7:15]) == store.get("one:1")
    assert store.get(two.id[7:16]) == store.get(two.id)


async def test_a_beginning_that_fits_two_images_is_refused(store: ImageStore) -> None:
    ids = [(await imported(store, tar(file(str(number))), f"i{number}")).id[7:] for number in range(17)]
    first = next(digits[0] for digits in ids if sum(other[0] == digits[0] for other in ids) > 1)
    with pytest.raises(Conflict, match=f"ambiguous image ID '{first}'"):
        store.get(first)


async def test_removal_says_what_it_did(store: ImageStore, images_directory: Path) -> None:
    image = await imported(store)
    await store.tag("one:1", "b:2")
    assert await store.remove("one:1", force=False, used_by={}) == (("Untagged", "one:1"),)
    assert await store.remove("b:2", force=False, used_by={}) == (
        ("Untagged", "b:2"),
        ("Deleted", image.id),
        ("Deleted", sha256(ONE)),
    )
    assert leftovers(images_directory) == []
    with pytest.raises(ImageNotFound):
        await store.remove("b:2", force=False, used_by={})


async def test_a_refused_removal_changes_nothing(store: ImageStore) -> None:
    image = await imported(store)
    before = store.list()
    with pytest.raises(Conflict, match="must force"):
        await store.remove("one:1", force=False, used_by={image.id: "c" * 64})
    with pytest.raises(Conflict, match="cannot be forced"):
        await store.remove("one:1", force=True, used_by={image.id: "c" * 64}, running={image.id: "c" * 64})
    assert store.list() == before


async def test_an_image_removed_by_force_lives_on_for_its_container(store: ImageStore, images_directory: Path) -> None:
    image = await imported(store)
    used = {image.id: "c" * 64}
    records = await store.remove(image.id, force=True, used_by=used)
    assert records == (("Untagged", "one:1"), ("Deleted", image.id))
    assert store.list() == ()
    with pytest.raises(ImageNotFound):
        store.get(image.id)
    assert store.layers(image.id) == image.layers
    again = ImageStore(str(images_directory))
    assert again.layers(image.id) == image.layers
    assert again.list() == ()
    await again.prune(dangling_only=True, used=used)
    assert again.layers(image.id) == image.layers
    await again.prune(dangling_only=True, used=())
    assert leftovers(images_directory) == []


async def test_an_image_removed_by_force_comes_back_by_load(store: ImageStore) -> None:
    ((_, image),) = await store.load(Source(docker_archive([ONE])))
    await store.remove("test:1", force=True, used_by={image.id: "c"})
    ((_, again),) = await store.load(Source(docker_archive([ONE])))
    assert again == image == store.get("test:1")


async def test_pruning(store: ImageStore) -> None:
    await imported(store)
    nameless = await imported(store, TWO, "")
    used = await imported(store, THREE, "")
    records, freed = await store.prune(dangling_only=True, used={used.id})
    assert records == [("Deleted", nameless.id), ("Deleted", sha256(TWO))]
    assert freed == 2000
    records, freed = await store.prune(dangling_only=False, used={used.id})
    assert [what for what, _ in records] == ["Untagged", "Deleted", "Deleted"]
    assert freed == 1000
    assert [image.id for image in store.list()] == [used.id]


async def test_progress_ends_with_the_whole(store: ImageStore) -> None:
    events: list[ProgressEvent] = []
    await store.load(Source(docker_archive([ONE, TWO])), progress=events.append)
    assert [(event.status, event.id, event.current == event.total) for event in events] == [
        ("Loading layer", sha256(ONE)[7:19], True),
        ("Loading layer", sha256(TWO)[7:19], True),
    ]


async def test_many_imports_at_once(store: ImageStore, images_directory: Path) -> None:
    archives = [tar(file("same", b"s" * 100))] * 5 + [tar(file(str(number))) for number in range(5)]
    async with trio.open_nursery() as nursery:
        for number, archive in enumerate(archives):
            nursery.start_soon(partial(imported, store, archive, f"i{number}"))
    assert len(os.listdir(images_directory / "layers")) == 6
    assert os.listdir(images_directory / "staging") == []
    assert all(store.get(f"i{number}") for number in range(10))


async def test_removing_and_loading_at_once_never_loses_a_layer(store: ImageStore, images_directory: Path) -> None:
    archive = docker_archive([ONE, TWO])
    await store.load(Source(archive))

    async def load_again() -> None:
        await store.load(Source(archive, piece=600))

    async def remove_again() -> None:
        await store.prune(dangling_only=False, used=())

    for _ in range(15):
        async with trio.open_nursery() as nursery:
            for work in (load_again, remove_again, load_again, remove_again):
                nursery.start_soon(work)
        for image in store.list():
            assert all((images_directory / "layers" / layer).is_dir() for layer in image.layers)
    await store.prune(dangling_only=False, used=())
    assert leftovers(images_directory) == []


async def test_a_layer_that_is_held_outlives_its_image(store: ImageStore, images_directory: Path) -> None:
    image = await imported(store)
    layer = images_directory / "layers" / image.layers[0]
    async with store._repository.hold() as hold:
        await hold.pin(image.layers[0].partition("/")[0])
        await store.remove("one:1", force=False, used_by={})
        assert (layer / "etc/one").exists()
    assert leftovers(images_directory) == []


async def test_nobody_comes_to_hold_a_layer_that_is_going(store: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    image = await imported(store)
    goes, may_go = threading.Event(), threading.Event()
    retire = store._repository.layers.retire

    def slow_retire(names: Iterable[str]) -> list[str]:
        goes.set()
        may_go.wait(10)
        return retire(names)

    async def hold_it() -> None:
        async with store._repository.hold() as hold:
            await hold.pin(image.layers[0].partition("/")[0])
            assert may_go.is_set()

    monkeypatch.setattr(store._repository.layers, "retire", slow_retire)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(store.remove, "one:1", force=False, used_by={}))
        await trio.to_thread.run_sync(goes.wait, 10)
        nursery.start_soon(hold_it)
        await wait_all_tasks_blocked()
        may_go.set()


async def test_what_is_damaged_is_told_and_kept(store: ImageStore, images_directory: Path) -> None:
    image, two = await imported(store), await imported(store, TWO, "two")
    path = images_directory / "configs" / image.id[7:]
    path.write_bytes(path.read_bytes().replace(b"linux", b"linus"))
    kept = everything_below(images_directory)
    again = ImageStore(str(images_directory))
    assert [listed.id for listed in again.list()] == [two.id]
    (problem,) = again.problems
    assert image.id in problem
    assert everything_below(images_directory) == kept


async def test_a_damaged_list_is_refused_and_a_missing_one_made_anew(store: ImageStore, images_directory: Path) -> None:
    image = await imported(store)
    index = images_directory / "index.json"
    index.write_bytes(index.read_bytes()[:-5])
    with pytest.raises(StorageError, match=r"index.json is damaged.*move index.json away"):
        ImageStore(str(images_directory))
    index.unlink()
    assert [found.id for found in ImageStore(str(images_directory)).list()] == [image.id]


def test_a_list_of_a_later_version_is_refused(images_directory: Path) -> None:
    images_directory.mkdir()
    (images_directory / "index.json").write_bytes(b'{"version":99,"images":{},"names":{}}')
    with pytest.raises(StorageError, match="version 99"):
        ImageStore(str(images_directory))
