"""From words to verbs; every verb of the table is there, helps, and is said in the same words in every place."""

from __future__ import annotations

import re

import pytest

from bireme.cli._commands import COMMON, GROUPS, REFUSED, VERBS
from bireme.cli._errors import UsageError
from bireme.cli._flags import ABSENT
from bireme.cli._help import command_help, group_help, help_for, overview
from bireme.cli._parser import find, parse_words


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_exists_as_the_table_says(name: str) -> None:
    command = find(name)
    assert command.name == name
    assert command.usage.startswith(name)
    assert command.description.splitlines()[0].startswith(VERBS[name][1].removesuffix("."))
    names = [flag.name for flag in command.flags]
    assert len(names) == len(set(names))
    letters = [flag.letter for flag in command.flags if flag.letter]
    assert len(letters) == len(set(letters))
    assert all(flag.summary for flag in command.flags)


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_helps(name: str) -> None:
    call = parse_words([*name.split(), "--help"])
    assert call.help
    assert call.command is find(name)
    text = help_for(call)
    assert text.startswith(f"Usage:  bireme {name}")
    shown = {flag.name for flag in find(name).flags if re.search(rf"--{flag.name}( |$)", text, re.MULTILINE)}
    assert shown == {flag.name for flag in find(name).flags if flag.kind != ABSENT}
    assert max(map(len, text.splitlines())) <= 100


def test_groups_and_common_verbs_name_verbs_that_exist() -> None:
    assert set(COMMON) <= set(VERBS)
    for _, members in GROUPS.values():
        assert set(members.values()) <= set(VERBS)
    assert not set(REFUSED) & set(VERBS)


def test_help_of_everything_lists_every_verb() -> None:
    text = overview()
    assert parse_words([]).help
    assert parse_words(["help"]).help
    for name in VERBS:
        assert f"  {name.split()[0]}" in text


def test_help_of_a_group() -> None:
    call = parse_words(["volume"])
    assert call.help
    assert help_for(call) == group_help("volume")
    assert "  prune       Remove volumes that no container holds" in group_help("volume")
    assert help_for(parse_words(["help", "volume", "ls"])) == command_help(find("volume ls"))


def test_help_is_laid_out_as_dockers() -> None:
    assert command_help(find("kill")) == (
        "Usage:  bireme kill [OPTIONS] CONTAINER [CONTAINER...]\n"
        "\n"
        "Kill one or more running containers\n"
        "\n"
        "Aliases:\n"
        "  bireme container kill, bireme kill\n"
        "\n"
        "Options:\n"
        "  -s, --signal string   Signal to send to the container\n"
    )


@pytest.mark.parametrize(
    ("words", "name", "arguments"),
    [
        (["ps", "-a"], "ps", []),
        (["container", "ls"], "ps", []),
        (["container", "ps"], "ps", []),
        (["container", "list"], "ps", []),
        (["container", "remove", "x"], "rm", ["x"]),
        (["image", "rm", "x"], "rmi", ["x"]),
        (["image", "ls"], "images", []),
        (["volume", "remove", "x"], "volume rm", ["x"]),
        (["system", "df"], "system df", []),
        (["--debug", "run", "img", "sh", "-c", "--help"], "run", ["img", "sh", "-c", "--help"]),
        (["exec", "-it", "c", "ls", "-l"], "exec", ["c", "ls", "-l"]),
        (["top", "c", "-o", "pid"], "top", ["c", "-o", "pid"]),
        (["stop", "a", "-t", "1", "b"], "stop", ["a", "b"]),
    ],
)
def test_words_find_their_verb(words: list[str], name: str, arguments: list[str]) -> None:
    call = parse_words(words)
    assert call.command is not None
    assert call.command.name == name
    assert call.arguments == arguments
    assert not call.help


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["foo"], 1, "bireme: unknown command: bireme foo\n\nRun 'bireme --help' for more information"),
        (
            ["container", "foo"],
            1,
            (
                "bireme: unknown command: bireme container foo\n\nUsage:  bireme container COMMAND\n\n"
                "Run 'bireme container --help' for more information"
            ),
        ),
        (["run", "--nope", "x"], 125, "unknown flag: --nope\nSee 'bireme run --help'."),
        (["--nope", "ps"], 125, "unknown flag: --nope\nSee 'bireme --help'."),
        (["run"], 1, "bireme: 'bireme run' requires at least 1 argument\nSee 'bireme run --help'."),
        (["exec", "x"], 1, "bireme: 'bireme exec' requires at least 2 arguments\nSee 'bireme exec --help'."),
        (["ps", "x"], 1, "bireme: 'bireme ps' accepts no arguments\nSee 'bireme ps --help'."),
        (["rename", "x"], 1, "bireme: 'bireme rename' requires 2 arguments\nSee 'bireme rename --help'."),
        (["import"], 1, "bireme: 'bireme import' requires 1 to 2 arguments\nSee 'bireme import --help'."),
    ],
)
def test_words_that_make_no_sense(words: list[str], status: int, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_words(words)
    assert (caught.value.status, caught.value.message) == (status, message)


def test_a_volume_cannot_be_created_and_the_reason_is_told() -> None:
    with pytest.raises(UsageError, match=r"volumes have no names.*--volumes-from") as caught:
        parse_words(["volume", "create", "x"])
    assert caught.value.status == 1
