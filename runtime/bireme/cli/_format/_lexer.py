"""Go templates cut into tokens: text between actions, and the words of an action. Pure."""

from __future__ import annotations

import re

from bireme.cli._format._errors import TemplateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

TEXT, SPACE, FIELD, VARIABLE, NAME, NUMBER, STRING, SIGN, OPEN, CLOSE, END = (
    "text",
    "space",
    "field",
    "variable",
    "name",
    "number",
    "string",
    "sign",
    "{{",
    "}}",
    "EOF",
)

_WORD = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      | (?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)
      | (?P<char>'(?:[^'\\\n]|\\.)+')
      | (?P<number>[+-]?(?:0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+
          |[0-9][0-9_]*(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+))
      | (?P<field>\.[^\W\d]\w*)
      | (?P<variable>\$\w*)
      | (?P<name>[^\W\d]\w*)
      | (?P<sign>:=|[=|().,])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL)
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_SPACES = " \t\r\n"


class Token:
    """``text`` is the source, or the value of a string; ``position`` counts characters from the template's start."""

    __slots__ = ("kind", "position", "text")

    def __init__(self, kind: str, text: str, position: int) -> None:
        self.kind = kind
        self.text = text
        self.position = position


def tokens(source: str) -> Iterator[Token]:
    """Every token, the last one of kind END. Raises TemplateError."""
    position, trim = 0, False
    while (start := source.find("{{", position)) >= 0:
        left = source[start + 2 : start + 3] == "-" and source[start + 3 : start + 4] in tuple(_SPACES)
        yield from _text(source[position:start], position, trim_left=trim, trim_right=left)
        begin = start + (3 if left else 2)
        if source.startswith("/*", begin + (1 if left else 0)):
            position, trim = _skip_comment(source, begin + (1 if left else 0))
            continue
        yield Token(OPEN, "{{", start)
        position, trim = yield from _action(source, begin)
        yield Token(CLOSE, "}}", position - 2)
    yield from _text(source[position:], position, trim_left=trim, trim_right=False)
    yield Token(END, "EOF", len(source))


def _text(text: str, position: int, *, trim_left: bool, trim_right: bool) -> Iterator[Token]:
    if trim_left:
        text = text.lstrip(_SPACES)
    if trim_right:
        text = text.rstrip(_SPACES)
    if text:
        yield Token(TEXT, text, position)


def _skip_comment(source: str, position: int) -> tuple[int, bool]:
    end = source.find("*/", position)
    if end < 0:
        raise TemplateError(f"template: :{_line(source, position)}: unclosed comment")
    rest = source[end + 2 :]
    if rest.startswith("}}"):
        return end + 4, False
    if rest[1:4] == "-}}" and rest[0] in _SPACES:
        return end + 6, True
    raise TemplateError(f"template: :{_line(source, position)}: comment ends before closing delimiter")


def _action(source: str, position: int) -> Generator[Token, None, tuple[int, bool]]:
    """The tokens of one action; returns where it ends, and whether the text after it loses its leading space."""
    while True:
        if source.startswith("}}", position):
            return position + 2, False
        if source[position : position + 1] in tuple(_SPACES) and source.startswith("-}}", position + 1):
            return position + 4, True
        match = _WORD.match(source, position)
        if match is None:
            raise _bad_character(source, position)
        yield _token(match, source)
        position = match.end()


def _token(match: re.Match[str], source: str) -> Token:
    kind, text = str(match.lastgroup), match.group()
    if kind == "char":
        value = unescape(text[1:-1])
        if len(value) != 1:
            raise TemplateError(f"template: :{_line(source, match.start())}: malformed character constant: {text}")
        return Token(NUMBER, str(ord(value)), match.start())
    if kind == STRING:
        return Token(STRING, text[1:-1] if text[0] == "`" else unescape(text[1:-1]), match.start())
    return Token(kind, text, match.start())


def _bad_character(source: str, position: int) -> TemplateError:
    line = _line(source, position)
    if position >= len(source):
        return TemplateError(f"template: :{line}: unclosed action")
    character = source[position]
    if character in "\"'`":
        kind = {'"': "quoted string", "`": "raw quoted string", "'": "character constant"}[character]
        return TemplateError(f"template: :{line}: unterminated {kind}")
    return TemplateError(f"template: :{line}: bad character U+{ord(character):04X} '{character}'")


def unescape(text: str) -> str:
    """The value of the inside of a Go string literal."""

    def value(match: re.Match[str]) -> str:
        two, four, eight, octal, single = match.groups()
        if single is not None:
            return _SIMPLE.get(single, single)
        return chr(int(octal, 8) if octal else int(two or four or eight, 16))

    return _ESCAPE.sub(value, text)


def _line(source: str, position: int) -> int:
    return source.count("\n", 0, position) + 1
