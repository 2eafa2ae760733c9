"""The grammar of one command: which flags it has and how words become values. Pure.

The rules are those that Docker's users know, and which ``argparse`` cannot express: a boolean takes ``=false``,
one-letter flags go in bundles (``-dit``, ``-ekey=value``), flags end at the first argument where what follows belongs
to a container, and an error names the flag in Docker's words.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BOOL = ""
STRING = "string"
INT = "int"
LIST = "list"
ABSENT = "absent"
"""The kind of a flag that Docker has: its ``summary`` says why it is not to be had here. Help does not show it."""

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


class FlagError(Exception):
    """The words do not fit the flags; the text says which and why."""


class HelpWanted(Exception):
    """The words ask for the command's help."""


class Flag:
    """One flag: ``--name``, ``-letter``.

    ``kind`` is what help shows for the value; BOOL takes none, INT a whole number, and any kind in ``repeatable`` may
    be given again. ``check`` raises ValueError with the reason why a value cannot be. ``old`` is a name that the flag
    had once and still answers to.
    """

    __slots__ = ("check", "default", "kind", "letter", "name", "old", "repeatable", "summary")

    def __init__(
        self,
        name: str,
        letter: str = "",
        kind: str = BOOL,
        summary: str = "",
        *,
        default: str = "",
        repeatable: bool = False,
        check: Callable[[str], object] | None = None,
        old: str = "",
    ) -> None:
        self.name = name
        self.letter = letter
        self.kind = kind
        self.summary = summary
        self.default = default
        self.repeatable = repeatable or kind == LIST
        self.check = check
        self.old = old

    @property
    def title(self) -> str:
        """As errors name it: ``"-t, --timeout"``."""
        return f"-{self.letter}, --{self.name}" if self.letter else f"--{self.name}"

    def accept(self, text: str) -> str:
        """The value as it is kept. Raises FlagError if the flag cannot have it."""
        try:
            if self.kind == BOOL:
                return "true" if parse_bool(text) else ""
            if self.kind == INT:
                return str(_whole(text))
            if self.check is not None:
                self.check(text)
        except ValueError as error:
            raise FlagError(f'invalid argument "{text}" for "{self.title}" flag: {error}') from None
        return text


def _check_known(flag: Flag) -> None:
    if flag.kind == ABSENT:
        raise FlagError(f"{flag.title} is not supported: {flag.summary}")


def parse_bool(text: str) -> bool:
    """Whether it is one of Go's words for true. Raises ValueError if it is none of those for false either."""
    if text in _TRUE | _FALSE:
        return text in _TRUE
    raise ValueError("neither true nor false")


def _whole(text: str) -> int:
    try:
        return int(text, 10)
    except ValueError:
        raise ValueError("not a whole number") from None


class Values:
    """What the flags of one command line say."""

    __slots__ = ("_flags", "_given")

    def __init__(self, flags: Sequence[Flag]) -> None:
        self._flags = {flag.name: flag for flag in flags}
        self._given: dict[str, list[str]] = {}

    def put(self, flag: Flag, text: str) -> None:
        """Take ``text`` for a flag; a flag that is not repeatable keeps the last. Raises FlagError."""
        value = flag.accept(text)
        if flag.repeatable:
            self._given.setdefault(flag.name, []).append(value)
        else:
            self._given[flag.name] = [value]

    def given(self, name: str) -> bool:
        """Whether the flag was on the command line at all."""
        self._flags[name]
        return name in self._given

    def text(self, name: str) -> str:
        """The value, or the flag's default."""
        flag = self._flags[name]
        return self._given[name][-1] if name in self._given else flag.default

    def on(self, name: str) -> bool:
        """Whether a boolean flag holds."""
        return bool(self.text(name))

    def many(self, name: str) -> list[str]:
        """Every value of a repeatable flag, in order."""
        self._flags[name]
        return list(self._given.get(name, ()))

    def number(self, name: str) -> int | None:
        """The value of an INT flag; None where neither given nor defaulted."""
        text = self.text(name)
        return int(text) if text else None


def parse(flags: Sequence[Flag], words: Sequence[str], *, interspersed: bool = True) -> tuple[Values, list[str]]:
    """Split ``words`` into values and arguments.

    Without ``interspersed`` the first argument ends the flags. Raises FlagError, HelpWanted.
    """
    return _Scan(flags, words, interspersed).run()


class _Scan:
    def __init__(self, flags: Sequence[Flag], words: Sequence[str], interspersed: bool) -> None:
        self._names = {name: flag for flag in flags for name in (flag.name, flag.old) if name}
        self._letters = {flag.letter: flag for flag in flags if flag.letter}
        self._rest = list(reversed(words))
        self._interspersed = interspersed
        self._values = Values(flags)
        self._arguments: list[str] = []

    def run(self) -> tuple[Values, list[str]]:
        while self._rest:
            word = self._rest.pop()
            if word == "--":
                self._take_rest()
            elif word.startswith("--"):
                self._long(word)
            elif word.startswith("-") and word != "-":
                self._bundle(word)
            else:
                self._arguments.append(word)
                if not self._interspersed:
                    self._take_rest()
        return self._values, self._arguments

    def _take_rest(self) -> None:
        self._arguments += reversed(self._rest)
        self._rest.clear()

    def _long(self, word: str) -> None:
        name, equals, value = word[2:].partition("=")
        if not name or name.startswith("-"):
            raise FlagError(f"bad flag syntax: {word}")
        flag = self._names.get(name)
        if flag is None:
            if name == "help":
                raise HelpWanted
            raise FlagError(f"unknown flag: --{name}")
        _check_known(flag)
        if equals:
            self._values.put(flag, value)
        elif flag.kind == BOOL:
            self._values.put(flag, "true")
        else:
            self._values.put(flag, self._next(f"flag needs an argument: --{name}"))

    def _bundle(self, word: str) -> None:
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            flag = self._letters.get(letter)
            if flag is None:
                if letter == "h":
                    raise HelpWanted
                raise FlagError(f"unknown shorthand flag: '{letter}' in {word}")
            _check_known(flag)
            if letters.startswith("="):
                self._values.put(flag, letters[1:])
                return
            if flag.kind == BOOL:
                self._values.put(flag, "true")
            else:
                self._values.put(flag, letters or self._next(f"flag needs an argument: '{letter}' in {word}"))
                return

    def _next(self, complaint: str) -> str:
        if not self._rest:
            raise FlagError(complaint)
        return self._rest.pop()
