"""Tokens to nodes. Pure."""

from __future__ import annotations

from bireme.cli._format import _lexer as lex
from bireme.cli._format._errors import TemplateError
from bireme.cli._format._nodes import (
    Action,
    Branch,
    Command,
    Dot,
    Function,
    Jump,
    Literal,
    Node,
    Path,
    Pipeline,
    Text,
    Variable,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

    from bireme.cli._format._lexer import Token

_CONSTANTS = {"true": True, "false": False, "nil": None}
_BRANCHES = ("if", "with", "range")


def parse_template(source: str, functions: Container[str]) -> list[Node]:
    """The template's parts. Raises TemplateError, also for a function that is not in ``functions``."""
    parser = _Parser(source, functions)
    nodes, stop = parser.block(in_range=False)
    if stop != "EOF":
        raise parser.error(f"unexpected {{{{{stop}}}}}")
    return nodes


class _Parser:
    def __init__(self, source: str, functions: Container[str]) -> None:
        self._source = source
        self._functions = functions
        self._tokens = list(lex.tokens(source))
        self._index = 0
        self._variables = ["$"]

    def error(self, reason: str) -> TemplateError:
        line = self._source.count("\n", 0, self._peek().position) + 1
        return TemplateError(f"template: :{line}: {reason}")

    def block(self, in_range: bool) -> tuple[list[Node], str]:
        """Parts up to ``end``, ``else`` or the template's end, and which of them it was (its action half read)."""
        nodes: list[Node] = []
        while True:
            token = self._next()
            if token.kind == lex.END:
                return nodes, "EOF"
            if token.kind == lex.TEXT:
                nodes.append(Text(token.position, token.text))
                continue
            self._skip_space()
            word = self._peek()
            if word.kind == lex.NAME and word.text in ("end", "else"):
                self._next()
                return nodes, word.text
            nodes.append(self._action(word, in_range))

    def _action(self, word: Token, in_range: bool) -> Node:
        if word.kind == lex.NAME and word.text in _BRANCHES:
            self._next()
            return self._branch(word.text, word.position, in_range)
        if word.kind == lex.NAME and word.text in ("break", "continue"):
            self._next()
            self._close()
            if not in_range:
                raise self.error(f"{{{{{word.text}}}}} outside {{{{range}}}}")
            return Jump(word.position, word.text)
        if word.kind == lex.NAME and word.text in ("define", "template", "block"):
            raise self.error(f"{{{{{word.text}}}}} is not supported")
        pipeline = self._pipeline("command")
        self._close()
        return Action(word.position, pipeline)

    def _branch(self, kind: str, position: int, in_range: bool) -> Node:
        known = len(self._variables)
        pipeline = self._pipeline(kind)
        self._close()
        inside = in_range or kind == "range"
        body, stop = self.block(inside)
        otherwise: list[Node] = []
        if stop == "else":
            otherwise, stop = self._otherwise(kind, in_range)
        if stop != "end":
            raise self.error("unexpected EOF")
        self._close()
        del self._variables[known:]
        return Branch(position, kind, pipeline, body, otherwise)

    def _otherwise(self, kind: str, in_range: bool) -> tuple[list[Node], str]:
        """What follows ``else``: ``else if`` (and ``else with``) is a branch inside that shares our ``end``."""
        self._skip_space()
        word = self._peek()
        if word.kind == lex.NAME and word.text == kind and kind in ("if", "with"):
            self._next()
            nested = self._nested(kind, word.position, in_range)
            return [nested], "end"
        self._close()
        nodes, stop = self.block(in_range)
        if stop == "else":
            raise self.error("expected end; found {{else}}")
        return nodes, stop

    def _nested(self, kind: str, position: int, in_range: bool) -> Node:
        pipeline = self._pipeline(kind)
        self._close()
        body, stop = self.block(in_range)
        otherwise: list[Node] = []
        if stop == "else":
            otherwise, stop = self._otherwise(kind, in_range)
        if stop != "end":
            raise self.error("unexpected EOF")
        return Branch(position, kind, pipeline, body, otherwise)

    def _pipeline(self, context: str) -> Pipeline:
        self._skip_space()
        pipeline = Pipeline(self._peek().position)
        self._declarations(pipeline, context)
        while True:
            self._skip_space()
            command = self._command()
            if pipeline.commands and not isinstance(command.words[0], (Function, Path, Variable)):
                raise self.error(f"non executable command in pipeline stage {len(pipeline.commands) + 1}")
            pipeline.commands.append(command)
            if not self._accept("|"):
                return pipeline

    def _declarations(self, pipeline: Pipeline, context: str) -> None:
        start = self._index
        names: list[str] = []
        while self._peek().kind == lex.VARIABLE:
            names.append(self._next().text)
            self._skip_space()
            if self._peek().text in (":=", "=") and self._peek().kind == lex.SIGN:
                pipeline.declares = self._next().text == ":="
                self._declare(pipeline, names)
                return
            if not (context == "range" and len(names) == 1 and self._accept(",")):
                break
            self._skip_space()
        self._index = start

    def _declare(self, pipeline: Pipeline, names: list[str]) -> None:
        pipeline.names = names
        if pipeline.declares:
            self._variables += names
            return
        for name in names:
            self._known(name)

    def _command(self) -> Command:
        position = self._peek().position
        words: list[Node] = []
        while (word := self._operand()) is not None:
            words.append(word)
            if self._peek().kind == lex.SPACE:
                self._next()
                continue
            token = self._peek()
            if token.kind == lex.CLOSE or token.text in ("|", ")"):
                break
            raise self.error(f"unexpected {_show(token)} in operand")
        if not words:
            raise self.error(f"missing value for command, found {_show(self._peek())}")
        return Command(position, words)

    def _operand(self) -> Node | None:
        token = self._peek()
        if token.kind == lex.CLOSE or (token.kind == lex.SIGN and token.text in ("|", ")")):
            return None
        self._next()
        root = self._term(token)
        second = self._peek().position
        names: list[str] = []
        while self._peek().kind == lex.FIELD:
            names.append(self._next().text[1:])
        if token.kind == lex.FIELD:
            return self._path(token, None, (token.text[1:], *names), second)
        if not names:
            return root
        if isinstance(root, (Literal, Dot, Function)):
            raise self.error(f"unexpected . after term {token.text!r}")
        return self._path(token, root, tuple(names), second)

    def _path(self, token: Token, root: Node | None, names: tuple[str, ...], second: int) -> Path:
        """Its place, for errors, is where its second word stands, as Go has it; its source is all of it."""
        end = self._peek().position
        place = second if second < end else token.position
        return Path(place, self._source[token.position : end], root, names)

    def _term(self, token: Token) -> Node:
        place, text = token.position, token.text
        if token.kind == lex.STRING:
            return Literal(place, text, text)
        if token.kind == lex.NUMBER:
            return Literal(place, text, _number(text))
        if token.kind == lex.FIELD or (token.kind == lex.SIGN and text == "."):
            return Dot(place, ".")
        if token.kind == lex.VARIABLE:
            self._known(text)
            return Variable(place, text)
        if token.kind == lex.NAME:
            return self._name(token)
        if token.kind == lex.SIGN and text == "(":
            pipeline = self._pipeline("parenthesized pipeline")
            if not self._accept(")"):
                raise self.error("unclosed left paren")
            return pipeline
        raise self.error(f"unexpected {_show(token)} in command")

    def _name(self, token: Token) -> Node:
        if token.text in _CONSTANTS:
            return Literal(token.position, token.text, _CONSTANTS[token.text])
        if token.text not in self._functions:
            raise self.error(f'function "{token.text}" not defined')
        return Function(token.position, token.text)

    def _known(self, name: str) -> None:
        if name not in self._variables:
            raise self.error(f'undefined variable "{name}"')

    def _close(self) -> None:
        self._skip_space()
        token = self._next()
        if token.kind != lex.CLOSE:
            raise self.error(f"unexpected {_show(token)} in command")

    def _accept(self, sign: str) -> bool:
        self._skip_space()
        if self._peek().kind == lex.SIGN and self._peek().text == sign:
            self._next()
            return True
        return False

    def _skip_space(self) -> None:
        while self._peek().kind == lex.SPACE:
            self._next()

    def _peek(self) -> Token:
        return self._tokens[self._index]

    def _next(self) -> Token:
        token = self._tokens[self._index]
        if token.kind != lex.END:
            self._index += 1
        return token


def _show(token: Token) -> str:
    if token.kind == lex.END:
        return "EOF"
    return f"<{token.text}>" if token.kind in (lex.FIELD, lex.NAME, lex.VARIABLE) else f'"{token.text}"'


def _number(text: str) -> int | float:
    plain = text.replace("_", "")
    try:
        return int(plain, 0) if plain.lstrip("+-0") or plain.strip("+-") == "0" else int(plain, 8)
    except ValueError:
        pass
    try:
        return int(plain, 8) if plain.lstrip("+-").isdigit() else float(plain)
    except ValueError:
        raise TemplateError(f"bad number syntax: {text!r}") from None
