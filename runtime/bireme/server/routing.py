"""Which handler a path belongs to. Pure.

A pattern is a path with names in braces: ``{id}`` stands for one part of a path, perhaps with the slash in front that
containers' names are shown with, ``{name:path}`` for one or more (names of images have slashes). Every path may have an
API version in front.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from bireme.server.errors import Refusal

MIN_VERSION = (1, 24)
MAX_VERSION = (1, 49)

H = TypeVar("H", bound=Callable[..., Awaitable[object]])

_VERSION = re.compile(r"/v(\d{1,3})\.(\d{1,3})(/.*)")
_NAME = re.compile(r"\{(\w+)(:path)?\}")


def version_text(version: tuple[int, int]) -> str:
    """``1.49``."""
    return f"{version[0]}.{version[1]}"


@dataclass(frozen=True, slots=True)
class Route(Generic[H]):
    """``method`` on paths like ``pattern`` is for ``handler``."""

    method: str
    pattern: str
    handler: H


@dataclass(frozen=True, slots=True)
class Match(Generic[H]):
    """What was found for a path."""

    handler: H
    path: str
    version: tuple[int, int]
    parameters: Mapping[str, str]


class Router(Generic[H]):
    """A table of routes; of several that fit a path, the one that stands first counts."""

    def __init__(self, routes: Iterable[Route[H]]) -> None:
        self._routes: dict[tuple[str, str], list[tuple[re.Pattern[str], H]]] = {}
        for route in routes:
            key = (route.method, _first_part(route.pattern))
            self._routes.setdefault(key, []).append((compile_pattern(route.pattern), route.handler))

    def match(self, method: str, path: str) -> Match[H]:
        """Raises Refusal: 404 for an unknown path, 400 for a version that is too old or too new."""
        version, bare = split_version(path)
        for pattern, handler in self._routes.get((method, _first_part(bare)), ()):
            found = pattern.fullmatch(bare)
            if found:
                return Match(handler, bare, version, found.groupdict())
        raise Refusal(404, "page not found")


def split_version(path: str) -> tuple[tuple[int, int], str]:
    """The version (the newest where none is given) and the rest of the path. Raises Refusal."""
    found = _VERSION.fullmatch(path)
    if found is None:
        return MAX_VERSION, path
    version = (int(found[1]), int(found[2]))
    if version < MIN_VERSION:
        raise Refusal(
            400,
            f"client version {version_text(version)} is too old. Minimum supported API version is "
            f"{version_text(MIN_VERSION)}, please upgrade your client to a newer version",
        )
    if version > MAX_VERSION:
        raise Refusal(
            400,
            f"client version {version_text(version)} is too new. Maximum supported API version is "
            f"{version_text(MAX_VERSION)}",
        )
    return version, found[3]


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression for whole paths."""
    parts: list[str] = []
    end = 0
    for name in _NAME.finditer(pattern):
        parts.append(re.escape(pattern[end : name.start()]))
        parts.append(f"(?P<{name[1]}>.+)" if name[2] else f"/?(?P<{name[1]}>[^/]+)")
        end = name.end()
    return re.compile("".join(parts) + re.escape(pattern[end:]), re.DOTALL)


def _first_part(path: str) -> str:
    return path.split("/", 2)[1] if path.startswith("/") else ""
