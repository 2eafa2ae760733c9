"""What ``--help`` prints. Pure."""

from __future__ import annotations

import textwrap

from bireme.cli._commands import COMMON, GROUPS, VERBS
from bireme.cli._flags import ABSENT
from bireme.cli._parser import GLOBAL_FLAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bireme.cli._command import Command
    from bireme.cli._flags import Flag
    from bireme.cli._parser import Invocation

_WIDTH = 80


def help_for(call: Invocation) -> str:
    """Help on a verb, on a group of verbs, or on everything."""
    if call.command is not None:
        return command_help(call.command)
    return group_help(call.group) if call.group else overview()


def command_help(command: Command) -> str:
    lines = [f"Usage:  bireme {line}" for line in command.usage.splitlines()]
    lines = [lines[0], *(line.replace("Usage: ", "       ", 1) for line in lines[1:]), "", command.description]
    names = _other_names(command.name)
    if len(names) > 1:
        lines += ["", "Aliases:", "  " + ", ".join(f"bireme {name}" for name in names)]
    if command.flags:
        lines += ["", "Options:", *_flag_lines(command.flags)]
    return "\n".join(lines) + "\n"


def group_help(group: str) -> str:
    summary, members = GROUPS[group]
    lines = [f"Usage:  bireme {group} COMMAND", "", summary, "", "Commands:"]
    lines += _verb_lines((word, VERBS[name][1]) for word, name in sorted(members.items()))
    lines += ["", f"Run 'bireme {group} COMMAND --help' for more information on a command."]
    return "\n".join(lines) + "\n"


def overview() -> str:
    others = sorted(name for name in VERBS if " " not in name and name not in COMMON)
    lines = ["Usage:  bireme [OPTIONS] COMMAND", "", "A container runtime of actors: containers with data volumes", ""]
    lines += ["Common Commands:", *_verb_lines((name, VERBS[name][1]) for name in COMMON), ""]
    lines += ["Management Commands:", *_verb_lines((name, GROUPS[name][0]) for name in sorted(GROUPS)), ""]
    lines += ["Commands:", *_verb_lines((name, VERBS[name][1]) for name in others), ""]
    lines += ["Global Options:", *_flag_lines(GLOBAL_FLAGS), ""]
    lines += ["Run 'bireme COMMAND --help' for more information on a command."]
    return "\n".join(lines) + "\n"


def _other_names(name: str) -> list[str]:
    grouped = [f"{group} {word}" for group, (_, members) in GROUPS.items() for word in members if members[word] == name]
    return [*grouped, name] if name not in grouped else grouped


def _verb_lines(rows: Iterable[tuple[str, str]]) -> list[str]:
    return [f"  {name:<11} {summary}" for name, summary in rows]


def _flag_lines(flags: Sequence[Flag]) -> list[str]:
    shown = sorted((flag for flag in flags if flag.kind != ABSENT), key=lambda flag: flag.name)
    heads = [_flag_head(flag) for flag in shown]
    column = max(len(head) for head in heads) + 3
    lines: list[str] = []
    for head, flag in zip(heads, shown, strict=True):
        text = _wrapped(flag.summary, max(_WIDTH - column, 24))
        lines.append(f"{head:<{column}}{text[0]}".rstrip())
        lines += [" " * column + more for more in text[1:]]
    return lines


def _wrapped(summary: str, width: int) -> list[str]:
    return [piece for line in summary.splitlines() for piece in textwrap.wrap(line, width)] or [""]


def _flag_head(flag: Flag) -> str:
    letter = f"-{flag.letter}, " if flag.letter else "    "
    return f"  {letter}--{flag.name} {flag.kind}".rstrip()
