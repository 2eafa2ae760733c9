"""The tags of a repository, as the registry lists them: page by page, bounded."""

from __future__ import annotations

import re

import msgspec

from bireme.images.references import Reference
from bireme.images.registry.addresses import next_address
from bireme.images.registry.faults import RegistryError, pull_refusal
from bireme.images.registry.session import Session

_MOST_TAGS = 10_000
_MOST_PAGES = 100
_LONGEST_PAGE = 4 << 20
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_NEXT = re.compile(r'\s*<([^<>]{1,2048})>\s*;\s*rel="?next"?\s*')


class _Page(msgspec.Struct):
    tags: list[str] | None = None


async def list_tags(session: Session, reference: Reference) -> list[str]:
    """In the registry's order. Raises ImageNotFound, RegistryError."""
    tags: list[str] = []
    address = "tags/list?n=1000"
    for _ in range(_MOST_PAGES):
        answer = await session.fetch("GET", address, most=_LONGEST_PAGE)
        if not answer.ok:
            raise pull_refusal(reference, answer.status, answer.body, answer.challenges)
        tags += _read(answer.body, reference)
        if len(tags) > _MOST_TAGS:
            break
        found = _NEXT.fullmatch(answer.headers.get("link", ""))
        if found is None:
            return tags
        address = next_address(session.url("tags/list"), found[1])
        if not address.startswith(f"{session.base}/v2/"):
            raise RegistryError(f"the registry continues its list of tags at {address[:300]!r}: refused")
    raise RegistryError(f"{reference.familiar_name} has more than {_MOST_TAGS} tags: pull those you need by name")


def _read(body: bytes, reference: Reference) -> list[str]:
    try:
        tags = msgspec.json.decode(body, type=_Page).tags or []
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RegistryError(f"the list of tags of {reference.familiar_name} is invalid: {error}") from None
    for tag in tags:
        if not _TAG.fullmatch(tag):
            raise RegistryError(f"{reference.familiar_name} has a tag {tag[:100]!r}, which cannot be one")
    return tags
