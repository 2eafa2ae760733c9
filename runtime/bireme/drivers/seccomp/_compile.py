"""From rules to a BPF program, through libseccomp.

Libseccomp knows the numbers of the system calls that existed when it was released. A call it does not know cannot be
allowed, and the profile's EPERM would mislead programs that try a new call first and fall back on ENOSYS. So a few
instructions stand in front: a call numbered above all that the rules name fails with ENOSYS, as on an older kernel.
What has come out is then written anew, shorter (``_shrink``).

Slow (tens of milliseconds, a large profile takes longer): call it from a thread.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterable
from types import ModuleType

from bireme.drivers.seccomp import _shrink
from bireme.drivers.seccomp._profile import ALLOW, Compare, Rules, compare_groups, fail_with
from bireme_actors import InvalidConfig, MissingRequirement

FORMAT = "2"
"""Changes whenever equal rules become another program."""

MOST_INSTRUCTIONS = 4096
"""BPF_MAXINSNS, the kernel's bound."""

_LOAD, _JUMP_EQUAL, _JUMP_GREATER, _JUMP_AT_LEAST, _RETURN = 0x20, 0x15, 0x25, 0x35, 0x06
_NUMBER_OFFSET, _ARCHITECTURE_OFFSET = 0, 4
_X32_BIT = 0x40000000
_ENOSYS = fail_with(errno.ENOSYS)
_PERMISSIVE = (ALLOW, 0x7FFC0000, 0x7FF00000)
_BINARY_TREE = 2


def program(rules: Rules) -> bytes:
    """``struct sock_filter`` after ``struct sock_filter``.

    Raises InvalidConfig if libseccomp or the kernel's bound refuse the rules, MissingRequirement without libseccomp.
    """
    library = _library()
    architectures = {name: _architecture(library, name) for name in rules.architectures}
    try:
        code = _export(library, _filter(library, rules, architectures))
    except OSError as error:
        raise InvalidConfig(f"libseccomp refuses the seccomp profile: {error.strerror}") from None
    code = _shrink.shrink(_unknown_calls(library, rules, architectures) + code)
    if len(code) // 8 > MOST_INSTRUCTIONS:
        raise InvalidConfig(
            f"the seccomp profile is too large: {len(code) // 8} instructions, {MOST_INSTRUCTIONS} are possible"
        )
    return code


def _library() -> ModuleType:
    try:
        import pyseccomp
    except (RuntimeError, OSError) as error:
        raise MissingRequirement(
            f"seccomp filters need the library libseccomp ({error}): install the Debian package libseccomp2, "
            "or do without, with --security-opt seccomp=unconfined"
        ) from None
    module: ModuleType = pyseccomp
    return module


def _architecture(library: ModuleType, name: str) -> int:
    found = getattr(library.Arch, name, None)
    if not isinstance(found, int) or not found:
        raise InvalidConfig(f"invalid seccomp profile: unknown architecture SCMP_ARCH_{name}")
    return found


def _filter(library: ModuleType, rules: Rules, architectures: dict[str, int]) -> object:
    made = library.SyscallFilter(rules.default)
    for architecture in architectures.values():
        if not made.exist_arch(architecture):
            made.add_arch(architecture)
    if library.system_arch() not in architectures.values():
        made.remove_arch(library.system_arch())
    _optimize(library, made)
    for name, action, compare in rules.calls:
        number = library.resolve_syscall(library.Arch.NATIVE, name)
        if number != -1:
            for group in compare_groups(compare):
                made.add_rule(action, number, *(_argument(library, condition) for condition in group))
    return made


def _optimize(library: ModuleType, made: object) -> None:
    """Have the calls looked up in a binary tree (libseccomp 2.5) instead of one after the other."""
    try:
        made.set_attr(library.Attr.CTL_OPTIMIZE, _BINARY_TREE)  # type: ignore[attr-defined]  # untyped library
    except OSError:
        return


def _argument(library: ModuleType, condition: Compare) -> object:
    return library.Arg(condition.index, getattr(library, condition.operator), condition.value, condition.other)


def _export(library: ModuleType, made: object) -> bytes:
    with open(os.memfd_create("seccomp"), "w+b") as file:
        made.export_bpf(file)  # type: ignore[attr-defined]  # untyped library
        file.seek(0)
        return file.read()


def _unknown_calls(library: ModuleType, rules: Rules, architectures: dict[str, int]) -> bytes:
    """The instructions that go in front, none if the profile lets unknown calls through or says ENOSYS itself."""
    if rules.default == _ENOSYS or rules.default & 0xFFFF0000 in _PERMISSIVE:
        return b""
    names = {name for name, _, _ in rules.calls}
    highest = {name: _highest(library, architecture, names) for name, architecture in architectures.items()}
    blocks = [
        _block(value, highest[name], highest.get("X32", -1) if name == "X86_64" else None)
        for name, value in architectures.items()
        if name != "X32" and highest[name] >= 0
    ]
    return _joined(blocks)


def _highest(library: ModuleType, architecture: int, names: Iterable[str]) -> int:
    """The highest number of the calls named; negative numbers are libseccomp's for calls a machine does not have."""
    return max((int(library.resolve_syscall(architecture, name)) for name in names), default=-1)


Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, operand."""

_TO_END, _TO_REFUSAL = -1, -2
"""Jump targets, filled in once all lengths are known."""


def _block(architecture: int, highest: int, highest_x32: int | None) -> list[Instruction]:
    """For one architecture. On x86-64 the numbers of x32 programs have a bit of their own set."""
    check = [(_LOAD, 0, 0, _NUMBER_OFFSET)]
    if highest_x32 is not None:
        above_x32 = _TO_REFUSAL if highest_x32 >= 0 else _TO_END
        check.append((_JUMP_AT_LEAST, 0, 1, _X32_BIT))
        check.append((_JUMP_GREATER, above_x32, _TO_END, max(highest_x32, 0)))
    check.append((_JUMP_GREATER, _TO_REFUSAL, _TO_END, highest))
    return [(_JUMP_EQUAL, 0, len(check), architecture), *check]


def _joined(blocks: list[list[Instruction]]) -> bytes:
    load = (_LOAD, 0, 0, _ARCHITECTURE_OFFSET)
    missed = (_JUMP_AT_LEAST, _TO_END, _TO_END, 0)
    body = [load, *(instruction for block in blocks for instruction in block), missed]
    packed = b""
    for place, (code, yes, no, operand) in enumerate(body):
        refusal = len(body) - place - 1
        targets = {_TO_REFUSAL: refusal, _TO_END: refusal + 1}
        packed += struct.pack("=HBBI", code, targets.get(yes, yes), targets.get(no, no), operand)
    return packed + struct.pack("=HBBI", _RETURN, 0, 0, _ENOSYS)
