"""Seccomp profiles: rules with conditions, and what is left of them for one container.

A profile says what becomes of each system call, depending on what the container may do and where it runs. Resolving it
leaves plain ``Rules``: no conditions but those on the calls' arguments. Two containers whose rules are equal share one
compiled filter. Profiles as JSON have Docker's form (the one of ``docker run --security-opt seccomp=FILE``).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from bireme.drivers import capabilities
from bireme_actors import InvalidConfig, MissingRequirement, Unsupported

T = TypeVar("T")

ALLOW = 0x7FFF0000
_ACTIONS = {
    "SCMP_ACT_ALLOW": ALLOW,
    "SCMP_ACT_KILL": 0,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_KILL_THREAD": 0,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_TRAP": 0x00030000,
}
_ERRNO, _TRACE = 0x00050000, 0x7FF00000
_WITH_DATA = {"SCMP_ACT_ERRNO": _ERRNO, "SCMP_ACT_TRACE": _TRACE}

_EPERM = 1
_OPERATORS = frozenset({"NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A kind of processor. ``name`` is Docker's in ``arches``; architectures are libseccomp's names."""

    name: str
    native: str
    compatible: tuple[str, ...] = ()
    """Whose programs its kernel runs as well."""


_MACHINES = {
    "aarch64": Machine(name="arm64", native="AARCH64", compatible=("ARM",)),
    "riscv64": Machine(name="riscv64", native="RISCV64"),
    "x86_64": Machine(name="amd64", native="X86_64", compatible=("X86", "X32")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What a profile's conditions ask of the machine and its kernel."""

    machine: Machine
    kernel: tuple[int, int]


def this_host() -> Host:
    """Raises MissingRequirement on a kind of processor that profiles say nothing about."""
    found = os.uname()
    if found.machine not in _MACHINES:
        raise MissingRequirement(
            f"seccomp profiles know no processor {found.machine}; --security-opt seccomp=unconfined goes without"
        )
    return Host(machine=_MACHINES[found.machine], kernel=kernel_version(found.release))


def kernel_version(release: str) -> tuple[int, int]:
    """``6.1.0-13-amd64`` as ``(6, 1)``. Raises InvalidConfig for what does not begin with two numbers."""
    found = re.match(r"(\d+)\.(\d+)", release)
    if found is None:
        raise InvalidConfig(f"invalid kernel version {release!r}: write MAJOR.MINOR")
    return int(found[1]), int(found[2])


def fail_with(number: int) -> int:
    """The action that makes a call fail with an errno."""
    return _ERRNO | number


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare:
    """A condition on argument ``index``. With MASKED_EQ ``value`` is the mask and ``other`` what is left under it."""

    index: int
    operator: str
    value: int
    other: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What becomes of some system calls, if all conditions hold; empty conditions always do."""

    names: tuple[str, ...]
    action: int
    compare: tuple[Compare, ...] = ()
    with_capabilities: frozenset[str] = frozenset()
    """All of them are held."""
    without_capabilities: frozenset[str] = frozenset()
    """None of them is held."""
    machines: frozenset[str] = frozenset()
    """The machine is one of these."""
    not_machines: frozenset[str] = frozenset()
    kernel: tuple[int, int] | None = None
    """The kernel is at least this one."""
    before_kernel: tuple[int, int] | None = None

    def applies(self, held: frozenset[str], host: Host) -> bool:
        """Whether every condition but those on arguments holds."""
        return (
            self.with_capabilities <= held
            and not self.without_capabilities & held
            and (not self.machines or host.machine.name in self.machines)
            and host.machine.name not in self.not_machines
            and (self.kernel is None or host.kernel >= self.kernel)
            and (self.before_kernel is None or host.kernel < self.before_kernel)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """A profile resolved: what a filter is compiled from."""

    default: int
    architectures: tuple[str, ...]
    """Libseccomp's names, the machine's own first."""
    calls: tuple[tuple[str, int, tuple[Compare, ...]], ...]
    """(name, action, conditions on arguments)."""

    def digest(self, *context: str) -> str:
        """A name for whatever is made of these rules in a ``context``: 32 hexadecimal digits."""
        plain = [
            self.default,
            self.architectures,
            [(name, action, [(c.index, c.operator, c.value, c.other) for c in compare])
             for name, action, compare in self.calls],
            context,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(plain).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Rules, and what becomes of every call that none of them speaks of."""

    default: int
    architectures: Mapping[str, tuple[str, ...]] | None
    """Whose programs may run besides the machine's own: by the machine's native architecture, or, under "", on any
    machine. None: whatever it can run."""
    rules: tuple[Rule, ...]
    relevant: int = field(init=False)
    """Mask of the capabilities that make a difference."""

    def __post_init__(self) -> None:
        asked = frozenset[str]().union(*(rule.with_capabilities | rule.without_capabilities for rule in self.rules))
        object.__setattr__(self, "relevant", capabilities.mask(asked))

    def resolve(self, held: int, host: Host) -> Rules:
        """What is left for a container that holds the capabilities in the mask ``held``."""
        held_names = frozenset(capabilities.names(held))
        machine = host.machine
        compatible = machine.compatible
        if self.architectures is not None:
            compatible = self.architectures.get(machine.native, self.architectures.get("", ()))
        calls = [
            (name, rule.action, rule.compare)
            for rule in self.rules
            if rule.action != self.default and rule.applies(held_names, host)
            for name in rule.names
        ]
        return Rules(
            default=self.default,
            architectures=tuple(dict.fromkeys((machine.native, *compatible))),
            calls=tuple(dict.fromkeys(calls)),
        )


def parse(text: str) -> Profile:
    """A profile as JSON text, in Docker's form. Raises InvalidConfig that says what is wrong with it."""
    try:
        document = _Reader("the profile", json.loads(text))
    except (json.JSONDecodeError, RecursionError) as error:
        raise InvalidConfig(f"decoding the seccomp profile failed: {error}") from None
    if document.get("listenerPath", str, ""):
        raise Unsupported("invalid seccomp profile: listenerPath: there is nobody here to notify")
    default = _action(document, document.need("defaultAction", str), "defaultErrnoRet")
    return Profile(
        default=default,
        architectures=_architectures(document),
        rules=tuple(_rule(entry) for entry in document.each("syscalls")),
    )


def _architectures(document: _Reader) -> Mapping[str, tuple[str, ...]]:
    plain = document.texts("architectures")
    mapped = document.each("archMap")
    if plain and mapped:
        raise document.wrong("'architectures' and 'archMap' are both given; use one of them")
    if not mapped:
        return {"": tuple(map(_architecture, plain))}
    return {
        _architecture(entry.need("architecture", str)): tuple(map(_architecture, entry.texts("subArchitectures")))
        for entry in mapped
    }


def _architecture(name: str) -> str:
    return name.removeprefix("SCMP_ARCH_")


def _rule(entry: _Reader) -> Rule:
    name = entry.get("name", str, "")
    names = entry.texts("names")
    if bool(name) == bool(names):
        raise entry.wrong("it needs 'names', or one 'name'")
    includes, excludes = entry.nested("includes"), entry.nested("excludes")
    return Rule(
        names=tuple(names) or (name,),
        action=_action(entry, entry.need("action", str), "errnoRet"),
        compare=tuple(_compare(argument) for argument in entry.each("args")),
        with_capabilities=_capabilities(includes),
        without_capabilities=_capabilities(excludes),
        machines=frozenset(includes.texts("arches")),
        not_machines=frozenset(excludes.texts("arches")),
        kernel=_kernel(includes),
        before_kernel=_kernel(excludes),
    )


def _action(entry: _Reader, name: str, data_key: str) -> int:
    if name in _ACTIONS:
        return _ACTIONS[name]
    if name not in _WITH_DATA:
        raise entry.wrong(f"unknown action {name!r}")
    data = entry.get(data_key, int, _EPERM)
    if not 0 <= data <= 0xFFFF:
        raise entry.wrong(f"{data_key} {data} is out of range")
    return _WITH_DATA[name] | data


def _compare(argument: _Reader) -> Compare:
    operator = argument.need("op", str).removeprefix("SCMP_CMP_")
    if operator not in _OPERATORS:
        raise argument.wrong(f"unknown operator {argument.need('op', str)!r}")
    index = argument.get("index", int, 0)
    if not 0 <= index <= 5:
        raise argument.wrong(f"index {index}: a system call has arguments 0 to 5")
    values = argument.get("value", int, 0), argument.get("valueTwo", int, 0)
    if not all(0 <= value < 1 << 64 for value in values):
        raise argument.wrong("a value has 64 bits and no sign")
    return Compare(index=index, operator=operator, value=values[0], other=values[1])


def _capabilities(conditions: _Reader) -> frozenset[str]:
    masks = (capabilities.parse(name) for name in conditions.texts("caps"))
    return frozenset(name for found in masks for name in capabilities.names(found))


def _kernel(conditions: _Reader) -> tuple[int, int] | None:
    version = conditions.get("minKernel", str, "")
    return kernel_version(version) if version else None


class _Reader:
    """A JSON object that is read by key and type; the one place that says what is wrong, and where."""

    def __init__(self, where: str, value: object) -> None:
        self._where = where
        if not isinstance(value, dict):
            raise self.wrong("this is not an object")
        self._value: dict[str, object] = value

    def wrong(self, what: str) -> InvalidConfig:
        return InvalidConfig(f"invalid seccomp profile: {self._where}: {what}")

    def get(self, key: str, kind: type[T], missing: T) -> T:
        return missing if self._value.get(key) is None else self.need(key, kind)

    def need(self, key: str, kind: type[T]) -> T:
        value = self._value.get(key)
        if value is None:
            raise self.wrong(f"{key!r} is missing")
        if isinstance(value, bool) or not isinstance(value, kind):
            raise self.wrong(f"{key!r} is to be of type {kind.__name__}")
        return value

    def texts(self, key: str) -> list[str]:
        found = self.get(key, list, [])
        if not all(isinstance(item, str) for item in found):
            raise self.wrong(f"{key!r} is to be a list of texts")
        return found

    def nested(self, key: str) -> _Reader:
        return _Reader(f"{self._where}: {key}", self._value.get(key) or {})

    def each(self, key: str) -> list[_Reader]:
        return [_Reader(f"{key}[{n}]", item) for n, item in enumerate(self.get(key, list, []))]
