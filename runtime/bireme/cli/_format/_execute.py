"""A parsed template applied to data. Pure."""

from __future__ import annotations

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
from bireme.cli._format._values import MISSING, Struct, text, truth, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_LAZY = ("and", "or")


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


class Execution:
    """One run of a template. ``functions`` raise ValueError with their complaint."""

    def __init__(self, source: str, functions: Mapping[str, Callable[..., object]], data: object) -> None:
        self._source = source
        self._functions = functions
        self._variables: list[tuple[str, object]] = [("$", data)]
        self._out: list[str] = []

    def run(self, nodes: Sequence[Node]) -> str:
        """Raises TemplateError."""
        self._block(nodes, self._variables[0][1])
        return "".join(self._out)

    def _block(self, nodes: Sequence[Node], dot: object) -> None:
        for node in nodes:
            if isinstance(node, Text):
                self._out.append(node.source)
            elif isinstance(node, Action):
                value = self._pipeline(node.pipeline, dot)
                if not node.pipeline.names:
                    self._out.append(text(value))
            elif isinstance(node, Branch):
                self._branch(node, dot)
            elif isinstance(node, Jump):
                raise _Break if node.source == "break" else _Continue

    def _branch(self, node: Branch, dot: object) -> None:
        known = len(self._variables)
        try:
            if node.kind == "range":
                self._range(node, dot)
                return
            value = self._pipeline(node.pipeline, dot)
            if truth(value):
                self._block(node.body, value if node.kind == "with" else dot)
            else:
                self._block(node.otherwise, dot)
        finally:
            del self._variables[known:]

    def _range(self, node: Branch, dot: object) -> None:
        value = self._pipeline(node.pipeline, dot, ranged=True)
        pairs = self._pairs(node, value)
        known = len(self._variables)
        if not pairs:
            self._block(node.otherwise, dot)
        for key, item in pairs:
            self._bind(node.pipeline, key, item)
            try:
                self._block(node.body, item)
            except _Break:
                break
            except _Continue:
                continue
            finally:
                del self._variables[known:]

    def _pairs(self, node: Branch, value: object) -> list[tuple[object, object]]:
        if value is None or value is MISSING:
            return []
        if isinstance(value, (list, tuple)):
            return list(enumerate(value))
        if isinstance(value, dict) and not isinstance(value, Struct):
            return [(key, value[key]) for key in sorted(value)]
        if isinstance(value, int) and not isinstance(value, bool):
            return [(index, index) for index in range(value)]
        raise self._error(node.pipeline.commands[0].words[0], f"range can't iterate over {text(value)}")

    def _bind(self, pipeline: Pipeline, key: object, item: object) -> None:
        if len(pipeline.names) == 1:
            self._set(pipeline, pipeline.names[0], item)
        elif pipeline.names:
            self._set(pipeline, pipeline.names[0], key)
            self._set(pipeline, pipeline.names[1], item)

    def _set(self, pipeline: Pipeline, name: str, value: object) -> None:
        if pipeline.declares:
            self._variables.append((name, value))
            return
        for index in range(len(self._variables) - 1, -1, -1):
            if self._variables[index][0] == name:
                self._variables[index] = (name, value)
                return

    def _pipeline(self, pipeline: Pipeline, dot: object, *, ranged: bool = False) -> object:
        final: tuple[object, ...] = ()
        for command in pipeline.commands:
            final = (self._command(command, dot, final),)
        if not ranged:
            for name in pipeline.names:
                self._set(pipeline, name, final[0])
        return final[0]

    def _command(self, command: Command, dot: object, final: tuple[object, ...]) -> object:
        first, rest = command.words[0], command.words[1:]
        if isinstance(first, Function):
            return self._call(first, rest, dot, final)
        if isinstance(first, Path):
            arguments = [*(self._value(word, dot) for word in rest), *final]
            return self._path(first, dot, arguments)
        if rest or final:
            raise self._error(first, f"can't give argument to non-function {first.source}")
        return self._value(first, dot)

    def _value(self, node: Node, dot: object) -> object:
        if isinstance(node, Literal):
            return node.value
        if isinstance(node, Dot):
            return dot
        if isinstance(node, Variable):
            return next(value for name, value in reversed(self._variables) if name == node.source)
        if isinstance(node, Path):
            return self._path(node, dot, [])
        if isinstance(node, Pipeline):
            return self._pipeline(node, dot)
        if isinstance(node, Function):
            return self._call(node, [], dot, ())
        raise self._error(node, f"can't handle {node.source}")

    def _call(self, node: Function, rest: Sequence[Node], dot: object, final: tuple[object, ...]) -> object:
        if node.source in _LAZY:
            return self._lazy(node, rest, dot, final)
        arguments = [*(self._value(word, dot) for word in rest), *final]
        try:
            return self._functions[node.source](*arguments)
        except TypeError:
            raise self._error(node, f"wrong number or kind of args for {node.source}: got {len(arguments)}") from None
        except ValueError as error:
            raise self._error(node, f"error calling {node.source}: {error}") from None

    def _lazy(self, node: Function, rest: Sequence[Node], dot: object, final: tuple[object, ...]) -> object:
        """``and`` and ``or`` look at no more arguments than they need."""
        thunks: list[Callable[[], object]] = [lambda word=word: self._value(word, dot) for word in rest]  # type: ignore[misc]  # mypy cannot infer a lambda's default
        thunks += [lambda value=value: value for value in final]  # type: ignore[misc]  # likewise
        if not thunks:
            raise self._error(node, f"wrong number of args for {node.source}: want at least 1 got 0")
        value: object = None
        for thunk in thunks:
            value = thunk()
            if truth(value) == (node.source == "or"):
                break
        return value

    def _path(self, node: Path, dot: object, arguments: list[object]) -> object:
        value = dot if node.root is None else self._value(node.root, dot)
        for index, name in enumerate(node.names):
            last = index == len(node.names) - 1
            value = self._field(node, value, name, arguments if last else [])
        return value

    def _field(self, node: Path, receiver: object, name: str, arguments: list[object]) -> object:
        if isinstance(receiver, dict):
            if name in receiver:
                return self._invoke(node, receiver[name], name, arguments)
            if not isinstance(receiver, Struct):
                return MISSING
            if receiver.kind != "struct":
                raise self._error(node, f"can't evaluate field {name} in type {receiver.kind}")
            raise self._error(node, f'map has no entry for key "{name}"')
        if receiver is MISSING:
            return MISSING
        if receiver is None:
            raise self._error(node, f"nil pointer evaluating interface {{}}.{name}")
        raise self._error(node, f"can't evaluate field {name} in type {type_name(receiver)}")

    def _invoke(self, node: Path, value: object, name: str, arguments: list[object]) -> object:
        if callable(value):
            try:
                return value(*arguments)
            except TypeError:
                raise self._error(node, f"wrong number of args for {name}: got {len(arguments)}") from None
        if arguments:
            raise self._error(node, f"{name} has arguments but cannot be invoked as function")
        return value

    def _error(self, node: Node, reason: str) -> TemplateError:
        before = self._source[: node.position]
        line, column = before.count("\n") + 1, node.position - (before.rfind("\n") + 1)
        return TemplateError(f'template: :{line}:{column}: executing "" at <{node.source}>: {reason}')
