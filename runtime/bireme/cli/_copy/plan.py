"""Where a copy goes, and under which name: Docker's rules, which are those of ``cp -r`` made exact. Pure.

A directory that exists takes the source in, under its own name; ``SOURCE/.`` gives its contents only. A target that
does not exist is the new name, if the directory above it is there. A file replaces a file, never a directory, nor a
directory a file.
"""

from __future__ import annotations

import os.path

from bireme.cli._errors import CliError

CONTENTS = "."
"""The name that stands for no name: a directory's contents."""


class Place:
    """One end of a copy. ``name`` is the source's name where it is not the last part of ``path`` (a followed link)."""

    def __init__(self, path: str, *, exists: bool = True, is_directory: bool = False, name: str = "") -> None:
        self.path = path
        self.exists = exists
        self.is_directory = is_directory
        self.name = name


def split_argument(text: str) -> tuple[str, str]:
    """``CONTAINER:PATH`` as both; a local path has no container. ``./a:b`` and ``/a:b`` are local."""
    container, colon, path = text.partition(":")
    if text.startswith("/") or not colon or container.startswith("."):
        return "", text
    return container, path


def split_path(path: str) -> tuple[str, str]:
    """Directory and last part, without trailing slashes; ``dir/.`` keeps its dot."""
    cleaned = clean(path)
    if path == "." or path.endswith("/."):
        return cleaned, CONTENTS
    directory, name = os.path.split(cleaned)
    return directory or ".", name or "/"


def clean(path: str) -> str:
    """``os.path.normpath`` without its second leading slash."""
    return "/" + os.path.normpath(path).lstrip("/") if path.startswith("/") else os.path.normpath(path)


def asserts_directory(path: str) -> bool:
    """Whether the way a path is written says that it is a directory."""
    return path.endswith(("/", "/.")) or path == "."


def follow(path: str, target: str) -> Place:
    """The place that the symbolic link ``path`` leads to, which keeps the name it was asked for by."""
    resolved = target if target.startswith("/") else os.path.join(split_path(path)[0], target)
    resolved = clean(resolved)
    if path.endswith("/.") and not resolved.endswith("/."):
        return Place(f"{resolved}/.")
    if path.endswith("/") and not resolved.endswith("/"):
        resolved += "/"
    name = split_path(path)[1]
    return Place(resolved, name=name if name != split_path(resolved)[1] else "")


def plan_copy(source: Place, target: Place) -> tuple[str, str]:
    """The directory to unpack in, and the name the source gets there (CONTENTS for none). Raises CliError."""
    own = source.name or split_path(source.path)[1]
    if target.exists and target.is_directory:
        return target.path, CONTENTS if own == "/" else own
    if target.exists and source.is_directory:
        raise CliError(f"cannot copy directory {source.path} onto the file {target.path}")
    if not target.exists and not source.is_directory and asserts_directory(target.path):
        raise CliError(f"no such directory: {target.path}")
    return split_path(target.path)
