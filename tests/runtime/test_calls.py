"""Lists of system calls: what a new process makes of them, and what its parent learns."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "runtime"
HEAD = """
import os, sys
sys.path.insert(0, sys.argv[1])
from bireme._calls import Calls
calls = Calls()
def end(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""
pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="lists of system calls are for x86-64 only")


def run(program: str) -> str:
    """In a process of its own, with one thread."""
    command = [sys.executable, "-I", "-S", "-c", HEAD + program, str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.stderr == ""
    return done.stdout


def test_calls_are_made_in_turn_and_the_command_is_executed() -> None:
    out = run("""
text = calls.data(b"one ")
calls.add("write", 1, text, 4)
calls.add("execve", calls.text("/bin/busybox"), calls.vector(["echo", "two", ""]), calls.vector(["A=b"]))
pid, pidfd, reached = calls.run(0)
print(end(pid), reached, os.readlink(f"/proc/self/fd/{pidfd}"), flush=True)
""")
    assert out == "one two \n0 1 anon_inode:[pidfd]\n"


def test_a_result_is_an_argument_of_a_later_call() -> None:
    out = run("""
null = calls.add("openat", -100, calls.constant("/dev/null"), os.O_RDWR, 0)
calls.add("dup3", null, 1, 0)
calls.add("write", 1, calls.constant("lost"), 4)
calls.add("execve", calls.text("/bin/busybox"), calls.vector(["echo", "lost"]), calls.vector([]))
print(end(calls.run(0)[0]))
""")
    assert out == "0\n"


def test_the_first_failure_ends_it_and_is_told() -> None:
    out = run("""
calls.add("setsid")
calls.add("chdir", calls.text("/nowhere"), may_fail=True)
calls.add("chdir", calls.text("/nowhere"))
calls.add("write", 1, calls.constant("never"), 5)
calls.add("execve", calls.text("/bin/busybox"), calls.vector(["true"]), calls.vector([]))
pid, pidfd, reached = calls.run(0)
print(end(pid), reached)
""")
    assert out == "127 3\n"


def test_the_end_of_the_list_without_a_command() -> None:
    out = run("""
calls.add("execve", calls.text("/nowhere"), calls.vector(["x"]), calls.vector([]), may_fail=True)
pid, pidfd, reached = calls.run(0)
print(end(pid), reached == len(calls) - 1)
""")
    assert out == "127 True\n"


def test_a_block_is_added_again_wherever_it_comes_to_lie() -> None:
    out = run("""
null = calls.add("openat", -100, calls.constant("/dev/null"), os.O_RDWR, 0)
calls.add("dup3", null, 0, 0)
block = calls.block(0)
for number in range(3):
    calls.clear()
    for _ in range(number):
        calls.add("umask", 0o22)
    calls.add_block(block)
    calls.add("execve", calls.text("/bin/busybox"), calls.vector(["readlink", "/proc/self/fd/0"]), calls.vector([]))
    assert end(calls.run(0)[0]) == 0
""")
    assert out == "/dev/null\n" * 3


def test_nothing_of_the_parent_changes() -> None:
    out = run("""
before = os.getcwd(), os.umask(0o77), sorted(os.listdir("/proc/self/fd")), os.readlink("/proc/self/ns/mnt")
calls.add("chdir", calls.text("/"))
calls.add("umask", 0)
calls.add("close_range", 0, 0x7fffffff, 0)
calls.add("setresuid", 1, 1, 1)
calls.add("execve", calls.text("/bin/busybox"), calls.vector(["true"]), calls.vector([]))
pid, pidfd, _ = calls.run(0)
os.close(pidfd)
print(end(pid), os.getuid() == os.geteuid() != 1 or os.getuid())
after = os.getcwd(), os.umask(0o77), sorted(os.listdir("/proc/self/fd")), os.readlink("/proc/self/ns/mnt")
assert before[0] == after[0] and after[1] == 0o77 and before[2:] == after[2:], (before, after)
""")
    assert out == "0 True\n" if os.getuid() == 0 else out.startswith("127")


def test_too_long_a_list_and_a_nul_are_refused() -> None:
    out = run("""
for _ in range(600):
    calls.add("umask", 0)
for attempt in (lambda: calls.run(0), lambda: calls.text("a\\0b"), lambda: calls.vector(["a\\0b"])):
    try:
        attempt()
    except ValueError as error:
        print(error)
""")
    assert out == "601 system calls; at most 512 are possible\n" + "embedded null byte\n" * 2
