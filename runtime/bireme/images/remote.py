"""The store's doors to registries. What needs httpx is imported by the first who goes through one of them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import trio

from bireme.images._repository import Repository
from bireme.images.model import Image, Progress, silent
from bireme.images.platforms import Platform, parse_platform
from bireme.images.references import Reference, parse
from bireme.images.registry import Credentials, Registries
from bireme.images.registry.partials import Partials
from bireme_actors import InvalidConfig

if TYPE_CHECKING:
    from bireme.images.registry.inquiries import Distribution
    from bireme.images.registry.session import Options

NOBODY = Credentials()


class Remote:
    """Images from and to registries. ``registries``: which need no https, and where certificates are.

    Every call raises RegistryError if a registry refuses, cannot be reached or sends what nobody should believe,
    Unauthorized if it wants (other) credentials, InvalidConfig for what can be no name or platform.
    """

    def __init__(self, repository: Repository, registries: Registries) -> None:
        self._repository = repository
        self._partials = Partials(repository.staging)
        self.registries = registries
        self.options: Options | None = None
        """Made by the first use."""

    async def _ready(self) -> Options:
        if self.options is None:
            await trio.to_thread.run_sync(import_module, "httpx")
            from bireme.images.registry.session import Options

            self.options = Options(registries=self.registries)
        return self.options

    async def pull(
        self, ref: str, *, platform: str = "", credentials: Credentials = NOBODY, progress: Progress = silent
    ) -> Image:
        """An image by ``name``, ``name:tag`` or ``name@digest``; ``platform``: ``linux/arm64/v8``, or this machine's.

        Raises ImageNotFound, StorageError besides. Cancelled or failed: no image, no layer; what was fetched of layers
        stays for the next pull, bounded, until the store is opened anew or pruned.
        """
        options = await self._ready()
        from bireme.images.registry.pull import Puller

        reference, wanted = parse(ref).with_default_tag(), _wanted(platform)
        puller = Puller(self._repository, self._partials, options)
        return await puller.pull(reference, platform=wanted, credentials=credentials, progress=progress)

    async def pull_all(
        self, name: str, *, platform: str = "", credentials: Credentials = NOBODY, progress: Progress = silent
    ) -> list[Image]:
        """All tags of a repository, one after the other. As ``pull``; those that came before a failure stay."""
        options = await self._ready()
        from bireme.images.registry.pull import Puller

        reference, wanted = _bare(name), _wanted(platform)
        puller = Puller(self._repository, self._partials, options)
        return await puller.pull_all(reference, platform=wanted, credentials=credentials, progress=progress)

    async def push(
        self, ref: str, *, all_tags: bool = False, credentials: Credentials = NOBODY, progress: Progress = silent
    ) -> list[str]:
        """An image to the registry that its name says, or all that the repository has; the digests of the manifests.

        Raises ImageNotFound, StorageError besides. Cancelled or failed: what has arrived stays in the registry.
        """
        options = await self._ready()
        from bireme.images.registry.push import Pusher

        reference = _bare(ref) if all_tags else parse(ref)
        if reference.digest:
            raise InvalidConfig("cannot push a digest reference")
        pusher = Pusher(self._repository, options)
        return await pusher.push(reference, all_tags=all_tags, credentials=credentials, progress=progress)

    async def log_in(self, server: str, credentials: Credentials) -> str:
        """Whether a registry lets somebody in: a token to be kept in place of the password, or nothing."""
        options = await self._ready()
        from bireme.images.registry.inquiries import log_in

        return await log_in(server, credentials, options)

    async def inquire(self, ref: str, *, credentials: Credentials = NOBODY) -> Distribution:
        """What a registry has under a name, without fetching it. Raises ImageNotFound besides."""
        options = await self._ready()
        from bireme.images.registry.inquiries import inquire

        return await inquire(parse(ref).with_default_tag(), credentials, options)

    async def forget_partials(self) -> int:
        """Remove what was fetched of layers and is in nobody's use; the bytes freed. Raises StorageError."""
        return await trio.to_thread.run_sync(_forget, self._partials)


def _forget(partials: Partials) -> int:
    return partials.trim(everything=True)


def _bare(name: str) -> Reference:
    reference = parse(name)
    if reference.tag or reference.digest:
        raise InvalidConfig("tag can't be used with --all-tags/-a")
    return reference


def _wanted(text: str) -> Platform | None:
    """Raises InvalidConfig, for an image that nothing here could ever be made of too."""
    wanted = parse_platform(text)
    if wanted is not None and wanted.os != "linux":
        raise InvalidConfig(f'operating system "{wanted.os}" is not supported: linux is needed')
    return wanted
