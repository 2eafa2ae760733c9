"""The shorter program decides as the original does, for the machine in Python and for the kernel."""

from __future__ import annotations

import errno
import itertools
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.drivers import capabilities
from bireme.drivers.seccomp import _compile, _meaning, _shrink
from bireme.drivers.seccomp._default import DEFAULT
from bireme.drivers.seccomp._profile import ALLOW, Compare, Host, Machine, Rules, fail_with
from tests.runtime.drivers.bpf import AARCH64, ARM, X32_BIT, X86, X86_64, decide, instructions, steps_of

PC = Machine(name="amd64", native="X86_64", compatible=("X86", "X32"))
BOARD = Machine(name="arm64", native="AARCH64", compatible=("ARM",))
ARCHITECTURES = (X86_64, X86, AARCH64, ARM, 0, X86_64 - 1, X86_64 + 1, X86 - 1, X86 + 1, 0xFFFFFFFF)
EXTREMES = (X32_BIT - 1, 0x7FFFFFFF, 0x80000000, 0x80000000 | X32_BIT, 0xFFFFFFFE, 0xFFFFFFFF)
SOCKET, CLONE, PERSONALITY = 41, 56, 135
SOCKET_X86, CLONE_X86, PERSONALITY_X86 = 359, 120, 136
LOAD, RETURN = 0x20, 0x06


def both(rules: Rules) -> tuple[bytes, bytes]:
    """As libseccomp compiles it, and shortened."""
    with mock.patch.object(_shrink, "shrink", bytes):
        original = _compile.program(rules)
    return original, _shrink.shrink(original)


def default(*added: str, machine: Machine = PC) -> tuple[bytes, bytes]:
    held = capabilities.DEFAULT | capabilities.mask(added)
    return both(DEFAULT.resolve(held, Host(machine=machine, kernel=(6, 1))))


def assert_equal(
    programs: tuple[bytes, bytes], numbers: Iterable[int], arguments: Iterable[int], architectures: Iterable[int]
) -> None:
    """For each argument all six are the same."""
    original, shorter = programs
    for question in itertools.product(numbers, [(value,) * 6 for value in arguments], architectures):
        assert decide(original, *question) == decide(shorter, *question), question


def constants(program: bytes) -> Iterator[int]:
    """All operands and their neighbours, as low words and as high ones."""
    operands = {operand for operation, _, _, operand in instructions(program) if operation != RETURN}
    near = {each + by & 0xFFFFFFFF for each in operands for by in (-1, 0, 1)}
    for low in near:
        yield from (low, low << 32, low | low << 32, low | 1 << 32, low | 0xFFFFFFFF << 32)


ADDED = [
    (),
    ("SYS_ADMIN",),
    ("BPF", "SYSLOG"),
    ("SYS_PTRACE", "SYS_NICE", "SYS_TIME"),
    tuple(capabilities.names(capabilities.ALL)),
]


@pytest.mark.parametrize("added", ADDED, ids=len)
@pytest.mark.parametrize("machine", [PC, BOARD], ids=lambda machine: machine.name)
def test_the_default_profile_decides_the_same_for_every_number(machine: Machine, added: tuple[str, ...]) -> None:
    programs = default(*added, machine=machine)
    numbers = (*range(1024), *range(X32_BIT, X32_BIT + 1024), *EXTREMES)
    assert_equal(programs, numbers, (0, 0x12345678_00000000), ARCHITECTURES)


@pytest.mark.parametrize("added", ADDED[:2], ids=len)
def test_the_default_profile_decides_the_same_for_all_its_constants(added: tuple[str, ...]) -> None:
    programs = default(*added)
    found = list(constants(programs[1]))
    native = (SOCKET, CLONE, PERSONALITY)
    assert_equal(programs, (*native, *(number | X32_BIT for number in native)), found, [X86_64])
    assert_equal(programs, (SOCKET_X86, CLONE_X86, PERSONALITY_X86), found, [X86])


