"""``pull``: an image from a registry, three layers at once, unpacked in order, committed as a whole.

A layer that is here already, whatever image brought it, is not fetched. What fails ends the whole pull; layers that
were unpacked by then go, blobs that were fetched stay for the next pull (see ``partials``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from functools import partial as bound

import trio

from bireme.images._config import read_config
from bireme.images._layers import Layer, layer_name
from bireme.images._repository import Hold, NewImage, Repository
from bireme.images._streams import FromFile, Hashed, Reporter, decompressed
from bireme.images._tar import Stream
from bireme.images.model import Image, Progress
from bireme.images.platforms import Platform, host, mismatch
from bireme.images.references import Reference
from bireme.images.registry.auth import Credentials
from bireme.images.registry.blobs import download, fetch_small
from bireme.images.registry.documents import Descriptor, Manifest
from bireme.images.registry.faults import RegistryError
from bireme.images.registry.known import remember
from bireme.images.registry.manifests import fetch_document, find_manifest
from bireme.images.registry.partials import Partial, Partials, check_space
from bireme.images.registry.progress import LayerLine, say
from bireme.images.registry.session import Options, Session, open_session
from bireme.images.registry.tags import list_tags
from bireme_actors import BiremeError

AT_ONCE = 3
_LOOK_AT_DISK = 64 << 20
_TRIM_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Puller:
    """What every pull of one store has in common."""

    repository: Repository
    partials: Partials
    options: Options

    async def pull(
        self, reference: Reference, *, platform: Platform | None, credentials: Credentials, progress: Progress
    ) -> Image:
        """One image by tag or digest. Raises ImageNotFound, RegistryError, InvalidConfig, StorageError.

        Cancelled or failed: nothing is left but fetched blobs for the next pull.
        """
        async with self._session(reference, credentials) as session:
            image, fresh = await self._one(session, reference, platform, progress)
        _say_status(reference.familiar, fresh, progress)
        return image

    async def pull_all(
        self, reference: Reference, *, platform: Platform | None, credentials: Credentials, progress: Progress
    ) -> list[Image]:
        """All tags of a repository, one after the other. As ``pull``; those that came before a failure stay."""
        images, any_fresh = [], False
        async with self._session(reference, credentials) as session:
            for tag in await list_tags(session, reference):
                image, fresh = await self._one(session, replace(reference, tag=tag), platform, progress)
                images.append(image)
                any_fresh = any_fresh or fresh
        _say_status(reference.familiar_name, any_fresh, progress)
        return images

    def _session(self, reference: Reference, credentials: Credentials) -> AbstractAsyncContextManager[Session]:
        return open_session(reference, "pull", credentials, self.options)

    async def _one(
        self, session: Session, reference: Reference, platform: Platform | None, progress: Progress
    ) -> tuple[Image, bool]:
        fetched = await fetch_document(session, reference)
        say(progress, f"Pulling from {reference.path}", reference.digest or reference.tag)
        manifest = await find_manifest(session, reference, fetched, platform or host())
        names = list(dict.fromkeys((reference.key, f"{reference.name}@{fetched.digest}")))
        before = self.repository.catalogue.index.names.get(reference.key)
        try:
            async with self.repository.hold() as hold:
                image = await _Job(self, session, reference, hold, progress).run(manifest, names)
        finally:
            await self._trim()
        say(progress, f"Digest: {fetched.digest}")
        _warn_of_platform(image, reference, platform, progress)
        return image, before != image.id

    async def _trim(self) -> None:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _TRIM_SECONDS):
            await trio.to_thread.run_sync(self.partials.trim)


def _say_status(name: str, fresh: bool, progress: Progress) -> None:
    say(progress, f"Status: {'Downloaded newer image' if fresh else 'Image is up to date'} for {name}")


def _warn_of_platform(image: Image, reference: Reference, wanted: Platform | None, progress: Progress) -> None:
    if wanted is not None and (reason := mismatch(reference.familiar, image, wanted)):
        say(progress, f"WARNING: {reason}")


@dataclass(slots=True, eq=False)
class _Wanted:
    """A layer of the image that is being pulled."""

    descriptor: Descriptor
    diff_id: str
    line: LayerLine
    layer: Layer | None
    """Once it is here."""
    fetched: trio.Event = field(default_factory=trio.Event)
    partial: Partial | None = None


class _Job:
    """One image on its way here."""

    def __init__(self, puller: Puller, session: Session, reference: Reference, hold: Hold, progress: Progress) -> None:
        self._repository = puller.repository
        self._partials = puller.partials
        self._session = session
        self._source = reference.name
        self._hold = hold
        self._progress = progress
        self._limit = trio.CapacityLimiter(AT_ONCE)
        self._failure: BiremeError | None = None

    async def run(self, manifest: Manifest, names: Sequence[str]) -> Image:
        raw = await fetch_small(self._session, manifest.config)
        diff_ids = read_config(raw).diff_ids
        if len(diff_ids) != len(manifest.layers):
            expected, got = len(diff_ids), len(manifest.layers)
            raise RegistryError(f"invalid manifest, layers length mismatch: expected {expected}, got {got}")
        wanted = [await self._look(*pair) for pair in zip(manifest.layers, diff_ids, strict=True)]
        try:
            await self._bring(wanted)
        finally:
            for item in wanted:
                if item.partial is not None:
                    item.partial.close()
        layers = tuple(item.layer for item in wanted if item.layer is not None)
        (image,) = await self._repository.add_images([NewImage(raw, layers, tuple(names))])
        return image

    async def _look(self, descriptor: Descriptor, diff_id: str) -> _Wanted:
        """Hold the layer, here or to come: nobody takes it away then."""
        await self._hold.pin(layer_name(diff_id))
        found = await trio.to_thread.run_sync(self._repository.layers.find, diff_id)
        return _Wanted(descriptor, diff_id, LayerLine(self._progress, descriptor.digest), found)

    async def _bring(self, wanted: Sequence[_Wanted]) -> None:
        """Fetch what is missing, each blob once, and unpack it in order. The first failure ends all of it."""
        missing = {item.descriptor.digest: item for item in reversed(wanted) if item.layer is None}
        if not missing:
            return
        needed = sum(item.descriptor.size for item in missing.values())
        await trio.to_thread.run_sync(check_space, self._repository.staging, needed)
        for item in wanted:
            item.line.show("Already exists" if item.layer else "Pulling fs layer")
        async with trio.open_nursery() as nursery:
            for number, item in enumerate(reversed(missing.values())):
                if number >= AT_ONCE:
                    item.line.show("Waiting")
                nursery.start_soon(self._guarded, nursery.cancel_scope, bound(self._download, item))
            await self._guarded(nursery.cancel_scope, bound(self._unpack_all, wanted, missing))
        if self._failure is not None:
            raise self._failure

    async def _guarded(self, scope: trio.CancelScope, work: Callable[[], Awaitable[None]]) -> None:
        """An expected failure is kept for the caller of all, and the others end."""
        try:
            await work()
        except BiremeError as error:
            self._failure = self._failure or error
            scope.cancel()

    async def _download(self, item: _Wanted) -> None:
        async with self._limit:
            is_here = bound(self._is_here, item.diff_id)
            item.partial = await download(self._session, self._partials, item.descriptor, item.line, is_here)
        item.fetched.set()

    def _is_here(self, diff_id: str) -> bool:
        return self._repository.layers.find(diff_id) is not None

    async def _unpack_all(self, wanted: Sequence[_Wanted], missing: Mapping[str, _Wanted]) -> None:
        for item in wanted:
            source = missing.get(item.descriptor.digest)
            if item.layer is None and source is not None:
                await source.fetched.wait()
                item.layer = await self._unpack(item, source.partial)
                item.line.show("Pull complete")

    async def _unpack(self, item: _Wanted, partial: Partial | None) -> Layer:
        """The layer; unpacked from the blob unless it has come here meanwhile."""
        stream = bound(self._stream, item, partial)
        layer = await self._repository.add_layer(self._hold, stream, item.diff_id)
        await trio.to_thread.run_sync(self._partials.remove, item.descriptor.digest)
        directory = self._repository.layers.path(layer)
        await trio.to_thread.run_sync(remember, directory, item.descriptor, self._source)
        return layer

    def _stream(self, item: _Wanted, partial: Partial | None) -> Stream:
        assert partial is not None, "a layer that is here is held until the pull ends"
        size = item.descriptor.size
        report = Reporter(self._progress, "Extracting", name=item.line.name, total=size)
        return _Sparing(decompressed(Hashed(FromFile(partial.fd, 0, size), report)), self._repository.staging)


class _Sparing:
    """A stream that is given up before what is made of it fills the disk: few bytes may stand for very many."""

    def __init__(self, stream: Stream, directory: str) -> None:
        self._stream = stream
        self._directory = directory
        self._unseen = _LOOK_AT_DISK

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._unseen += len(data)
        if self._unseen >= _LOOK_AT_DISK:
            self._unseen = 0
            check_space(self._directory)
        return data
