"""Creating a container: its image fetched if need be, its ID noted where asked. Shared by ``run`` and ``create``."""

from __future__ import annotations

import contextlib
import os

from bireme.cli import _terminal
from bireme.cli._config import create_body
from bireme.cli._errors import ENGINE_ERROR, ApiError, CliError
from bireme.cli._images import pull, split_reference
from bireme.cli._session import warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bireme.cli._flags import Values
    from bireme.cli._session import Session


def create_container(session: Session, options: Values, arguments: list[str], streams: dict[str, bool]) -> str:
    """The new container's ID. Raises CliError, after which no ``--cidfile`` of ours is left."""
    image, words = arguments[0], arguments[1:]
    console = _terminal.size() if options.on("tty") else (0, 0)
    body = create_body(options, image, words, streams=streams, environ=session.environ, console=console)
    query = {"name": options.text("name") or None, "platform": options.text("platform") or None}
    with _cidfile(options.text("cidfile")) as note:
        if options.text("pull") == "always":
            pull(session, image, quiet=options.on("quiet"), platform=options.text("platform"))
        answer = _create(session, query, body, image, options)
        for warning in answer.get("Warnings") or ():
            warn(f"WARNING: {warning}")
        container = str(answer["Id"])
        note(container)
    return container


def _create(
    session: Session, query: dict[str, Any], body: dict[str, Any], image: str, options: Values
) -> dict[str, Any]:
    client = session.client
    try:
        return dict(client.json("POST", "/containers/create", query, body))
    except ApiError as error:
        if not _is_missing(error) or options.text("pull") != "missing":
            raise
    if not options.on("quiet"):
        name, tag = split_reference(image)
        warn(f"Unable to find image '{name if ':' in tag else image}{'' if tag else ':latest'}' locally")
    pull(session, image, quiet=options.on("quiet"), platform=options.text("platform"))
    return dict(client.json("POST", "/containers/create", query, body))


def _is_missing(error: ApiError) -> bool:
    """Whether a pull may help: no image, or one for another platform."""
    reason = error.reason.lower()
    return error.code == 404 and ("no such image" in reason or "does not match the specified platform" in reason)


@contextlib.contextmanager
def _cidfile(path: str) -> Iterator[Any]:
    """Holds the file from before the container exists, so that its ID always finds a place. Raises CliError."""
    if not path:
        yield lambda container: None
        return
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        raise CliError(
            f"bireme: container ID file found, make sure the other container isn't running or delete {path}",
            ENGINE_ERROR,
        ) from None
    except OSError as error:
        raise CliError(
            f"bireme: failed to create the container ID file: {path}: {error.strerror}", ENGINE_ERROR
        ) from None
    try:
        yield lambda container: os.write(fd, container.encode())
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(fd)
