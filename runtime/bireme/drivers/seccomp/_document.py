"""Profiles as JSON text, in Docker's form: that of ``docker run --security-opt seccomp=FILE``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeVar

from bireme.drivers import capabilities
from bireme.drivers.seccomp._profile import ALLOW, Compare, Profile, Rule, fail_with, kernel_version
from bireme_actors import InvalidConfig, Unsupported

T = TypeVar("T")

_ACTIONS = {
    "SCMP_ACT_ALLOW": ALLOW,
    "SCMP_ACT_KILL": 0,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_KILL_THREAD": 0,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_TRAP": 0x00030000,
}
_WITH_DATA = {"SCMP_ACT_ERRNO": fail_with(0), "SCMP_ACT_TRACE": 0x7FF00000}

_EPERM = 1
_OPERATORS = frozenset({"NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"})


def parse(text: str) -> Profile:
    """A profile as JSON text, in Docker's form. Raises InvalidConfig that says what is wrong with it."""
    try:
        document = _Reader("the profile", json.loads(text))
    except (ValueError, RecursionError) as error:
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
