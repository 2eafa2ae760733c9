"""How the command line fails: one clear line, and the exit status that Docker's would have."""

from __future__ import annotations

ENGINE_ERROR = 125
"""Exit status of ``run`` where the engine, not the container, failed; also of every wrong flag."""
NOT_EXECUTABLE = 126
NOT_FOUND = 127


class CliError(Exception):
    """Ends the command. ``message`` goes to standard error (nothing if empty), ``status`` is the exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class UsageError(CliError):
    """The words of the command line make no sense; ``message`` ends with where to read on."""


class ApiError(CliError):
    """The engine answered with an error. ``reason`` is its own text, ``code`` the HTTP status."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"Error response from daemon: {reason}")
        self.code = code
        self.reason = reason


class Unreachable(CliError):
    """There is no engine to talk to, or it went away in the middle."""


class Gone(CliError):
    """What was to go is not there: said, but no failure."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 0)


class Exit(CliError):
    """Ends the command silently: everything has been said already."""

    def __init__(self, status: int) -> None:
        super().__init__("", status)
