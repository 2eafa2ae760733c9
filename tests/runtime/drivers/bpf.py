"""A machine for classic BPF, as far as seccomp filters use it: what the kernel would decide, without asking it."""

from __future__ import annotations

import functools
import operator
import struct
from collections.abc import Sequence

_LOAD, _RETURN, _JUMP, _AND = 0x20, 0x06, 0x05, 0x54
_COMPARISONS = {0x15: operator.eq, 0x25: operator.gt, 0x35: operator.ge, 0x45: operator.and_}

X86_64, X86, AARCH64, ARM = 0xC000003E, 0x40000003, 0xC00000B7, 0x40000028
"""The kernel's AUDIT_ARCH values; x32 programs have that of x86-64 and a bit set in the number."""
X32_BIT = 0x40000000


@functools.lru_cache(maxsize=16)
def instructions(program: bytes) -> list[tuple[int, int, int, int]]:
    """Each as (code, jump if true, jump if false, operand)."""
    return list(struct.iter_unpack("<HBBI", program))


def decide(program: bytes, number: int, arguments: Sequence[int] = (), architecture: int = X86_64) -> int:
    """The action for one system call. ``arguments`` are those of the call, missing ones 0."""
    return _run(program, number, arguments, architecture)[0]


def steps_of(program: bytes, number: int, arguments: Sequence[int] = (), architecture: int = X86_64) -> int:
    """How many instructions are executed for it."""
    return _run(program, number, arguments, architecture)[1]


def _run(program: bytes, number: int, arguments: Sequence[int], architecture: int) -> tuple[int, int]:
    data = struct.pack("<IIQ6Q", number, architecture, 0, *(*arguments, 0, 0, 0, 0, 0, 0)[:6])
    code = instructions(program)
    place = accumulator = steps = 0
    while True:
        steps += 1
        operation, yes, no, operand = code[place]
        place += 1
        if operation == _LOAD:
            (accumulator,) = struct.unpack_from("<I", data, operand)
        elif operation == _AND:
            accumulator &= operand
        elif operation == _JUMP:
            place += operand
        elif operation in _COMPARISONS:
            place += yes if _COMPARISONS[operation](accumulator, operand) else no
        elif operation == _RETURN:
            return int(operand), steps
        else:
            raise AssertionError(f"unknown instruction {operation:#x} at {place - 1}")
