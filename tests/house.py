"""Who imports whom, read from the source: nothing is executed.

An import is told apart by when it happens: as its module *loads*, *later* inside a function, or only for the *types*.
What loads with a module are its load imports and, with each of those, all packages on the way (``import a.b.c`` runs
``a`` and ``a.b`` first), again with their load imports, and so on.
"""

from __future__ import annotations

import ast
import gc
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
SOURCE_ROOTS = (PROJECT / "actors", PROJECT / "runtime")


class When(Enum):
    """When an import statement is executed."""

    LOAD = "load"
    LATER = "later"
    TYPES = "types"


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module, as far as it is one of ours; of others the top-level name."""

    target: str
    line: int
    when: When


@dataclass(frozen=True, slots=True)
class Module:
    """A module of ours, parsed."""

    name: str
    path: Path
    tree: ast.Module
    is_package: bool


def read_modules(roots: Collection[Path] = SOURCE_ROOTS) -> dict[str, Module]:
    """Every module below the source roots, by name."""
    modules: dict[str, Module] = {}
    for root in roots:
        for path in sorted(root.rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if package else parts)
            modules[name] = Module(name, path, _parse(path), package)
    return modules


def _parse(path: Path) -> ast.Module:
    """Without the garbage collector: what it finalizes meanwhile makes Python 3.11 refuse the tree (SystemError)."""
    gc.disable()
    try:
        return ast.parse(path.read_text(), str(path))
    finally:
        gc.enable()


def imports(module: Module, ours: Collection[str]) -> list[Import]:
    """What a module imports, in the order of its lines; ``ours`` are the names of our modules."""
    return list(_walk(module.tree, When.LOAD, frozenset(ours)))


def _walk(node: ast.AST, when: When, ours: frozenset[str]) -> Iterator[Import]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        for name in _names(node, ours):
            yield Import(name, node.lineno, when)
    elif isinstance(node, ast.If) and _is_type_checking(node.test):
        for statement in node.body:
            yield from _walk(statement, When.TYPES, ours)
        for statement in node.orelse:
            yield from _walk(statement, when, ours)
    else:
        inside = When.LATER if when is When.LOAD and _is_function(node) else when
        for child in ast.iter_child_nodes(node):
            yield from _walk(child, inside, ours)


def _names(node: ast.Import | ast.ImportFrom, ours: frozenset[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (_cut(alias.name, ours) for alias in node.names)
        return
    module = node.module or ""
    if module not in ours:
        yield _cut(module, ours)
        return
    for alias in node.names:
        inner = f"{module}.{alias.name}"
        yield inner if inner in ours else module


def _cut(name: str, ours: frozenset[str]) -> str:
    return name if name in ours else name.partition(".")[0]


def _is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def is_standard(name: str) -> bool:
    """Whether a top-level name belongs to the standard library."""
    return name.partition(".")[0] in sys.stdlib_module_names


def within(name: str, places: Collection[str]) -> bool:
    """Whether a module is one of ``places`` or lies in one that is a package."""
    return any(name == place or name.startswith(f"{place}.") for place in places)


def loaded_with(starts: Collection[str], modules: Mapping[str, Module], whens: Collection[When]) -> dict[str, str]:
    """What gets loaded with ``starts``, and by whom first; imports of ``starts`` themselves count if in ``whens``."""
    found: dict[str, str] = {}
    waiting = [(name, "the start") for name in starts]
    while waiting:
        name, importer = waiting.pop()
        for step in _with_packages(name):
            if step in found:
                continue
            found[step] = importer
            if step in modules:
                relevant = whens if step in starts else (When.LOAD,)
                waiting += [(i.target, step) for i in imports(modules[step], modules) if i.when in relevant]
    return found


def _with_packages(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[: end + 1]) for end in range(len(parts)))


def functions(module: Module) -> Iterator[tuple[str, int]]:
    """Every function of a module with its length in lines."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{module.name}.{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1
