"""The images of one ROOT: the face that the engine uses."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import trio

from bireme.images import default
from bireme.images._catalogue import Stored
from bireme.images._config import chain_ids
from bireme.images._index import Index, Listed
from bireme.images._layers import Layer
from bireme.images._opening import Places
from bireme.images._removal import Removal, plan_removal, users
from bireme.images._repository import Repository
from bireme.images.commits import Commit, commit_image
from bireme.images.imports import import_image, new_name
from bireme.images.load import Loaded, load_images
from bireme.images.model import Image, Progress, silent
from bireme.images.platforms import check_platform, parse_platform
from bireme.images.references import parse
from bireme.images.registry import Credentials, Registries
from bireme.images.remote import NOBODY, Remote
from bireme.images.save import check_savable, save_images
from bireme_actors import ByteSource, Clock, ImageNotFound

if TYPE_CHECKING:
    from bireme.storage.paths import Layout

Records = tuple[tuple[str, str], ...]
"""What a removal did: ``("Untagged", name)`` and ``("Deleted", digest)``, in order."""
_Records = list[tuple[str, str]]
REGISTRIES = Registries()
"""Docker's defaults."""


class ImageStore:
    """Images by name and ID. Construct it in no event loop or before anything else happens: it reads the disk.

    Its reads answer from memory. Raises StorageError if the disk refuses.
    """

    def __init__(
        self,
        directory: str,
        *,
        staging: str | None = None,
        clock: Clock = time.time_ns,
        registries: Registries = REGISTRIES,
    ) -> None:
        places = Places(directory, staging or os.path.join(directory, "staging"))
        self._repository = Repository(places, clock)
        self._making = trio.Lock()
        self.tell: Callable[[str, str, str], None] = lambda action, identifier, name: None
        """Called with each thing that was done: Docker's word for it, an ID or name, and the image's name."""
        self.remote = Remote(self._repository, registries)
        """The doors to registries: what ``pull`` and ``push`` go through, and more."""

    @property
    def problems(self) -> tuple[str, ...]:
        """A line for each stored image that the start found damaged; it is neither usable nor thrown away."""
        return self._repository.problems

    def get(self, ref: str) -> Image:
        """By ID, its beginning, ``name``, ``name:tag`` or ``name@digest``.

        Raises ImageNotFound, InvalidConfig for what cannot be a name, Conflict if two IDs begin so.
        """
        return self._repository.catalogue.find(ref)

    def list(self) -> tuple[Image, ...]:
        """All images, the newest first."""
        return self._repository.catalogue.all()

    def layers(self, image_id: str) -> tuple[str, ...]:
        """Names of the layers' directories below ``layers``, the lowest first. Raises ImageNotFound."""
        return self._repository.catalogue.directories(image_id)

    async def ensure_default(self) -> None:
        """Make the embedded busybox unless an image has its name; at once for any number of callers.

        Raises MissingRequirement naming the package, StorageError. Cancelled: it is there or it is not.
        """
        async with self._making:
            if parse(default.NAME).key not in self._repository.catalogue.index.names:
                await default.make_default(self._repository)

    async def resolve(self, ref: str, platform: str = "") -> Image:
        """As ``get``, but ``busybox`` is made on first use, and an image that is not for ``platform`` is not found."""
        wanted = parse_platform(platform)
        try:
            image = self.get(ref)
        except ImageNotFound:
            if parse(ref).key != parse(default.NAME).key:
                raise
            await self.ensure_default()
            image = self.get(ref)
        check_platform(ref, image, wanted)
        return image

    async def import_(
        self,
        source: ByteSource,
        *,
        reference: str = "",
        changes: Sequence[str] = (),
        message: str = "",
        progress: Progress = silent,
        total: int = 0,
    ) -> Image:
        """An image from a root file system's tar archive, compressed or not. ``total``: its bytes, if known.

        The source stays the caller's to close. Raises InvalidConfig for a bad name, change or archive, StorageError
        if the disk refuses. Cancelled or failed: nothing is left.
        """
        image = await import_image(
            self._repository,
            source,
            reference=reference,
            changes=changes,
            message=message,
            progress=progress,
            total=total,
        )
        self.tell("import", image.id, reference or image.id)
        return image

    async def commit(self, source: ByteSource, commit: Commit) -> Image:
        """An image of another one's layers and one more, from an uncompressed archive of it.

        Raises ImageNotFound for the other one, InvalidConfig for a bad name, change or archive, StorageError.
        Cancelled or failed: nothing is left.
        """
        return await commit_image(self._repository, source, commit)

    async def load(self, source: ByteSource, *, progress: Progress = silent, total: int = 0) -> Loaded:
        """The images of a ``docker save`` archive or an OCI image layout, compressed or not.

        The source stays the caller's to close. Raises InvalidConfig for what is wrong with the archive, StorageError
        if the disk refuses. Cancelled or failed: nothing is left, of several images neither.
        """
        found = await load_images(self._repository, source, progress=progress, total=total)
        for name, image in found:
            self.tell("load", image.id, name)
        return found

    async def pull(
        self, ref: str, *, platform: str = "", credentials: Credentials = NOBODY, progress: Progress = silent
    ) -> Image:
        """An image from the registry that its name says; see ``Remote.pull``."""
        image = await self.remote.pull(ref, platform=platform, credentials=credentials, progress=progress)
        self.tell("pull", parse(ref).familiar, parse(ref).familiar)
        return image

    async def push(
        self, ref: str, *, all_tags: bool = False, credentials: Credentials = NOBODY, progress: Progress = silent
    ) -> Sequence[str]:
        """An image to the registry that its name says: the digests of the manifests; see ``Remote.push``."""
        digests = await self.remote.push(ref, all_tags=all_tags, credentials=credentials, progress=progress)
        self.tell("push", parse(ref).familiar, parse(ref).familiar)
        return digests

    def save(self, refs: Sequence[str]) -> AsyncGenerator[bytes, None]:
        """An archive of images under these names, for ``load`` here or in Docker; a bare name stands for all its tags.

        Raises ImageNotFound, InvalidConfig at once; while it is read, StorageError if a stored layer has been changed.
        Close it (``aclosing``) when reading ends early; cancelling ends it between two pieces.
        """
        check_savable(self._repository, refs)
        for ref in refs:
            self.tell("save", ref, ref)
        return save_images(self._repository, refs)

    async def tag(self, ref: str, target: str) -> None:
        """Give an image one more name, which it takes from another that may have it.

        Raises ImageNotFound, InvalidConfig. Cancelled: it has the name or it has not.
        """
        key, tagged = new_name(target), [""]
        now = self._repository.clock()

        def decide(index: Index) -> Collection[str]:
            image_id = self.get(ref).id
            index.names[key] = image_id
            index.images[image_id] = Listed(tagged=now)
            tagged.append(image_id)
            return ()

        await self._repository.change(decide)
        self.tell("tag", tagged[-1], parse(target).familiar)

    async def remove(
        self,
        ref: str,
        *,
        force: bool,
        prune: bool = True,
        used_by: Mapping[str, str],
        running: Mapping[str, str] | None = None,
    ) -> Records:
        """Take a name away, and the image with its last one (``docker rmi``).

        ``used_by`` and ``running`` map an image's ID to a container of it, of any kind and a running one. ``prune``
        is Docker's and means nothing here, where images have no parents. Raises ImageNotFound, Conflict in Docker's
        words, StorageError. Cancelled: all of it has happened or nothing.
        """
        records: _Records = []
        before: dict[str, Stored] = {}

        def decide(index: Index) -> Collection[str]:
            before.update(self._repository.catalogue.stored)
            image = self.get(ref)
            user = users(image.id, used_by, running or {})
            removal = plan_removal(ref, image.id, index.references(image.id), user, force=force)
            return _carry_out(removal, index, image.id, used_by, records)

        layers = await self._repository.change(decide)
        self._tell_removal(records)
        return (*records, *_deleted_layers(before, layers))

    def _tell_removal(self, records: _Records) -> None:
        for what, name in records:
            self.tell("untag" if what == "Untagged" else "delete", name, name)

    async def prune(self, *, dangling_only: bool, used: Collection[str]) -> tuple[_Records, int]:
        """Remove every image that no container uses, or of these only those without a name; and the bytes freed.

        What is fetched of layers and unused goes too. Raises StorageError. Cancelled: each of the two has happened or
        not.
        """
        records: _Records = []
        before: dict[str, Stored] = {}

        def decide(index: Index) -> Collection[str]:
            before.update(self._repository.catalogue.stored)
            gone: list[str] = []
            for image in self.list():
                names = tuple(index.references(image.id))
                if image.id not in used and not (names and dangling_only):
                    gone += _carry_out(Removal(names, delete=True), index, image.id, used, records)
            return [*gone, *_unused(index, used)]

        layers = await self._repository.change(decide)
        self._tell_removal(records)
        freed = sum(layer.size for layer in layers) + await self.remote.forget_partials()
        return [*records, *_deleted_layers(before, layers)], freed


