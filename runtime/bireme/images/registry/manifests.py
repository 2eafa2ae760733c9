"""Manifests on their way here: by tag or digest, verified, followed through indexes to one platform's image."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bireme.images._config import digest
from bireme.images.platforms import Platform
from bireme.images.references import Reference
from bireme.images.registry.documents import (
    ACCEPT,
    LONGEST_MANIFEST,
    Document,
    Manifest,
    choose,
    is_digest,
    read_document,
    read_manifest,
)
from bireme.images.registry.faults import NoCredentials, RegistryError, Unauthorized, pull_refusal
from bireme.images.registry.session import Answer, Session

_DEEPEST = 4
"""Indexes within indexes."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A manifest or an index, and what it is called by whom it was asked for."""

    document: Document
    digest: str
    kind: str
    """Its media type."""
    size: int


async def fetch_document(session: Session, reference: Reference) -> Fetched:
    """By digest if the name has one, else by tag. Raises ImageNotFound, RegistryError in Docker's words."""
    wanted = reference.digest or reference.tag
    rest = f"manifests/{wanted}"
    try:
        answer = await session.fetch("GET", rest, most=LONGEST_MANIFEST, accept=ACCEPT)
    except NoCredentials as error:
        raise Unauthorized(f'Get "{session.url(rest)}": {error}') from error
    if not answer.ok:
        raise pull_refusal(reference, answer.status, answer.body, answer.challenges)
    found = digest(answer.body)
    for named in (reference.digest, answer.headers.get("docker-content-digest", "")):
        if is_digest(named) and named != found:
            raise RegistryError(f"manifest verification failed for digest {named}")
    return _fetched(answer, found, reference)


def _fetched(answer: Answer, found: str, reference: Reference) -> Fetched:
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    document = read_document(answer.body, kind, reference.familiar)
    return Fetched(document, found, document.media_type or kind, len(answer.body))


async def find_manifest(session: Session, reference: Reference, fetched: Fetched, platform: Platform) -> Manifest:
    """The image for a platform. Raises ImageNotFound if an index has none, RegistryError."""
    document = fetched.document
    for _ in range(_DEEPEST):
        if document.manifests is None:
            return read_manifest(document, reference.familiar)
        chosen = choose(document.manifests, platform)
        by_digest = replace(reference, tag="", digest=chosen.digest)
        child = await fetch_document(session, by_digest)
        if child.size != chosen.size:
            raise RegistryError(f"manifest verification failed for {chosen.digest}: its index tells another size")
        document = child.document
    raise RegistryError(f"the indexes of {reference.familiar} nest too deeply")
