"""The house: which part of the project may import which, as a table, held against the import statements.

A *room* is a package or a module with a row in ``ROOMS``; a module belongs to the room with the longest name that fits.
Rooms see themselves, the rooms of their row and, of what is installed, the packages of their row. Every violation is
planted once, to see that it is found.
"""

from __future__ import annotations

import ast
import dataclasses
import graphlib
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping

import pytest

from tests.house import (
    PROJECT,
    SOURCE_ROOTS,
    Module,
    When,
    functions,
    imports,
    is_standard,
    loaded_with,
    read_modules,
    within,
)

_BASE = ("bireme._files", "bireme._syscalls")
_ACTORS = ("bireme_actors",)
_CLIENT = tuple(f"bireme.launcher.{name}" for name in ("client", "launchers", "_launched", "_spawn"))
"""The engine's side of the launcher; the rest of the package is the launcher's own."""
_LAUNCHER = ("bireme.launcher", *_CLIENT)
_IMAGES = ("bireme.images", "bireme.images.registry")
_ENGINE = ("bireme", "bireme.engine", "bireme.config", *_ACTORS)

ROOMS: dict[str, tuple[tuple[str, ...], frozenset[str]]] = {
    "bireme_actors": ((), frozenset({"trio"})),
    "bireme": ((), frozenset()),
    "bireme.__main__": (("bireme.cli",), frozenset()),
    "bireme._syscalls": ((), frozenset()),
    "bireme._files": ((), frozenset()),
    "bireme.config": ((), frozenset()),
    "bireme._calls": (("bireme._syscalls",), frozenset()),
    "bireme.launcher": (("bireme._calls", "bireme._syscalls"), frozenset()),
    **dict.fromkeys(_CLIENT, (("bireme.launcher", *_CLIENT, *_BASE, *_ACTORS), frozenset({"trio", "msgspec"}))),
    "bireme.drivers": ((*_LAUNCHER, *_BASE, *_ACTORS), frozenset({"trio", "msgspec", "pyseccomp"})),
    "bireme.storage": (("bireme.launcher", *_BASE, *_ACTORS), frozenset({"trio", "msgspec"})),
    "bireme.images": (
        ("bireme.images.registry", "bireme.storage", *_BASE, *_ACTORS),
        frozenset({"trio", "msgspec", "zstandard"}),
    ),
    "bireme.images.registry": (("bireme", "bireme.images", *_BASE, *_ACTORS), frozenset({"trio", "msgspec", "httpx"})),
    "bireme.engine": (
        ("bireme", "bireme.config", "bireme.drivers", "bireme.storage", *_IMAGES, *_LAUNCHER, *_BASE, *_ACTORS),
        frozenset({"trio"}),
    ),
    "bireme._portal": (_ENGINE, frozenset({"anyio", "trio"})),
    "bireme.blocking": (("bireme._portal", *_ENGINE), frozenset({"anyio"})),
    "bireme.aio": (("bireme._portal", *_ENGINE), frozenset({"anyio"})),
    "bireme._keys": ((), frozenset()),
    "bireme.server": (("bireme._keys", *_ENGINE, *_BASE), frozenset({"trio", "h11", "msgspec"})),
    "bireme.credentials": ((), frozenset()),
    "bireme.cli": (("bireme", "bireme._keys", "bireme.config", "bireme.credentials"), frozenset()),
    "bireme.cli.verbs.serve": (("bireme.cli", "bireme.config", "bireme.server"), frozenset()),
}

MODELS, PORTS, ACTORS, FRONTS = range(4)
FLOORS = {
    **dict.fromkeys(("_collector", "_errors", "_model", "_lifecycle", "_plan"), MODELS),
    **dict.fromkeys(("_registry", "_restart", "_tmpfs"), MODELS),
    **dict.fromkeys(("_ports", "_messages"), PORTS),
    **dict.fromkeys(("", "testing"), FRONTS),
}
"""Of bireme_actors, from the ground up; what is not named here stands among the actors. The front is named ``""``."""

TRIO_OF_ACTORS = frozenset({
    "BrokenResourceError", "CancelScope", "Cancelled", "ClosedResourceError", "EndOfChannel", "Event", "Lock",
    "MemoryReceiveChannel", "MemorySendChannel", "Nursery", "TaskStatus", "WouldBlock", "current_time",
    "lowlevel.cancel_shielded_checkpoint", "lowlevel.checkpoint", "lowlevel.checkpoint_if_cancelled",
    "lowlevel.enable_ki_protection", "move_on_after", "open_memory_channel", "open_nursery", "sleep", "sleep_forever",
})  # fmt: skip
"""No file, process, signal, socket or thread: the actors run on a virtual clock, anywhere."""

LEAN = ("bireme.launcher", "bireme.cli", "bireme.__main__")
"""What never loads anything but the standard library, save the two modules that are the way to the engine."""
NOT_LEAN = (*_CLIENT, "bireme.cli.verbs.serve")


@pytest.fixture(scope="module")
def house() -> Mapping[str, Module]:
    return read_modules()