def _carry_out(
    removal: Removal, index: Index, image_id: str, used: Collection[str], records: _Records
) -> Collection[str]:
    """Do to the index what was decided; the images that go altogether."""
    for name in removal.untag:
        del index.names[name]
        records.append(("Untagged", parse(name).familiar))
    if not removal.delete:
        return ()
    records.append(("Deleted", image_id))
    if image_id in used:
        index.images[image_id] = Listed(removed=True)
        return _unused(index, used)
    return [image_id, *_unused(index, used)]


def _deleted_layers(stored: Mapping[str, Stored], gone: Iterable[Layer]) -> Iterator[tuple[str, str]]:
    """What Docker calls a layer that went: the digest of the stack it was the top of, the highest first."""
    names = {layer.name for layer in gone}
    for image in stored.values():
        chain = chain_ids([layer.diff_id for layer in image.layers])
        for layer, identifier in reversed(list(zip(image.layers, chain, strict=True))):
            if layer.name in names:
                names.remove(layer.name)
                yield "Deleted", identifier


def _unused(index: Index, used: Collection[str]) -> list[str]:
    """Images that were removed by force while a container used them, and are not used any more."""
    return [image_id for image_id, listed in index.images.items() if listed.removed and image_id not in used]


def open_images(layout: Layout, registries: Registries = REGISTRIES) -> ImageStore:
    """The images below a ROOT. Blocks; raises StorageError if the disk refuses or the list of images is damaged."""
    return ImageStore(layout.images, registries=registries)