@pytest.mark.parametrize("added", ADDED, ids=len)
def test_the_default_profile_becomes_much_shorter(added: tuple[str, ...]) -> None:
    original, shorter = default(*added)
    assert len(shorter) * 4 < len(original)
    tried = list(itertools.product(range(470), [()], [X86_64, X86]))
    assert sum(steps_of(shorter, *each) for each in tried) < 0.6 * sum(steps_of(original, *each) for each in tried)


CALLS = ("read", "write", "open", "close", "getpid", "kill", "clone", "socket", "ptrace", "keyctl", "rt_sigaction")
WORDS = st.sampled_from([0, 1, 2, 0x7F, 0x80000000, 0xFFFFFFFF]) | st.integers(0, 0xFFFFFFFF)
VALUES = st.builds(lambda low, high: low | high << 32, WORDS, WORDS)
ACTIONS = st.sampled_from([ALLOW, 0x80000000, 0x00030000, 0x7FFC0000, fail_with(1), fail_with(38), fail_with(7)])
OPERATORS = st.sampled_from(["EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"])
CONDITIONS = st.builds(
    lambda index, operator, value, other: Compare(index=index, operator=operator, value=value, other=other & value),
    *(st.integers(0, 5), OPERATORS, VALUES, VALUES),
)
ONE_CALL = st.tuples(st.sampled_from(CALLS), ACTIONS, st.lists(CONDITIONS, max_size=3).map(tuple))


@st.composite
def some_rules(draw: st.DrawFn) -> Rules:
    default = draw(ACTIONS)
    calls = draw(st.lists(ONE_CALL, max_size=12, unique_by=lambda call: call[0]))
    architectures = draw(st.sampled_from([("X86_64",), ("X86_64", "X86", "X32"), ("AARCH64", "ARM", "X86"), ("X32",)]))
    return Rules(
        default=default, architectures=architectures, calls=tuple(call for call in calls if call[1] != default)
    )


@given(some_rules(), st.data())
def test_any_rules_decide_the_same(rules: Rules, data: st.DataObject) -> None:
    original, shorter = both(rules)
    assert len(shorter) <= len(original)
    assert _shrink._rebuilt(code := instructions(original)) is not code, "its own checks let it pass"
    near = [0, *(value + by for value in operands_of(rules) for by in (-1, 0, 1, 1 << 32))]
    argument = st.sampled_from(near) | VALUES
    numbers = {operand + by & 0xFFFFFFFF for _, _, _, operand in instructions(original) for by in (-1, 0, 1)}
    arguments = data.draw(st.lists(st.tuples(*[argument] * 6), min_size=1, max_size=5))
    for question in itertools.product(sorted(numbers), arguments, ARCHITECTURES[:5]):
        asked = (question[0], [value & 0xFFFFFFFFFFFFFFFF for value in question[1]], question[2])
        assert decide(original, *asked) == decide(shorter, *asked), asked


def operands_of(rules: Rules) -> list[int]:
    return [value for _, _, compare in rules.calls for each in compare for value in (each.value, each.other)]


def rules_of(*calls: tuple[str, int, tuple[Compare, ...]]) -> Rules:
    return Rules(default=ALLOW, architectures=("X86_64", "X86", "X32"), calls=calls)


def test_a_look_that_makes_no_difference_is_left_out() -> None:
    either = tuple(Compare(index=0, operator=operator, value=0, other=0) for operator in ("EQ", "NE"))
    original, shorter = both(rules_of(("read", fail_with(1), either)))
    assert any(offset >= 16 for operation, _, _, offset in instructions(original) if operation == LOAD)
    assert all(offset < 16 for operation, _, _, offset in instructions(shorter) if operation == LOAD)
    assert_equal((original, shorter), (0, 1, X32_BIT), (0, 1, 1 << 32), ARCHITECTURES)