def room_of(name: str) -> str:
    """The room a module of ours belongs to; raises AssertionError if it has none."""
    fitting = [room for room in ROOMS if name == room or (room != "bireme" and name.startswith(f"{room}."))]
    assert fitting, f"{name} has no row in ROOMS: say what it may import"
    return max(fitting, key=len)


def wrong_arrows(modules: Mapping[str, Module]) -> Iterator[str]:
    """Every import that its module's row does not allow."""
    for name, module in modules.items():
        room = room_of(name)
        rooms, packages = ROOMS[room]
        for found in imports(module, modules):
            if found.when is When.TYPES and (room == "bireme" or found.target == "typing_extensions"):
                continue  # the front names what it hands on at first use; the other is the type checker's own
            if within(found.target, ("bireme", "bireme_actors")):
                allowed = room_of(found.target) in (room, *rooms)
            else:
                allowed = is_standard(found.target) or found.target in packages
            if not allowed:
                yield f"{name}:{found.line} imports {found.target}"


def floor_of(name: str) -> int:
    """The floor of a module of bireme_actors."""
    return FLOORS.get(name.partition(".")[2].partition(".")[0], ACTORS)


def wrong_floors(modules: Mapping[str, Module]) -> Iterator[str]:
    """In bireme_actors: imports of a higher floor, trio below the actors, and of trio what is not on the list."""
    for name, module in modules.items():
        if not within(name, _ACTORS):
            continue
        floor = floor_of(name)
        for found in imports(module, modules):
            if within(found.target, _ACTORS) and floor_of(found.target) > floor:
                yield f"{name}:{found.line} imports {found.target}, of a higher floor"
            if found.target == "trio" and floor < ACTORS:
                yield f"{name}:{found.line} imports trio"
        if floor == ACTORS:
            yield from (f"{name} uses trio.{used}" for used in sorted(trio_names(module.tree) - TRIO_OF_ACTORS))


def trio_names(tree: ast.Module) -> set[str]:
    """What a module uses of trio: ``trio.Event`` is ``Event``, ``trio.lowlevel.x`` is ``lowlevel.x``."""
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    used = {ast.unparse(node).removeprefix("trio.") for node in nodes if ast.unparse(node).startswith("trio.")}
    used |= {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "trio"
        for alias in node.names
    }
    return {name for name in used if not any(other.startswith(f"{name}.") for other in used)} - {"trio"}


def lean_modules(modules: Mapping[str, Module]) -> list[str]:
    return [name for name in modules if within(name, LEAN) and not within(name, NOT_LEAN)]


def heavy_loads(modules: Mapping[str, Module]) -> Iterator[str]:
    """What comes along with the lean modules, through whatever they import, and is not of the standard library."""
    reached = loaded_with(lean_modules(modules), modules, (When.LOAD, When.LATER))
    for name, importer in sorted(reached.items()):
        if name not in modules and not is_standard(name):
            yield f"{name}, by way of {importer}"


