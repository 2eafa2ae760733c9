"""The parts of a parsed template. Pure data; every part knows its place in the source."""

from __future__ import annotations


class Node:
    __slots__ = ("position", "source")

    def __init__(self, position: int, source: str = "") -> None:
        self.position = position
        self.source = source


class Text(Node):
    __slots__ = ()


class Literal(Node):
    """A string, number, boolean or ``nil``."""

    __slots__ = ("value",)

    def __init__(self, position: int, source: str, value: object) -> None:
        super().__init__(position, source)
        self.value = value


class Dot(Node):
    __slots__ = ()


class Function(Node):
    __slots__ = ()


class Path(Node):
    """``.A.B``, ``$x.A`` or ``(pipeline).A``: fields taken one after the other of ``root``."""

    __slots__ = ("names", "root")

    def __init__(self, position: int, source: str, root: Node | None, names: tuple[str, ...]) -> None:
        super().__init__(position, source)
        self.root = root
        self.names = names


class Variable(Node):
    __slots__ = ()


class Pipeline(Node):
    """Commands joined by ``|``; ``names`` are the variables it sets, ``declares`` tells ``:=`` from ``=``."""

    __slots__ = ("commands", "declares", "names")

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.names: list[str] = []
        self.declares = True
        self.commands: list[Command] = []


class Command(Node):
    """A first word and its arguments."""

    __slots__ = ("words",)

    def __init__(self, position: int, words: list[Node]) -> None:
        super().__init__(position)
        self.words = words


class Action(Node):
    __slots__ = ("pipeline",)

    def __init__(self, position: int, pipeline: Pipeline) -> None:
        super().__init__(position)
        self.pipeline = pipeline


class Branch(Node):
    """``kind`` is ``if``, ``with`` or ``range``."""

    __slots__ = ("body", "kind", "otherwise", "pipeline")

    def __init__(self, position: int, kind: str, pipeline: Pipeline, body: list[Node], otherwise: list[Node]) -> None:
        super().__init__(position)
        self.kind = kind
        self.pipeline = pipeline
        self.body = body
        self.otherwise = otherwise


class Jump(Node):
    """``break`` or ``continue``, in ``source``."""

    __slots__ = ()