def equal_to(value: int) -> tuple[Compare, ...]:
    return (Compare(index=0, operator="EQ", value=value),)


def test_jumps_over_long_ways() -> None:
    """Tails of many instructions, and more different verdicts than a jump can reach."""
    tails = [(name, fail_with(2), equal_to(value)) for name in ("getpid", "kill", "read") for value in range(300)]
    names = [name for rule in DEFAULT.rules for name in rule.names if name not in ("getpid", "kill", "read")]
    verdicts = [(name, fail_with(100 + place), ()) for place, name in enumerate(dict.fromkeys(names))]
    programs = both(rules_of(*tails, *verdicts))
    assert len(programs[1]) < len(programs[0])
    assert_equal(programs, (*range(600), *range(X32_BIT, X32_BIT + 600)), (0, 299), (X86_64, X86, ARM))
    assert_equal(programs, (0, 39, 62, X32_BIT, X32_BIT + 39), (*range(301), 1 << 32), (X86_64, ARM))


def packed(*code: tuple[int, int, int, int]) -> bytes:
    return b"".join(struct.pack("=HBBI", *each) for each in code)


REPEATED = [(LOAD, 0, 0, 0)] * 20
"""Of which all but one can go."""


def test_what_says_nothing_is_left_out() -> None:
    program = packed(*REPEATED, (0x15, 0, 0, 3), (RETURN, 0, 0, ALLOW))
    assert _shrink.shrink(program) == packed((RETURN, 0, 0, ALLOW))


@pytest.mark.parametrize(
    "strange",
    [
        [(0x54, 0, 0, 1), (0x15, 0, 1, 1)],
        [(0x45, 0, 1, 1)],
        [(0x07, 0, 0, 0)],
        [(0x04, 0, 0, 1)],
        [(LOAD, 0, 0, 16), (0x04, 0, 0, 1), (0x15, 0, 1, 1)],
        [(LOAD, 0, 0, 16), (LOAD, 0, 0, 0), (0x15, 0, 1, 1)],
        [(0x05, 0, 0, 9)],
        [(LOAD, 0, 0, 16), (0x15, 0, 9, 1)],
    ],
    ids=repr,
)
def test_what_is_not_understood_stays(strange: list[tuple[int, int, int, int]]) -> None:
    program = packed(*REPEATED, *strange, (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, 0))
    assert _shrink.shrink(program) == program


def test_architectures_by_order_stay() -> None:
    program = packed(
        (LOAD, 0, 0, 4), *REPEATED[1:], (LOAD, 0, 0, 4), (0x35, 0, 1, 9), (RETURN, 0, 0, 1), (RETURN, 0, 0, 0)
    )
    assert _shrink.shrink(program) == program


def test_either_check_finds_every_wrong_instruction() -> None:
    """Each operand of the result is changed in turn, as a mistake in writing would."""
    original, shorter = default()
    graph, code = _meaning.Graph(), instructions(original)
    meaning = _meaning.read(graph, code, ())
    for place, (operation, yes, no, operand) in enumerate(instructions(shorter)):
        wrong = list(instructions(shorter))
        wrong[place] = (operation, yes, no, operand ^ 64)
        assert refused(lambda wrong: _meaning.read(graph, wrong, meaning) == meaning, wrong), (place, wrong[place])
        assert refused(lambda wrong: _shrink._run_alike(code, wrong, meaning), wrong), (place, wrong[place])


def refused(check: Callable[[_meaning.Code], bool], wrong: _meaning.Code) -> bool:
    try:
        return not check(wrong)
    except (_meaning.NotUnderstoodError, IndexError):
        return True


def test_a_result_that_differs_is_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    original, _ = default()
    monkeypatch.setattr(_shrink, "_written", lambda *_: [(RETURN, 0, 0, ALLOW)])
    assert _shrink.shrink(original) == original