def cycles(modules: Mapping[str, Module]) -> Iterator[str]:
    """A chain of modules that need each other to load."""
    graph = {
        name: {i.target for i in imports(module, modules) if i.when is When.LOAD and i.target in modules} - {name}
        for name, module in modules.items()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        yield " imports ".join(reversed(error.args[1]))


# The house as it is


def test_every_import_follows_an_arrow(house: Mapping[str, Module]) -> None:
    assert list(wrong_arrows(house)) == []


def test_every_floor_stands_on_those_below(house: Mapping[str, Module]) -> None:
    assert list(wrong_floors(house)) == []


def test_launcher_and_command_line_load_the_standard_library_alone(house: Mapping[str, Module]) -> None:
    assert list(heavy_loads(house)) == []


def test_no_modules_need_each_other_to_load(house: Mapping[str, Module]) -> None:
    assert list(cycles(house)) == []


def test_only_system_calls_need_ctypes(house: Mapping[str, Module]) -> None:
    users = {name for name, module in house.items() for i in imports(module, house) if i.target == "ctypes"}
    assert users == {"bireme._syscalls", "bireme._calls"}


def test_nothing_but_an_entry_point_reads_the_environment(house: Mapping[str, Module]) -> None:
    readers = {
        name
        for name, module in house.items()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv", "os.environb")
    }
    assert readers <= ENVIRONMENT_READERS


ENVIRONMENT_READERS = {
    "bireme.cli._main",  # the command's entry point
    "bireme.launcher._spawn",  # hands on where modules are found
    "bireme.launcher._boot",  # the launcher's entry point
    "bireme.cli._autostart",  # hands all of it on to the engine it starts
    "bireme.engine._open",  # open_runtime, the library's entry point
}


def test_what_is_loaded_in_fact(house: Mapping[str, Module]) -> None:
    """The same, asked of the interpreter: all lean modules in one process, then a look at what it has loaded."""
    names = [name for name in lean_modules(house) if not name.endswith("__main__")]
    program = (
        "import importlib, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names))"
    )
    command = [sys.executable, "-S", "-c", program]  # without site: what .pth files load is none of our doing
    environment = {"PYTHONPATH": ":".join(map(str, SOURCE_ROOTS))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["__main__", "bireme"]


# Fronts


@pytest.mark.parametrize("front", ["bireme", "bireme_actors", "bireme_actors.testing"])
def test_a_front_names_exactly_what_it_offers(front: str) -> None:
    module = __import__(front, fromlist=["*"])
    offered: list[str] = module.__all__
    assert offered == sorted(set(offered), key=_as_ruff_sorts)
    assert [name for name in offered if not hasattr(module, name)] == []
    public = {name for name in dir(module) if not name.startswith("_")} - {"annotations", "TYPE_CHECKING"}
    assert {name for name in public if name in offered or not _is_module(module, name)} == set(offered)


def _as_ruff_sorts(name: str) -> tuple[int, str]:
    """Constants, classes, the rest."""
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2, name)


def _is_module(module: object, name: str) -> bool:
    return isinstance(getattr(module, name), type(sys))


# Figures


def test_functions_are_short(house: Mapping[str, Module]) -> None:
    lengths = {name: length for module in house.values() for name, length in functions(module)}
    assert {name: length for name, length in lengths.items() if length > 60} == {}
    assert statistics.median(lengths.values()) <= 8
    assert statistics.quantiles(lengths.values(), n=10)[-1] <= 35


def test_every_module_says_what_it_is(house: Mapping[str, Module]) -> None:
    assert [name for name, module in house.items() if not ast.get_docstring(module.tree)] == []


# The checks bite


def planted(house: Mapping[str, Module], name: str, line: str) -> Mapping[str, Module]:
    """The house with one line more at the end of a module."""
    module = house[name]
    tree = ast.parse(f"{module.path.read_text()}\n{line}\n")
    return {**house, name: dataclasses.replace(module, tree=tree)}


@pytest.mark.parametrize(
    ("place", "line", "target"),
    [
        ("bireme.storage", "import bireme.engine", "bireme.engine"),
        ("bireme.engine", "from bireme.server import errors", "bireme.server.errors"),
        ("bireme.launcher.sandbox", "from bireme import _files", "bireme._files"),
        ("bireme.launcher._loop", "def late():\n    import bireme.launcher.client", "bireme.launcher.client"),
        ("bireme.cli._http", "import h11._state", "h11"),
        ("bireme.images", "if TYPE_CHECKING:\n    from bireme.drivers import native", "bireme.drivers.native"),
        ("bireme._files", "import trio", "trio"),
        ("bireme_actors._model", "import bireme", "bireme"),
        ("bireme_actors._actor", "from anyio import sleep", "anyio"),
    ],
)
def test_a_planted_import_is_found(house: Mapping[str, Module], place: str, line: str, target: str) -> None:
    found = [re.sub(r":\d+", "", message) for message in wrong_arrows(planted(house, place, line))]
    assert f"{place} imports {target}" in found


@pytest.mark.parametrize(
    ("place", "line", "found"),
    [
        ("_plan", "import trio", "imports trio"),
        ("_ports", "from bireme_actors import _actor", "imports bireme_actors._actor, of a higher floor"),
        ("_volume", "import trio\ntrio.run_process", "uses trio.run_process"),
        ("_volume", "from trio import socket", "uses trio.socket"),
        ("_volume", "import trio\ntrio.lowlevel.wait_readable", "uses trio.lowlevel.wait_readable"),
    ],
)
def test_a_planted_step_up_is_found(house: Mapping[str, Module], place: str, line: str, found: str) -> None:
    name = f"bireme_actors.{place}"
    messages = [re.sub(r":\d+", "", message) for message in wrong_floors(planted(house, name, line))]
    assert f"{name} {found}" in messages


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("bireme", "import bireme_actors"),
        ("bireme._syscalls", "from bireme import engine"),
        ("bireme.launcher", "from bireme.launcher.client import Launcher"),
        ("bireme.cli._streams", "def late():\n    from bireme.engine import Runtime"),
    ],
)
def test_a_planted_way_to_trio_is_found(house: Mapping[str, Module], place: str, line: str) -> None:
    found = list(heavy_loads(planted(house, place, line)))
    assert [message for message in found if message.startswith("trio, by way of ")]


def test_a_planted_cycle_is_found(house: Mapping[str, Module]) -> None:
    modules = planted(house, "bireme_actors._errors", "from bireme_actors import _plan")
    assert [message for message in cycles(modules) if "bireme_actors._errors imports bireme_actors._plan" in message]


def test_what_only_the_types_need_leads_nowhere(house: Mapping[str, Module]) -> None:
    modules = planted(house, "bireme.cli._streams", "if TYPE_CHECKING:\n    import trio")
    assert list(heavy_loads(modules)) == []


def test_the_top_level_holds_what_it_should() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout: what belongs to the project cannot be told")
    top = {line.partition("/")[0] for line in listed.stdout.splitlines()}
    assert {name for name in top if not name.startswith(".")} == {
        "actors", "bench", "CHANGELOG.md", "docs", "LICENSE", "Makefile", "pyproject.toml", "README.md",
        "requirements.lock", "runtime", "tests",
    }  # fmt: skip
