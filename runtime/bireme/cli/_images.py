"""Names of images as users type them, and the stream of progress that pulls, loads and imports answer with."""

from __future__ import annotations

import sys

from bireme.cli._client import decode_stream
from bireme.cli._errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TextIO

    from bireme.cli._client import Client


def split_reference(reference: str) -> tuple[str, str]:
    """``busybox:1`` → ``busybox``, ``1``; the tag may be a digest, or empty."""
    name, at, digest = reference.partition("@")
    if at:
        return name, digest
    head, colon, tag = reference.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (reference, "")


def pull(client: Client, reference: str, *, quiet: bool, out: TextIO | None = None) -> None:
    """Ask the engine to fetch an image; its progress goes to standard error. Raises CliError with its reason."""
    name, tag = split_reference(reference)
    response = client.open("POST", "/images/create", {"fromImage": name, "tag": tag or "latest"})
    show_progress(response.lines(), quiet=quiet, out=out)


def show_progress(
    lines: Iterable[bytes], *, quiet: bool = False, out: TextIO | None = None, steps_only: bool = False
) -> list[dict[str, Any]]:
    """Show a progress stream (on standard error); its values come back.

    ``steps_only``: what is final is not shown, the caller has its own use for it. Raises CliError with an error that
    the stream carries.
    """
    values: list[dict[str, Any]] = []
    board = _Board(out or sys.stderr)
    for value in decode_stream(lines):
        if not isinstance(value, dict):
            continue
        if value.get("error") or value.get("errorDetail"):
            board.end()
            detail = value.get("errorDetail") or {}
            raise CliError(f"Error response from daemon: {detail.get('message') or value.get('error')}")
        values.append(value)
        if not quiet and value.get("status") and (value.get("progressDetail") or not steps_only):
            board.show(value)
    board.end()
    return values


class _Board:
    """One line for what is under way, rewritten on a terminal; elsewhere only what is final."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._terminal = out.isatty()
        self._width = 0

    def show(self, value: dict[str, Any]) -> None:
        layer = f"{value['id']}: " if value.get("id") else ""
        text = f"{layer}{value['status']}"
        if not value.get("progressDetail"):
            self._write(text + "\n")
        elif self._terminal:
            self._write(f"{text} {value.get('progress') or _share(value['progressDetail'])}")

    def end(self) -> None:
        if self._width:
            self._write("")

    def _write(self, text: str) -> None:
        if self._width:
            self._out.write("\r" + " " * self._width + "\r")
        self._out.write(text)
        self._out.flush()
        self._width = 0 if text.endswith("\n") else len(text)


def _share(detail: dict[str, Any]) -> str:
    from bireme.cli._render.units import human_size

    current, total = int(detail.get("current") or 0), int(detail.get("total") or 0)
    return f"{human_size(current)}/{human_size(total)}" if total else human_size(current)