CHILD = """
import ctypes, json, mmap, os, sys
program, calls, old = open(sys.argv[1], "rb").read(), json.loads(sys.argv[2]), sys.argv[3] == "x86"
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]
libc = ctypes.CDLL(None, use_errno=True)
memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
memory.write(bytes.fromhex("53 89f8 89f3 cd80 5b c3"))  # int 0x80 with edi as the number, esi as the first argument
place = ctypes.addressof(ctypes.c_char.from_buffer(memory))
interrupt = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint, ctypes.c_uint)(place)
def call(number, argument):
    if old:
        return max(-interrupt(number, argument), 0)
    return ctypes.get_errno() if libc.syscall(ctypes.c_long(number), ctypes.c_ulong(argument), 0, 0, 0, 0) < 0 else 0
if program:
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    installed = libc.syscall(317, 1, 0, ctypes.byref(Filter(len(program) // 8, program)))
    assert installed == 0, os.strerror(ctypes.get_errno())
print(json.dumps([call(*each) for each in calls]))
"""


def in_kernel(path: Path, program: bytes, calls: list[tuple[int, int]], way: str = "x86-64") -> list[int]:
    """What the calls, each with a first argument, fail with under the filter; 0 is success."""
    path.write_bytes(program)
    command = [sys.executable, "-I", "-c", CHILD, str(path), json.dumps(calls), way]
    found = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert found.returncode == 0, found
    return [int(each) for each in json.loads(found.stdout)]


pc_only = pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")
NEW_USER = 0x10000000
KEYCTL, UNSHARE, GETPID, CLONE3, MEMFD_CREATE = 250, 272, 39, 435, 319


@pc_only
def test_the_kernel_takes_it_and_decides_so(tmp_path: Path) -> None:
    asked = {
        (GETPID, 0): 0,
        (KEYCTL, 0): errno.EPERM,
        (UNSHARE, 0): errno.EPERM,
        (999, 0): errno.ENOSYS,
        (CLONE3, 0): errno.ENOSYS,
        (CLONE, NEW_USER): errno.EPERM,
        (PERSONALITY, 0xFFFFFFFF): 0,
        (PERSONALITY, 0x40000): errno.EPERM,
        (PERSONALITY, 1 << 32): errno.EPERM,
        (SOCKET, 38): errno.EPERM,
        (SOCKET, 1 << 32 | 40): errno.EPERM,
        (MEMFD_CREATE, 0): errno.EFAULT,
        (X32_BIT | KEYCTL, 0): errno.EPERM,
        (X32_BIT | 999, 0): errno.ENOSYS,
    }
    assert in_kernel(tmp_path / "program", default()[1], list(asked)) == list(asked.values())


@pc_only
def test_the_kernel_decides_so_for_32_bit_calls(tmp_path: Path) -> None:
    try:
        in_kernel(tmp_path / "program", b"", [(20, 0)], "x86")
    except AssertionError:
        pytest.skip("this kernel runs no 32-bit calls")
    asked = {
        (20, 0): 0,
        (288, 0): errno.EPERM,
        (999, 0): errno.ENOSYS,
        (CLONE3, 0): errno.ENOSYS,
        (CLONE_X86, NEW_USER): errno.EPERM,
        (PERSONALITY_X86, 0xFFFFFFFF): 0,
        (PERSONALITY_X86, 0x40000): errno.EPERM,
        (SOCKET_X86, 38): errno.EPERM,
    }
    assert in_kernel(tmp_path / "program", default()[1], list(asked), "x86") == list(asked.values())


@pc_only
def test_the_kernel_takes_long_ones(tmp_path: Path) -> None:
    tails = [("keyctl", fail_with(2), equal_to(value)) for value in range(300)]
    _, shorter = both(rules_of(*tails, ("unshare", fail_with(3), equal_to(7))))
    asked = {(KEYCTL, 0): 2, (KEYCTL, 299): 2, (UNSHARE, 7): 3}
    assert in_kernel(tmp_path / "program", shorter, list(asked)) == list(asked.values())
