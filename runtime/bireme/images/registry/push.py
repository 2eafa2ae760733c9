"""``push``: an image to a registry, three layers at once, then its configuration, then its manifest.

A layer that the registry has is not sent, nor even compressed if it is known as which blob (see ``known``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial as bound

import trio

from bireme.images._config import digest
from bireme.images._index import Index
from bireme.images._layers import Layer
from bireme.images._repository import Repository
from bireme.images.model import Image, Progress
from bireme.images.references import Reference
from bireme.images.registry.auth import Credentials
from bireme.images.registry.compress import compress, scratch
from bireme.images.registry.documents import DOCKER_CONFIG, LONGEST_MANIFEST, Descriptor, write_manifest
from bireme.images.registry.known import KnownBlob, read_known, remember
from bireme.images.registry.progress import LayerLine, say, tell_result
from bireme.images.registry.session import Options, Session, open_session
from bireme.images.registry.upload import Content, Uploads
from bireme_actors import BiremeError, ImageNotFound

AT_ONCE = 3
_MOST_GUESSES = 4
"""Blobs, and repositories, that a registry is asked for in turn."""


@dataclass(frozen=True, slots=True)
class Pusher:
    """What every push of one store has in common."""

    repository: Repository
    options: Options

    async def push(
        self, reference: Reference, *, all_tags: bool, credentials: Credentials, progress: Progress
    ) -> list[str]:
        """One name, or all tags of its repository; the manifests' digests.

        Raises ImageNotFound, RegistryError, StorageError. Cancelled: what has arrived stays in the registry.
        """
        say(progress, f"The push refers to repository [{reference.name}]")
        images = self._selected(reference, all_tags=all_tags)
        async with open_session(reference, "pull,push", credentials, self.options) as session:
            return [await self._one(session, name, image, progress) for name, image in images]

    def _selected(self, reference: Reference, *, all_tags: bool) -> list[tuple[Reference, Image]]:
        catalogue = self.repository.catalogue
        tagged = reference.with_default_tag()
        try:
            if not all_tags:
                return [(tagged, catalogue.find(str(tagged)))]
            return [(name, image) for image, name in catalogue.selected(reference.name) if name is not None]
        except ImageNotFound:
            text = f"An image does not exist locally with the tag: {reference.familiar_name}"
            raise ImageNotFound(text) from None

    async def _one(self, session: Session, reference: Reference, image: Image, progress: Progress) -> str:
        async with self.repository.hold() as hold:
            layers = self.repository.catalogue.layers(image.id)
            for layer in layers:
                hold.pin_nowait(layer.name)
            job = _Job(self.repository, session, reference, progress)
            descriptors = await job.send_layers(layers)
            kind, manifest = await self._finish(session, image, descriptors)
        found = await _put_manifest(session, reference, kind, manifest)
        say(progress, f"{reference.tag}: digest: {found} size: {len(manifest)}")
        tell_result(progress, {"Tag": reference.tag, "Digest": found, "Size": len(manifest)})
        await self._name(image, f"{reference.name}@{found}")
        return found

    async def _finish(self, session: Session, image: Image, layers: Sequence[Descriptor]) -> tuple[str, bytes]:
        """Send the configuration; the manifest that goes with it."""
        raw = await trio.to_thread.run_sync(self.repository.config, image.id)
        config = Descriptor(digest=image.id, size=len(raw), media_type=DOCKER_CONFIG)
        uploads = Uploads(session)
        if not await uploads.exists(config.digest):
            await uploads.send(Content(config, data=raw), lambda count: None)
        return write_manifest(config, layers)

    async def _name(self, image: Image, name: str) -> None:
        """Note that the image is the registry's one of this digest, unless it has gone meanwhile."""

        def decide(index: Index) -> tuple[str, ...]:
            if image.id in index.images:
                index.names[name] = image.id
            return ()

        await self.repository.change(decide)


async def _put_manifest(session: Session, reference: Reference, kind: str, manifest: bytes) -> str:
    """The manifest's digest. Raises RegistryError."""
    rest = f"manifests/{reference.tag}"
    answer = await session.fetch("PUT", rest, most=LONGEST_MANIFEST, body=manifest, kind=kind)
    if not answer.ok:
        raise answer.refusal()
    return digest(manifest)


class _Job:
    """The layers of one image on their way out."""

    def __init__(self, repository: Repository, session: Session, reference: Reference, progress: Progress) -> None:
        self._repository = repository
        self._uploads = Uploads(session)
        self._reference = reference
        self._progress = progress
        self._limit = trio.CapacityLimiter(AT_ONCE)
        self._sent: dict[str, Descriptor] = {}
        self._failure: BiremeError | None = None

    async def send_layers(self, layers: Sequence[Layer]) -> list[Descriptor]:
        """What the layers are in the registry, the lowest first. The first failure ends all of it."""
        unique = {layer.diff_id: layer for layer in reversed(layers)}
        lines = {diff_id: LayerLine(self._progress, diff_id) for diff_id in unique}
        for line in lines.values():
            line.show("Preparing")
        async with trio.open_nursery() as nursery:
            for number, (diff_id, layer) in enumerate(unique.items()):
                if number >= AT_ONCE:
                    lines[diff_id].show("Waiting")
                work = bound(self._send, layer, lines[diff_id])
                nursery.start_soon(self._guarded, nursery.cancel_scope, work)
        if self._failure is not None:
            raise self._failure
        return [self._sent[layer.diff_id] for layer in layers]

    async def _guarded(self, scope: trio.CancelScope, work: Callable[[], Awaitable[None]]) -> None:
        async with self._limit:
            try:
                await work()
            except BiremeError as error:
                self._failure = self._failure or error
                scope.cancel()

    async def _send(self, layer: Layer, line: LayerLine) -> None:
        directory = self._repository.layers.path(layer)
        known = await trio.to_thread.run_sync(read_known, directory)
        descriptor = await self._find(known, line) or await self._compress_and_send(layer, known, line)
        self._sent[layer.diff_id] = descriptor
        await trio.to_thread.run_sync(remember, directory, descriptor, self._reference.name)

    async def _find(self, known: Sequence[KnownBlob], line: LayerLine) -> Descriptor | None:
        """The layer as one of the blobs that it is known to be, if the registry has that or can be brought to."""
        here = self._reference.name
        for blob in sorted(known, key=lambda blob: here not in blob.sources)[:_MOST_GUESSES]:
            if await self._uploads.exists(blob.digest):
                line.show("Layer already exists")
                return blob.descriptor
            for source in self._neighbours(blob)[:_MOST_GUESSES]:
                if await self._uploads.mount(blob.digest, source):
                    line.show(f"Mounted from {source}")
                    return blob.descriptor
        return None

    def _neighbours(self, blob: KnownBlob) -> list[str]:
        """Paths of other repositories of the same registry."""
        start = f"{self._reference.domain}/"
        paths = [source.removeprefix(start) for source in blob.sources if source.startswith(start)]
        return [path for path in paths if path != self._reference.path]

    async def _compress_and_send(self, layer: Layer, known: Sequence[KnownBlob], line: LayerLine) -> Descriptor:
        with scratch(self._repository.staging) as fd:
            pack = bound(compress, self._repository.layers, layer, fd)
            descriptor = await self._repository.in_thread(pack)
            tried = any(blob.digest == descriptor.digest for blob in known)
            if not tried and await self._uploads.exists(descriptor.digest):
                line.show("Layer already exists")
                return descriptor
            await self._uploads.send(
                Content(descriptor, fd=fd), lambda sent: line.count("Pushing", sent, descriptor.size)
            )
        line.show("Pushed")
        return descriptor
