"""Questions to a registry that move no image: does it let somebody in, and what is there under a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from bireme.images._config import read_config
from bireme.images.references import DEFAULT_DOMAIN, Reference, parse
from bireme.images.registry.auth import Credentials
from bireme.images.registry.blobs import fetch_small
from bireme.images.registry.documents import read_manifest
from bireme.images.registry.faults import RegistryError, Unauthorized
from bireme.images.registry.manifests import fetch_document
from bireme.images.registry.session import MOST_REFUSAL, Options, open_session
from bireme_actors import InvalidConfig


async def log_in(server: str, credentials: Credentials, options: Options) -> str:
    """Whether a registry lets somebody in; a token that stands for the password from now on, or nothing.

    ``server``: a registry's name, or what Docker's clients call it; empty is Docker's own. Raises Unauthorized,
    RegistryError, InvalidConfig.
    """
    reference = Reference(registry_domain(server), "")
    async with open_session(reference, "", credentials, options) as session:
        if session.authority.challenged:
            await session.authority.header((), offline=not credentials.identity_token)
        url = f"{session.base}/v2/"
        answer = await session.fetch("GET", url, most=MOST_REFUSAL)
        if answer.status != HTTPStatus.OK:
            phrase = f"{answer.status} {HTTPStatus(answer.status).phrase}" if answer.status < 600 else answer.status
            kind = Unauthorized if answer.status == HTTPStatus.UNAUTHORIZED else RegistryError
            raise kind(f"login attempt to {url} failed with status: {phrase}")
        return session.authority.refresh_token


def registry_domain(server: str) -> str:
    """The registry behind a server's address. Raises InvalidConfig."""
    bare = server.removeprefix("https://").removeprefix("http://").partition("/")[0]
    if bare in ("", "index.docker.io", "registry-1.docker.io", "docker.io"):
        return DEFAULT_DOMAIN
    try:
        reference = parse(f"{bare}/name/of/any")
    except InvalidConfig:
        raise InvalidConfig(f"invalid registry address {server!r}: give HOST or HOST:PORT") from None
    return reference.domain if reference.domain != DEFAULT_DOMAIN else bare


@dataclass(frozen=True, slots=True)
class Distribution:
    """What is under a name: ``{"mediaType": ..., "digest": ..., "size": ...}`` and the platforms it runs on."""

    descriptor: Mapping[str, object]
    platforms: tuple[Mapping[str, str], ...]


async def inquire(reference: Reference, credentials: Credentials, options: Options) -> Distribution:
    """Raises ImageNotFound, RegistryError."""
    async with open_session(reference, "pull", credentials, options) as session:
        fetched = await fetch_document(session, reference)
        descriptor = {"mediaType": fetched.kind, "digest": fetched.digest, "size": fetched.size}
        if fetched.document.manifests is not None:
            found = [item.platform for item in fetched.document.manifests if item.platform is not None]
            return Distribution(descriptor, tuple(_platform(p.architecture, p.os, p.variant) for p in found))
        manifest = read_manifest(fetched.document, reference.familiar)
        image = read_config(await fetch_small(session, manifest.config))
        return Distribution(descriptor, (_platform(image.architecture, image.os, image.variant),))


def _platform(architecture: str, system: str, variant: str) -> Mapping[str, str]:
    fields = {"architecture": architecture, "os": system, "variant": variant}
    return {name: value for name, value in fields.items() if value}


