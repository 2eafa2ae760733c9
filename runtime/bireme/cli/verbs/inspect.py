"""``inspect``: everything the engine knows about containers, images and volumes, as JSON or through a template."""

from __future__ import annotations

import json
import sys

from bireme.cli._client import quote
from bireme.cli._command import Command
from bireme.cli._common_flags import format_flag
from bireme.cli._errors import ApiError, CliError, Exit
from bireme.cli._flags import STRING, Flag
from bireme.cli._render.listing import render_each
from bireme.cli._render.structure import structured
from bireme.cli._session import warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from bireme.cli._client import Client
    from bireme.cli._flags import Values
    from bireme.cli._session import Session

_KINDS = ("container", "image", "volume")
_PATHS = {"container": "/containers/{}/json", "image": "/images/{}/json", "volume": "/volumes/{}"}
_GONE = 404


def inspect(session: Session, options: Values, arguments: list[str]) -> int:
    kind = options.text("type")
    if options.given("type") and kind not in _KINDS:
        raise CliError(f'unknown type: "{kind}": must be one of "container", "image", "volume"')
    kinds = (kind,) if kind else _KINDS
    return _show(session, options, arguments, kinds, sized=options.on("size"))


def _of(kind: str) -> Callable[[Session, Values, list[str]], int]:
    def inspect_kind(session: Session, options: Values, arguments: list[str]) -> int:
        return _show(session, options, arguments, (kind,), sized=kind == "container" and options.on("size"))

    return inspect_kind


def _show(session: Session, options: Values, names: list[str], kinds: tuple[str, ...], *, sized: bool) -> int:
    """All that is found is shown, then what is not is told; exit status 1 if any was missing."""
    form = options.text("format")
    complaints: list[str] = []
    found = _found(session.client, names, kinds, complaints, sized)
    if form and form != "json":
        lines = list(render_each(form, (structured(item) for item in found)))
        sys.stdout.write("".join(lines) or "\n")
    else:
        indent, separators = (None, (",", ":")) if form else (4, (",", ": "))
        sys.stdout.write(json.dumps(list(found), indent=indent, separators=separators, ensure_ascii=False) + "\n")
    for complaint in complaints:
        warn(complaint)
    if complaints:
        raise Exit(1)
    return 0


def _found(
    client: Client, names: list[str], kinds: tuple[str, ...], complaints: list[str], sized: bool
) -> Iterator[dict[str, Any]]:
    for name in names:
        try:
            yield _find(client, name, kinds, sized)
        except ApiError as error:
            complaints.append(error.message)
        except LookupError:
            complaints.append(f"Error: No such object: {name}")


def _find(client: Client, name: str, kinds: tuple[str, ...], sized: bool) -> dict[str, Any]:
    """Raises ApiError; LookupError where it is none of several kinds."""
    for kind in kinds:
        query = {"size": True} if sized and kind == "container" else None
        try:
            return dict(client.json("GET", _PATHS[kind].format(quote(name)), query))
        except ApiError as error:
            if error.code != _GONE or len(kinds) == 1:
                raise
    raise LookupError(name)


_FORMAT = format_flag("f")
_SIZE = Flag("size", "s", summary="Display total file sizes if the type is container")
_SUMMARY = "Display detailed information on one or more"

COMMANDS = {
    "inspect": Command(
        "inspect",
        "inspect [OPTIONS] NAME|ID [NAME|ID...]",
        "Return low-level information on containers, images and volumes",
        inspect,
        flags=(_FORMAT, _SIZE, Flag("type", "", STRING, "Only inspect objects of the given type")),
        least=1,
    ),
    "container inspect": Command(
        "container inspect",
        "container inspect [OPTIONS] CONTAINER [CONTAINER...]",
        f"{_SUMMARY} containers",
        _of("container"),
        flags=(_FORMAT, Flag("size", "s", summary="Display total file sizes")),
        least=1,
    ),
    "image inspect": Command(
        "image inspect",
        "image inspect [OPTIONS] IMAGE [IMAGE...]",
        f"{_SUMMARY} images",
        _of("image"),
        flags=(_FORMAT,),
        least=1,
    ),
    "volume inspect": Command(
        "volume inspect",
        "volume inspect [OPTIONS] VOLUME [VOLUME...]",
        f"{_SUMMARY} volumes",
        _of("volume"),
        flags=(_FORMAT,),
        least=1,
    ),
}
