"""The device program, run on a small machine that knows the instructions it is made of."""

from __future__ import annotations

import os
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bireme import _syscalls as sys_
from bireme.launcher import _devices

BLOCK, CHARACTER = 1, 2
MKNOD, READ, WRITE = 1, 2, 4
ALLOWED = {(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)}


def verdict(kind: int, access: int, major: int, minor: int) -> int:
    """Execute the program as the kernel would."""
    context = struct.pack("=3I", access << 16 | kind, major, minor)
    code = [struct.unpack("=BBhi", chunk) for chunk in _chunks(_devices.program())]
    registers: dict[int, int] = {}
    at = 0
    for _ in range(len(code)):
        operation, pair, offset, value = code[at]
        target, source = pair & 15, pair >> 4
        at += 1
        if operation == 0x61:
            registers[target] = struct.unpack_from("=I", context, offset)[0]
        elif operation == 0xBF:
            registers[target] = registers[source]
        elif operation == 0xB7:
            registers[target] = value
        elif operation == 0x57:
            registers[target] &= value
        elif operation == 0x77:
            registers[target] >>= value
        elif operation == 0x15:
            at += offset if registers[target] == value else 0
        elif operation == 0x55:
            at += offset if registers[target] != value else 0
        elif operation == 0x95:
            return registers[0]
        else:
            raise AssertionError(f"unknown instruction {operation:#x}")
    raise AssertionError("no end")


def _chunks(program: bytes) -> list[bytes]:
    assert len(program) % 8 == 0
    return [program[at : at + 8] for at in range(0, len(program), 8)]


@given(
    kind=st.sampled_from([BLOCK, CHARACTER]),
    access=st.integers(1, 7),
    major=st.sampled_from([0, 1, 4, 5, 7, 8, 10, 135, 136, 137]) | st.integers(0, 4095),
    minor=st.integers(0, 12) | st.integers(0, 1 << 19),
)
@example(CHARACTER, READ | WRITE, 1, 3)
@example(CHARACTER, READ, 1, 1)
@example(BLOCK, READ, 8, 0)
def test_the_program_decides_as_docker_does(kind: int, access: int, major: int, minor: int) -> None:
    harmless = kind == CHARACTER and ((major, minor) in ALLOWED or major == 136)
    assert verdict(kind, access, major, minor) == int(harmless or access == MKNOD)


@pytest.mark.root
def test_the_kernel_takes_it() -> None:
    os.close(sys_.bpf_load(_devices.PROGRAM_TYPE, _devices.program()))
