"""The grammar of flags: what Docker's users type, and what they are told when it does not fit."""

from __future__ import annotations

import pytest

from bireme.cli._flags import INT, LIST, STRING, Flag, FlagError, HelpWanted, parse

FLAGS = (
    Flag("all", "a"),
    Flag("detach", "d"),
    Flag("env", "e", LIST),
    Flag("name", "", STRING),
    Flag("proxy", "", default="true"),
    Flag("tail", "n", STRING, default="all"),
    Flag("timeout", "t", INT),
)


def test_long_and_short_flags_and_arguments() -> None:
    values, arguments = parse(FLAGS, ["-a", "x", "--name", "n", "y", "--name=m", "-t", "3"])
    assert arguments == ["x", "y"]
    assert values.on("all")
    assert values.text("name") == "m"
    assert values.number("timeout") == 3


def test_letters_in_a_bundle_the_last_of_which_takes_the_rest() -> None:
    values, arguments = parse(FLAGS, ["-adeA=b", "-e", "C=d", "-t=5"])
    assert arguments == []
    assert values.on("all")
    assert values.on("detach")
    assert values.many("env") == ["A=b", "C=d"]
    assert values.number("timeout") == 5


def test_a_boolean_can_be_taken_back() -> None:
    values, _ = parse(FLAGS, ["--all", "--all=false", "--proxy=0", "-d=t"])
    assert not values.on("all")
    assert not values.on("proxy")
    assert values.on("detach")


def test_defaults_hold_and_are_not_given() -> None:
    values, _ = parse(FLAGS, [])
    assert values.text("tail") == "all"
    assert values.on("proxy")
    assert not values.given("tail")
    assert values.number("timeout") is None
    assert values.many("env") == []


def test_flags_end_at_the_first_argument_where_the_rest_belongs_to_a_container() -> None:
    values, arguments = parse(FLAGS, ["-a", "image", "ls", "-d", "--", "--name"], interspersed=False)
    assert arguments == ["image", "ls", "-d", "--", "--name"]
    assert not values.on("detach")


def test_two_dashes_end_the_flags() -> None:
    assert parse(FLAGS, ["x", "--", "-a", "--"])[1] == ["x", "-a", "--"]


def test_one_dash_is_an_argument() -> None:
    assert parse(FLAGS, ["-", "-a"])[1] == ["-"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--nope"], "unknown flag: --nope"),
        (["--nope=1"], "unknown flag: --nope"),
        (["-Z"], "unknown shorthand flag: 'Z' in -Z"),
        (["-aZ"], "unknown shorthand flag: 'Z' in -aZ"),
        (["--name"], "flag needs an argument: --name"),
        (["-at"], "flag needs an argument: 't' in -at"),
        (["-t", "x"], 'invalid argument "x" for "-t, --timeout" flag: not a whole number'),
        (["--all=x"], 'invalid argument "x" for "-a, --all" flag: neither true nor false'),
        (["---x"], "bad flag syntax: ---x"),
        (["--=x"], "bad flag syntax: --=x"),
    ],
)
def test_what_does_not_fit_is_named(words: list[str], complaint: str) -> None:
    with pytest.raises(FlagError) as caught:
        parse(FLAGS, words)
    assert str(caught.value) == complaint


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["-ah"], ["x", "--help"]])
def test_help_is_wanted(words: list[str]) -> None:
    with pytest.raises(HelpWanted):
        parse(FLAGS, words)


def test_a_letter_h_of_its_own_is_no_call_for_help() -> None:
    values, _ = parse([Flag("hostname", "h", STRING)], ["-h", "box"])
    assert values.text("hostname") == "box"


def test_a_value_is_checked_and_the_reason_told() -> None:
    def check(text: str) -> None:
        raise ValueError(f"no {text} here")

    with pytest.raises(FlagError, match=r'invalid argument "v" for "--x" flag: no v here'):
        parse([Flag("x", "", STRING, check=check)], ["--x=v"])


def test_asking_for_a_flag_that_is_none_is_a_mistake_in_the_verb() -> None:
    values, _ = parse(FLAGS, [])
    with pytest.raises(KeyError):
        values.on("nope")
