"""Error kinds.

A kind says whose fault an error is and what can be done; callers tell errors apart by kind, never by text.
Every message is one line that names the thing, the cause and, where there is one, the way out.
"""

from __future__ import annotations


class BiremeError(Exception):
    """Root of all errors that this project raises on purpose."""


class NotFound(BiremeError):
    """The caller named a container, volume, image or path that does not exist."""


class ImageNotFound(NotFound):
    """The caller named an image that is not stored here; importing, loading or pulling it is the way out."""


class Conflict(BiremeError):
    """The request is valid but the present state forbids it: a name taken, a volume held, a container running."""


class NotModified(Conflict):
    """The thing already is in the state asked for (start of a running, stop of an exited container)."""


class InvalidConfig(BiremeError):
    """The caller's request can never work: a relative volume path, an unknown signal, a malformed reference."""


class Unsupported(InvalidConfig):
    """The request is well formed but ruled out by the specification or by this host; the text says by what."""


class OutputNotKept(Unsupported):
    """What the container has printed cannot be read again: its log driver is ``none``, by which nothing is kept."""


class DependencyFailed(BiremeError):
    """Something this depends on failed first: a volumes-from source that did not start."""


class DriverError(BiremeError):
    """The kernel, the launcher or a runtime refused; the text has the system's own reason."""


class CommandNotFound(DriverError):
    """The container's command does not exist in its root filesystem (exit status 127, as a shell says)."""


class CommandNotExecutable(DriverError):
    """The container's command exists but cannot be executed (exit status 126, as a shell says)."""


class MissingRequirement(DriverError):
    """The host lacks something needed: root, a kernel feature, a program; the text names it and its package."""


class StorageError(BiremeError):
    """The disk refused: full, read-only, or damaged; what was half made has been undone."""


class ActorStopped(BiremeError):
    """The actor that was asked has ended before it could answer: the runtime is closing, or a bug ended it."""


class ContainerFailed(BiremeError):
    """``run(check=True)``: the container ran and exited with another status than 0; ``result`` holds all of it."""

    def __init__(self, message: str, result: object) -> None:
        super().__init__(message)
        self.result = result
