"""The entry point: reads the environment once, finds the verb, turns its end into an exit status."""

from __future__ import annotations

import os
import signal
import sys

from bireme.cli._errors import CliError
from bireme.cli._parser import parse_words
from bireme.cli._session import Session, say, warn
from bireme.cli._settings import read_settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_INTERRUPTED = 128 + signal.SIGINT


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (default: this process's) and return its exit status."""
    # As any filter: whoever reads our output may stop reading (``bireme logs x | head``).
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    _open_standard_streams()
    return run(sys.argv[1:] if argv is None else argv, os.environ)


def run(words: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one command line with nothing taken from the process but its standard streams."""
    try:
        return _answer(words, environ)
    except OSError as error:
        return _unwritten(error)
    except KeyboardInterrupt:
        return _INTERRUPTED


def _answer(words: Sequence[str], environ: Mapping[str, str]) -> int:
    try:
        status = _dispatch(words, environ)
        sys.stdout.flush()
        return status
    except CliError as error:
        if error.message:
            warn(error.message)
        return error.status


def _open_standard_streams() -> None:
    """What the caller has closed becomes /dev/null: the first socket would get its number, and pass for it."""
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number free: that one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(fd, "w" if fd else "r", encoding="utf-8", closefd=False))


def _unwritten(error: OSError) -> int:
    """What no verb expects to fail is its output: say so, and let nothing of it be tried again at exit."""
    what = f"{error.filename}" if error.filename else "cannot write the output"
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
    warn(f"{what}: {error.strerror or error}")
    return 1


def _dispatch(words: Sequence[str], environ: Mapping[str, str]) -> int:
    call = parse_words(words)
    if call.help:
        from bireme.cli._help import help_for

        sys.stdout.write(help_for(call))
        return 0
    if call.command is None:
        from bireme.cli._version import client_version

        say(f"Bireme version {client_version()}")
        return 0
    session = Session(read_settings(call.globals, environ), environ)
    try:
        return call.command.handler(session, call.options, call.arguments)
    finally:
        session.close()
