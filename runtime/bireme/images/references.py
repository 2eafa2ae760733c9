"""Names of images: the grammar, what a short name stands for, and how a name is shown. Pure.

The grammar and the rules of normalisation are the distribution project's (``github.com/distribution/reference``), so
that a name means here what it means to Docker: ``busybox`` is ``docker.io/library/busybox:latest``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from bireme_actors import InvalidConfig

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
_LEGACY_DOMAIN = "index.docker.io"
_OFFICIAL = "library/"
_LONGEST_NAME = 255
_LONGEST_TEXT = 1024
"""No valid reference is longer; it also bounds the time that the expressions below may take."""

_COMPONENT = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_COMPONENT}(?:\.{_COMPONENT})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PATH_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = rf"{_PATH_COMPONENT}(?:/{_PATH_COMPONENT})*"
_TAG = r"[\w][\w.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"

_REFERENCE = re.compile(
    rf"(?:(?P<domain>{_DOMAIN})/)?(?P<path>{_PATH})(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?", re.ASCII
)
_HEX_ID = re.compile(r"[0-9a-f]{64}")
_FULL_ID = re.compile(r"(?:sha256:)?[0-9a-f]{64}")
_SHORT_ID = re.compile(r"(?:sha256:)?[0-9a-f]{1,64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """A normalised name. ``tag`` and ``digest`` are empty where the text had none."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def name(self) -> str:
        """The repository, whole: ``docker.io/library/busybox``."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """The repository as people write it: ``busybox``."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        short = self.path.removeprefix(_OFFICIAL)
        return self.path if "/" in short else short

    @property
    def familiar(self) -> str:
        """The name as people write it, with tag and digest where there are any."""
        return self.familiar_name + str(self)[len(self.name) :]

    @property
    def key(self) -> str:
        """What the store files the name under: a digest, which says all, goes before a tag."""
        wanted = replace(self, tag="") if self.digest else self.with_default_tag()
        return str(wanted)

    def with_default_tag(self) -> Reference:
        """With ``latest`` where there is neither tag nor digest."""
        return self if self.tag or self.digest else replace(self, tag=DEFAULT_TAG)


@lru_cache(maxsize=256)
def key_of(text: str) -> str:
    """What the store files a name under. Raises as ``parse``."""
    return parse(text).key


@lru_cache(maxsize=256)
def parse(text: str) -> Reference:
    """Read and normalise a name. Raises InvalidConfig with Docker's words."""
    if _HEX_ID.fullmatch(text):
        raise InvalidConfig(f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
    if len(text) > _LONGEST_TEXT:
        raise InvalidConfig(f"invalid reference format: longer than {_LONGEST_TEXT} characters")
    domain, remainder = _split_domain(text)
    repository = remainder.partition(":")[0].partition("@")[0]
    if repository != repository.lower():
        raise InvalidConfig(f"invalid reference format: repository name ({repository}) must be lowercase")
    match = _REFERENCE.fullmatch(f"{domain}/{remainder}")
    if match is None or match["domain"] is None:
        raise InvalidConfig(f"invalid reference format: {text!r} is not name[:tag][@digest]")
    return _checked(Reference(match["domain"], match["path"], match["tag"] or "", match["digest"] or ""))


def _split_domain(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    if not slash:
        return DEFAULT_DOMAIN, _OFFICIAL + text
    if first == _LEGACY_DOMAIN:
        first = DEFAULT_DOMAIN
    elif first != "localhost" and not set(first) & set(".:") and first == first.lower():
        return DEFAULT_DOMAIN, text
    if first == DEFAULT_DOMAIN and "/" not in rest:
        rest = _OFFICIAL + rest
    return first, rest


def _checked(reference: Reference) -> Reference:
    if len(reference.path) > _LONGEST_NAME:
        raise InvalidConfig(
            f"invalid reference format: repository name must not be more than {_LONGEST_NAME} characters"
        )
    algorithm, _, digits = reference.digest.partition(":")
    if reference.digest and algorithm != "sha256":
        raise InvalidConfig(f"invalid reference format: unsupported digest algorithm {algorithm}")
    if reference.digest and not _HEX_ID.fullmatch(digits):
        raise InvalidConfig("invalid reference format: invalid checksum digest format")
    return reference


def full_id(text: str) -> str | None:
    """``sha256:<64 digits>`` if the text is a whole ID, with or without the algorithm; None if it is not."""
    return f"sha256:{text.removeprefix('sha256:')}" if _FULL_ID.fullmatch(text) else None


def is_prefix(text: str, image_id: str) -> bool:
    """Whether the text is the beginning of this ID, with or without ``sha256:``."""
    if not _SHORT_ID.fullmatch(text):
        return False
    return image_id.removeprefix("sha256:").startswith(text.removeprefix("sha256:"))


def no_such_image(text: str) -> str:
    """Docker's words for an image that is not here: with ``latest`` where no tag was written."""
    if full_id(text):
        return f"No such image: {text}"
    return f"No such image: {parse(text).with_default_tag().familiar}"
