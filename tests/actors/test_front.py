"""The fronts are exact, the floors import downwards only, and the actors know few of trio's names."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from pathlib import Path
from types import ModuleType

import pytest

import bireme_actors
from bireme_actors import testing

PACKAGE = Path(bireme_actors.__file__).parent
MODULES = sorted(path.relative_to(PACKAGE).with_suffix("").as_posix() for path in PACKAGE.rglob("*.py"))

MODEL = ["_errors", "_model", "_messages", "_lifecycle", "_plan", "_tmpfs", "_restart", "_events", "_collector"]
PORTS = ["_ports"]
FLOORS = {
    **dict.fromkeys(["_errors", "_collector"], 0),
    **dict.fromkeys(["_model"], 1),
    **dict.fromkeys(["_lifecycle", "_plan", "_restart", "_ports", "_registry", "_events"], 2),
    **dict.fromkeys(["_messages", "_adoption", "_states", "_container_ports", "_tmpfs"], 3),
    **dict.fromkeys(["_mailbox", "_waiting"], 4),
    "_actor": 5,
    **dict.fromkeys(["_services", "_record", "_streams"], 6),
    **dict.fromkeys(["_run", "_volume"], 7),
    **dict.fromkeys(["_container", "_catalog"], 8),
    **dict.fromkeys(["_creation", "_starting"], 9),
    "_supervisor": 10,
}
TRIO = {
    "BrokenResourceError", "CancelScope", "ClosedResourceError", "EndOfChannel", "Event", "Lock",
    "MemoryReceiveChannel", "MemorySendChannel", "Nursery", "WouldBlock", "current_time", "lowlevel",
    "move_on_after", "open_memory_channel", "open_nursery", "sleep", "sleep_forever",
}  # fmt: skip
LOWLEVEL = {"cancel_shielded_checkpoint", "checkpoint", "checkpoint_if_cancelled", "enable_ki_protection"}


def _tree(module: str) -> ast.Module:
    return ast.parse((PACKAGE / f"{module}.py").read_text())


def _imports(module: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names if node.module == "bireme_actors" else {str(node.module)}
    return found


@pytest.mark.parametrize("front", [bireme_actors, testing])
def test_a_front_is_exact(front: ModuleType) -> None:
    public = {name for name, value in vars(front).items() if not name.startswith("_") and not inspect.ismodule(value)}
    assert public - {"annotations"} == set(front.__all__)
    assert list(front.__all__) == sorted(front.__all__, key=_as_ruff_sorts)
    assert len(set(front.__all__)) == len(front.__all__)


def _as_ruff_sorts(name: str) -> tuple[int, str]:
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def test_whoever_imports_everything_gets_the_front_only() -> None:
    namespace: dict[str, object] = {}
    exec("from bireme_actors import *", namespace)
    assert set(namespace) - {"__builtins__"} == set(bireme_actors.__all__)


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_what_it_is(module: str) -> None:
    head = ast.get_docstring(_tree(module))
    assert head
    assert head.split("\n\n")[0].endswith("."), "it begins with a sentence"
    assert "from __future__ import annotations" in (PACKAGE / f"{module}.py").read_text()


@pytest.mark.parametrize("module", FLOORS)
def test_a_module_imports_what_is_below_it_only(module: str) -> None:
    own = {name.removeprefix("bireme_actors.") for name in _imports(module) if name.startswith("bireme_actors")}
    assert all(FLOORS[name] < FLOORS[module] for name in own), f"{module} imports {sorted(own)}"


def test_every_module_has_its_floor() -> None:
    assert {module for module in MODULES if "/" not in module and module != "__init__"} == set(FLOORS)


@pytest.mark.parametrize("module", MODULES)
def test_nothing_but_the_standard_library_and_trio_is_imported(module: str) -> None:
    foreign = {name.split(".")[0] for name in _imports(module)} - sys.stdlib_module_names
    assert foreign <= {"bireme_actors", "trio"}
    if module in (*MODEL, *PORTS):
        assert "trio" not in foreign
        assert not [node for node in ast.walk(_tree(module)) if isinstance(node, ast.Await)]


@pytest.mark.parametrize("module", FLOORS)
def test_of_trio_the_actors_use_a_few_names(module: str) -> None:
    used, low = set(), set()
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "trio":
            used.add(node.attr)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "trio.lowlevel":
            low.add(node.attr)
    assert used <= TRIO, f"{module} uses trio.{sorted(used - TRIO)}"
    assert low <= LOWLEVEL, f"{module} uses trio.lowlevel.{sorted(low - LOWLEVEL)}"


@pytest.mark.parametrize("module", FLOORS)
def test_no_module_makes_a_system_call(module: str) -> None:
    forbidden = {"os", "subprocess", "socket", "ctypes", "pathlib", "shutil", "threading", "time", "asyncio"}
    assert not _imports(module) & forbidden


def test_the_model_loads_without_trio() -> None:
    loaded = {name: importlib.import_module(f"bireme_actors.{name}") for name in MODEL}
    assert all(not hasattr(module, "trio") for module in loaded.values())


@pytest.mark.parametrize("module", ["_supervisor", "_container", "_mailbox", "_waiting", "_streams", "_ports"])
def test_every_public_coroutine_says_what_it_does(module: str) -> None:
    obvious = {"aclose", "run", "send_all"}
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.AsyncFunctionDef) and not node.name.startswith("_") and node.name not in obvious:
            assert ast.get_docstring(node), f"{module}.{node.name}"
