"""The terminal this client runs in: its size, and raw mode while a container has it."""

from __future__ import annotations

import os
from contextlib import contextmanager

from bireme.cli._errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

STDIN = 0
STDOUT = 1


def is_terminal(fd: int) -> bool:
    """False also for a descriptor that is closed."""
    return os.isatty(fd)


def size() -> tuple[int, int]:
    """Rows and columns of the terminal on standard output; 0, 0 where there is none."""
    try:
        columns, rows = os.get_terminal_size(STDOUT)
    except OSError:
        return 0, 0
    return rows, columns


def require_terminal(*, tty: bool, stdin: bool) -> None:
    """Raises CliError where a container's terminal would be fed from something that is none."""
    if tty and stdin and not is_terminal(STDIN):
        raise CliError("the input device is not a TTY")


@contextmanager
def raw_mode(fd: int, wanted: bool) -> Iterator[None]:
    """Every key goes to the container as it is typed; the terminal is as before on leaving."""
    if not wanted or not is_terminal(fd):
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(fd)
    tty.setraw(fd, termios.TCSANOW)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
