"""The few commands that fake processes understand, so that the same checks run on fakes and on real containers.

``true``, ``false``, ``echo``, ``cat``, ``sleep N``, and ``sh -c`` with ``echo``, ``sleep``, ``exit N`` and ``>&2``
between ``;`` (output comes at once, the time that ``sleep`` takes passes before the end). As the first process of a
real container, they are ended by SIGKILL only. Anything else runs until a signal or a test ends it; names that begin
with ``nosuch`` do not exist, and ``/etc/passwd`` is no program.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence

from bireme_actors._errors import CommandNotExecutable, CommandNotFound
from bireme_actors.testing._process import FakeProcess


def begin(process: FakeProcess) -> None:
    """Let a new process do what its command says. Raises CommandNotFound, CommandNotExecutable."""
    name, *arguments = process.spec.args
    if name.startswith("nosuch"):
        raise CommandNotFound(f'exec: "{name}": executable file not found in $PATH')
    if name == "/etc/passwd":
        raise CommandNotExecutable(f'exec: "{name}": permission denied')
    program = _PROGRAMS.get(name)
    if program is not None:
        process.obeys = frozenset()
        program(process, arguments)


def _echo(process: FakeProcess, words: Sequence[str]) -> None:
    _say(process, words)
    process.exit(0)


def _say(process: FakeProcess, words: Sequence[str]) -> None:
    to_errors = ">&2" in words and not process.spec.tty
    text = " ".join(word for word in words if word != ">&2") + "\n"
    (process.errors if to_errors else process.output).feed(text.encode())


def _cat(process: FakeProcess, arguments: Sequence[str]) -> None:
    if process.stdin is None:
        process.exit(0)
    else:
        process.input.connect(process.output.feed, lambda: process.exit(0))


def _sleep(process: FakeProcess, arguments: Sequence[str]) -> None:
    process.exit_after(float(arguments[0]))


def _shell(process: FakeProcess, arguments: Sequence[str]) -> None:
    seconds = 0.0
    for statement in arguments[1].split(";"):
        match shlex.split(statement):
            case ["exit", code]:
                process.exit_after(seconds, int(code))
                return
            case ["sleep", duration]:
                seconds += float(duration)
            case ["echo", *words]:
                _say(process, words)
            case _:
                raise CommandNotFound(f"the fake shell does not know: {statement}")
    process.exit_after(seconds)


_PROGRAMS: Mapping[str, Callable[[FakeProcess, Sequence[str]], None]] = {
    "true": lambda process, _: process.exit(0),
    "false": lambda process, _: process.exit(1),
    "echo": _echo,
    "cat": _cat,
    "sleep": _sleep,
    "sh": _shell,
}
