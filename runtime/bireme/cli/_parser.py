"""From the words of a command line to a verb, its flags and its arguments. Pure, but for importing the verb."""

from __future__ import annotations

from importlib import import_module

from bireme.cli._commands import ALIASES, GROUPS, REFUSED, VERBS
from bireme.cli._errors import ENGINE_ERROR, UsageError
from bireme.cli._flags import STRING, Flag, FlagError, HelpWanted, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from bireme.cli._command import Command
    from bireme.cli._flags import Values

GLOBAL_FLAGS = (
    Flag("debug", "D", summary="Say what happens behind the scenes"),
    Flag("driver", "", STRING, 'Driver of an engine that has to be started (default "native")'),
    Flag("host", "H", STRING, "Socket of a running engine, unix:///path"),
    Flag("root", "", STRING, 'Directory of containers, volumes and images (default "/var/lib/bireme")'),
    Flag("run-dir", "", STRING, 'Directory of the engine\'s socket and log (default "/run/bireme", or ROOT/run)'),
    Flag("version", "v", summary="Print version information and quit"),
)


class Invocation:
    """What a command line asks for. ``command`` is None for help on everything or on a group, and for a version."""

    __slots__ = ("arguments", "command", "globals", "group", "help", "options")

    def __init__(self, common: Values) -> None:
        self.globals = common
        self.command: Command | None = None
        self.group = ""
        self.help = False
        self.options: Values = common
        self.arguments: list[str] = []


def parse_words(words: Sequence[str]) -> Invocation:
    """Raises UsageError; asking for help is no error."""
    try:
        values, rest = parse(GLOBAL_FLAGS, words, interspersed=False)
    except FlagError as error:
        raise UsageError(f"{error}\nSee 'bireme --help'.", ENGINE_ERROR) from None
    except HelpWanted:
        values, rest = parse(GLOBAL_FLAGS, ())[0], ["help"]
    call = Invocation(values)
    if rest and rest[0] == "help":
        rest = [*rest[1:], "--help"]
    if not rest or rest == ["--help"]:
        call.help = not values.on("version")
        return call
    name, rest = _resolve(call, rest)
    return _parse_verb(call, find(name), rest) if name else call


def find(name: str) -> Command:
    """The verb of that name, imported now."""
    module = import_module(f"bireme.cli.verbs.{VERBS[name][0]}")
    commands: dict[str, Command] = module.COMMANDS
    return commands[name]


def _resolve(call: Invocation, words: list[str]) -> tuple[str, list[str]]:
    """The verb's full name, and the words that are its own; no name for help on a group."""
    word, rest = words[0], words[1:]
    if word in GROUPS:
        return _resolve_in(call, word, rest)
    if word not in VERBS:
        raise UsageError(f"bireme: unknown command: bireme {word}\n\nRun 'bireme --help' for more information")
    return word, rest


def _resolve_in(call: Invocation, group: str, words: list[str]) -> tuple[str, list[str]]:
    call.group = group
    if not words or words[0] in ("--help", "-h"):
        call.help = True
        return "", []
    word, members = words[0], GROUPS[group][1]
    name = members.get(word) or members.get(ALIASES.get(word, ""))
    if name:
        return name, words[1:]
    reason = REFUSED.get(f"{group} {word}")
    if reason:
        raise UsageError(f"bireme: {group} {word}: {reason}")
    raise UsageError(
        f"bireme: unknown command: bireme {group} {word}\n\n"
        f"Usage:  bireme {group} COMMAND\n\nRun 'bireme {group} --help' for more information"
    )


def _parse_verb(call: Invocation, command: Command, words: list[str]) -> Invocation:
    call.command = command
    try:
        call.options, call.arguments = command.parse(words)
    except HelpWanted:
        call.help = True
    return call
