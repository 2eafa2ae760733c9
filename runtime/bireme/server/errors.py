"""Error kinds as HTTP: one table from kind to status, and Docker's error shape. Pure.

Docker's clients tell some start errors apart by their text (``docker run`` turns them into exit statuses 127 and 126),
so for two kinds the text is made to hold the words they look for.
"""

from __future__ import annotations

from bireme_actors import (
    ActorStopped,
    BiremeError,
    CommandNotExecutable,
    CommandNotFound,
    Conflict,
    ContainerFailed,
    DependencyFailed,
    DriverError,
    InvalidConfig,
    MissingRequirement,
    NotFound,
    NotModified,
    OutputNotKept,
    StorageError,
)

STATUS: tuple[tuple[type[BiremeError], int], ...] = (
    (NotModified, 304),
    (Conflict, 409),
    (NotFound, 404),
    (OutputNotKept, 501),
    (InvalidConfig, 400),
    (CommandNotFound, 400),
    (CommandNotExecutable, 400),
    (MissingRequirement, 500),
    (DriverError, 500),
    (DependencyFailed, 500),
    (StorageError, 500),
    (ContainerFailed, 500),
    (ActorStopped, 503),
    (BiremeError, 500),
)
"""The first kind that fits counts, so a special one stands before the general one."""

_WORDS: tuple[tuple[type[BiremeError], tuple[str, ...]], ...] = (
    (CommandNotFound, ("executable file not found in $PATH", "no such file or directory")),
    (CommandNotExecutable, ("permission denied", "is a directory", "exec format error")),
)
"""What clients look for in the text; the first is added where none is there."""


class Refusal(Exception):
    """A request that is answered with ``status`` and a sentence without asking the engine: no page, out of scope."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def out_of_scope(what: str) -> Refusal:
    """Of a part of Docker's API that this engine does not have; at "not supported" ``docker inspect`` looks on."""
    return Refusal(501, f"{what} not supported: Bireme runs containers with data volumes, and nothing else")


def status_of(error: BiremeError | Refusal) -> int:
    """The HTTP status of an error."""
    if isinstance(error, Refusal):
        return error.status
    return next(status for kind, status in STATUS if isinstance(error, kind))


def message_of(error: BiremeError | Refusal) -> str:
    """The text of an error, in characters that every client can decode."""
    text = str(error).encode("utf-8", "replace").decode() or type(error).__name__
    for kind, words in _WORDS:
        if isinstance(error, kind) and not any(word.lower() in text.lower() for word in words):
            return f"{text}: {words[0]}"
    return text
