"""Seccomp profiles: rules with conditions, and what is left of them for one container.

A profile says what becomes of each system call, depending on what the container may do and where it runs. Resolving it
leaves plain ``Rules``: no conditions but those on the calls' arguments. Two containers whose rules are equal share one
compiled filter.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from bireme.drivers import capabilities
from bireme_actors import InvalidConfig, MissingRequirement

ALLOW = 0x7FFF0000
_ERRNO = 0x00050000


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


def compare_groups(compare: tuple[Compare, ...]) -> list[tuple[Compare, ...]]:
    """Conditions that go into one rule; several on one argument are rules of their own, any of which is enough."""
    if len({condition.index for condition in compare}) < len(compare):
        return [(condition,) for condition in compare]
    return [compare]


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
