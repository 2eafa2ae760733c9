"""What machines an image is for: ``os/architecture/variant``, read, compared, and this machine's. Pure.

Words and rules are Docker's (containerd's package ``platforms``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bireme.images._config import host_platform
from bireme.images.model import Image
from bireme_actors import ImageNotFound, InvalidConfig

_PART = re.compile(r"[A-Za-z0-9_-]+")
_SYSTEMS = frozenset({
    "aix", "android", "darwin", "dragonfly", "freebsd", "illumos", "ios", "js", "linux", "netbsd", "openbsd", "plan9",
    "solaris", "wasip1", "windows", "zos",
})  # fmt: skip
_MACHINES = frozenset({
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le", "riscv64",
    "s390x", "sparc64", "wasm",
})  # fmt: skip
_ALIASES = {
    "i386": ("386", ""), "x86_64": ("amd64", ""), "x86-64": ("amd64", ""), "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"), "armel": ("arm", "v6"),
}  # fmt: skip
_ALSO = {"amd64": ("386",), "arm64": ("arm",)}
"""What the processors of an architecture run besides its own."""
_ARM = ("v8", "v7", "v6", "v5")


@dataclass(frozen=True, slots=True)
class Platform:
    """``linux/arm64/v8``."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def host() -> Platform:
    """This machine's."""
    return Platform("linux", *host_platform())


def parse_platform(text: str) -> Platform | None:
    """``os[/arch[/variant]]`` or ``arch``; None for nothing. Raises InvalidConfig."""
    if not text:
        return None
    parts = text.split("/")
    for part in parts:
        if not _PART.fullmatch(part):
            pattern = f"^{_PART.pattern}$"
            raise InvalidConfig(
                f'"{part}" is an invalid component of "{text}": platform specifier component must match "{pattern}"'
            )
    if len(parts) > 3:
        raise InvalidConfig(f'"{text}": cannot parse platform specifier: write it as linux/arm64/v8')
    return _one_word(text) if len(parts) == 1 else _platform(*parts)


def _one_word(text: str) -> Platform:
    if text.lower() in _SYSTEMS:
        return _platform(text, host_platform()[0])
    found = _platform("linux", text)
    if found.architecture not in _MACHINES:
        raise InvalidConfig(f'"{text}": unknown operating system or architecture')
    return found


def _platform(system: str, architecture: str, variant: str = "") -> Platform:
    word = architecture.lower()
    machine, usual = _ALIASES.get(word, (word, ""))
    given = f"v{variant}" if variant.isdigit() else variant.lower()
    return Platform(system.lower(), machine, given or usual)


def rank(given: Platform, wanted: Platform) -> int:
    """How well one does for the other, 10 for the same; 0 for not at all."""
    if (given.os, given.architecture) != (wanted.os, wanted.architecture):
        return 0
    if given.variant == wanted.variant:
        return 10
    if wanted.architecture == "arm" and wanted.variant in _ARM and given.variant in _ARM:
        older = _ARM.index(given.variant) - _ARM.index(wanted.variant)
        return 9 - older if older > 0 else 0
    if {given.variant, wanted.variant} == {"", "v8"} and wanted.architecture == "arm64":
        return 9
    return 1 if not wanted.variant or not given.variant else 0


def platform_of(image: Image) -> Platform | None:
    """What an image says of itself; None where it says nothing."""
    return Platform(image.os, image.architecture, image.variant) if image.architecture else None


def foreign_warning(image: Image) -> str:
    """In Docker's words, for an image of other machines than this one; empty where it can run here."""
    actual = platform_of(image)
    if actual is None or rank(actual, host()) or actual.architecture in _ALSO.get(host().architecture, ()):
        return ""
    return (
        f"The requested image's platform ({actual}) does not match the detected host platform ({host()}) "
        "and no specific platform was requested"
    )


def mismatch(name: str, image: Image, wanted: Platform) -> str:
    """Why an image will not do for a platform, in Docker's words; empty where it does."""
    actual = platform_of(image)
    if actual is None or rank(actual, wanted):
        return ""
    return (
        f"image with reference {name} was found but does not match the specified platform: "
        f"wanted {wanted}, actual: {actual}"
    )


def check_platform(name: str, image: Image, wanted: Platform | None) -> None:
    """Raises ImageNotFound, as Docker does: the image of that platform is another one, which may be pulled."""
    if wanted is not None and (reason := mismatch(name, image, wanted)):
        raise ImageNotFound(reason)
