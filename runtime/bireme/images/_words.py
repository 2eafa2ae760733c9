"""Words of a Dockerfile line: splitting that respects quotes, and the removal of quotes with variables put in. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bireme_actors import InvalidConfig

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?!$-]", re.ASCII)
_DEEPEST = 16
"""How far ``${a:-${b:-...}}`` may nest."""


def split_words(text: str) -> list[str]:
    """Split at blanks outside of quotes; quotes and backslashes stay in the words."""
    words: list[str] = []
    word, quote, at = "", "", 0
    while at < len(text):
        char = text[at]
        if char == "\\" and quote != "'" and at + 1 < len(text):
            word += text[at : at + 2]
            at += 2
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char.isspace():
            words += [word] if word else []
            word, at = "", at + 1
            continue
        word += char
        at += 1
    return [*words, word] if word else words


def expand(word: str, env: Mapping[str, str]) -> str:
    """Take the quotes out and put variables in. Raises InvalidConfig for a quote or brace that does not end."""
    return _Expander(word, env, 0).run()


class _Expander:
    def __init__(self, text: str, env: Mapping[str, str], depth: int) -> None:
        self._text = text
        self._env = env
        self._depth = depth
        self._at = 0

    def run(self) -> str:
        out: list[str] = []
        while self._at < len(self._text):
            char = self._next()
            if char == "'":
                out.append(self._until("'"))
            elif char == '"':
                out.append(self._double())
            elif char == "\\" and self._at < len(self._text):
                out.append(self._next())
            elif char == "$":
                out.append(self._variable())
            else:
                out.append(char)
        return "".join(out)

    def _next(self) -> str:
        self._at += 1
        return self._text[self._at - 1]

    def _until(self, end: str) -> str:
        stop = self._text.find(end, self._at)
        if stop < 0:
            raise InvalidConfig(f"unexpected end of statement while looking for matching {end} in {self._text!r}")
        inside, self._at = self._text[self._at : stop], stop + 1
        return inside

    def _double(self) -> str:
        out: list[str] = []
        while self._at < len(self._text):
            char = self._next()
            if char == '"':
                return "".join(out)
            if char == "\\" and self._text[self._at : self._at + 1] in ('"', "$", "\\"):
                out.append(self._next())
            else:
                out.append(self._variable() if char == "$" else char)
        raise InvalidConfig(f'unexpected end of statement while looking for matching " in {self._text!r}')

    def _variable(self) -> str:
        if self._text[self._at : self._at + 1] == "{":
            return self._braces()
        match = _NAME.match(self._text, self._at)
        if match is None:
            return "$"
        self._at = match.end()
        return self._env.get(match[0], "")

    def _braces(self) -> str:
        match = _NAME.match(self._text, self._at + 1)
        if match is None:
            raise InvalidConfig(f"syntax error: bad substitution in {self._text!r}")
        self._at = match.end()
        value = self._env.get(match[0])
        char = self._next() if self._at < len(self._text) else ""
        if char == "}":
            return value or ""
        set_ = value is not None
        if char == ":" and self._at < len(self._text):
            char, set_ = self._next(), bool(value)
        if char not in ("-", "+", "?"):
            raise InvalidConfig(f"unsupported modifier in substitution in {self._text!r}")
        return self._modified(match[0], char, value or "", set_)

    def _modified(self, name: str, operator: str, value: str, set_: bool) -> str:
        word = self._word_in_braces()
        if operator == "?" and not set_:
            raise InvalidConfig(f"{name}: {word or 'is not set'}")
        if operator == "+":
            return word if set_ else ""
        return value if set_ else word

    def _word_in_braces(self) -> str:
        depth, start = 1, self._at
        while self._at < len(self._text):
            char = self._next()
            if char == "\\":
                self._at += 1
            depth += {"{": 1, "}": -1}.get(char, 0)
            if depth == 0:
                if self._depth >= _DEEPEST:
                    raise InvalidConfig(f"substitutions nest too deeply in {self._text!r}")
                return _Expander(self._text[start : self._at - 1], self._env, self._depth + 1).run()
        raise InvalidConfig(f"unexpected end of statement while looking for matching }} in {self._text!r}")
