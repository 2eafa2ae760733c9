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
from bireme._calls import Calls, Own
calls = Calls()
VFORK = 0x4000
def run():
    begun = calls.start(VFORK)
    return begun.pid, begun.pidfd, calls.finish(begun)
def end(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""
pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="lists of system calls are for x86-64 only")


def run(program: str) -> str:
    """In a process of its own, with one thread."""
    command = [sys.executable, "-I", "-S", "-c", HEAD + program, str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, errors="surrogateescape", timeout=30)
    assert done.stderr == ""
    return done.stdout


def test_calls_are_made_in_turn_and_the_command_is_executed() -> None:
    out = run("""
text = calls.data(b"one ")
calls.add("write", 1, text, 4)
calls.add("execve", calls.text("/bin/busybox"), calls.vector(["echo", "two", ""]), calls.vector(["A=b"]))
pid, pidfd, reached = run()
print(end(pid), reached, os.readlink(f"/proc/self/fd/{pidfd}"), flush=True)
""")
    assert out == "one two \n0 1 anon_inode:[pidfd]\n"


def test_a_result_is_an_argument_of_a_later_call() -> None:
    out = run("""
null = calls.add("openat", -100, calls.constant("/dev/null"), os.O_RDWR, 0)
calls.add("dup3", null, 1, 0)
calls.add("write", 1, calls.constant("lost"), 4)
calls.add("execve", calls.text("/bin/busybox"), calls.vector(["echo", "lost"]), calls.vector([]))
print(end(run()[0]))
""")
    assert out == "0\n"


def test_the_first_failure_ends_it_and_is_told() -> None:
    out = run("""
calls.add("setsid")
calls.add("chdir", calls.text("/nowhere"), may_fail=True)
calls.add("chdir", calls.text("/nowhere"))
calls.add("write", 1, calls.constant("never"), 5)
calls.add("execve", calls.text("/bin/busybox"), calls.vector(["true"]), calls.vector([]))
pid, pidfd, reached = run()
print(end(pid), reached)
""")
    assert out == "127 3\n"


def test_the_end_of_the_list_without_a_command() -> None:
    out = run("""
calls.add("execve", calls.text("/nowhere"), calls.vector(["x"]), calls.vector([]), may_fail=True)
pid, pidfd, reached = run()
print(end(pid), reached == len(calls) - 1)
""")
    assert out == "127 True\n"


def test_a_block_is_added_again_wherever_it_comes_to_lie() -> None:
    out = run("""
null = calls.add("openat", -100, calls.constant("/dev/null"), os.O_RDWR, 0)
calls.add("dup3", null, 0, 0)
calls.add("dup3", Own(0), Own(1), 0)
block = calls.block(0)
assert len(calls) == 0
for number in range(3):
    calls.clear()
    for _ in range(number):
        calls.add("umask", 0o22)
    calls.add_block(block, (1, 10 + number))
    command = ["sh", "-c", f"readlink /proc/$$/fd/0; readlink /proc/$$/fd/{10 + number}"]
    calls.add("execve", calls.text("/bin/busybox"), calls.vector(command), calls.vector([]))
    assert end(run()[0]) == 0
""")
    assert [line[:6] for line in out.splitlines()] == ["/dev/n", "pipe:["] * 3


def test_nothing_of_the_parent_changes() -> None:
    out = run("""
before = os.getcwd(), os.umask(0o77), sorted(os.listdir("/proc/self/fd")), os.readlink("/proc/self/ns/mnt")
calls.add("chdir", calls.text("/"))
calls.add("umask", 0)
calls.add("close_range", 0, 0x7fffffff, 0)
calls.add("setresuid", 1, 1, 1)
calls.add("execve", calls.text("/bin/busybox"), calls.vector(["true"]), calls.vector([]))
pid, pidfd, _ = run()
os.close(pidfd)
print(end(pid), os.getuid() == os.geteuid() != 1 or os.getuid())
after = os.getcwd(), os.umask(0o77), sorted(os.listdir("/proc/self/fd")), os.readlink("/proc/self/ns/mnt")
assert before[0] == after[0] and after[1] == 0o77 and before[2:] == after[2:], (before, after)
""")
    assert out == "0 True\n" if os.getuid() == 0 else out.startswith("127")


def test_too_long_a_list_too_much_data_and_a_nul_are_refused() -> None:
    out = run("""
for _ in range(511):
    calls.add("umask", 0)
block = calls.block(1)
attempts = (
    lambda: calls.add("umask", 0),
    lambda: calls.text("a\\0b"),
    lambda: calls.vector(["a\\0b"]),
    lambda: calls.vector(["", "\\0"]),
    lambda: calls.data(bytes(1 << 20)),
)
calls.add_block(block)
for attempt in (*attempts, lambda: calls.add_block(block)):
    try:
        attempt()
    except ValueError as error:
        print(error)
print(end(run()[0]))
""")
    many, nul = "at most 512 system calls are possible\n", "embedded null byte\n"
    much = "too much data for system calls: at most 1007519 bytes are possible\n"
    assert out == many + nul * 3 + much + many + "127\n"


def test_data_lies_where_no_other_is() -> None:
    out = run("""
texts = ["", "one", "", "two three", "x" * 40000, "\\udce9"]
calls.add("execve", calls.text("/bin/busybox"), calls.vector(["printf", "%s|", *texts]), calls.vector([]))
print(end(run()[0]))
""")
    assert out == "|one||two three|" + "x" * 40000 + "|\udce9|0\n"


def test_the_parent_goes_on_with_the_next_list_meanwhile() -> None:
    """None of them gets past its first call before all have been begun; what each has executed is told when it is."""
    out = run("""
import tempfile
directory = tempfile.TemporaryDirectory()
fifo = directory.name + "/fifo"
os.mkfifo(fifo)
begun = []
for number in range(5):
    told, telling = os.pipe()
    calls.clear()
    calls.add("openat", -100, calls.text(fifo), os.O_RDONLY, 0)
    calls.add("close_range", 3, telling - 1, 0)
    calls.add("execve", calls.text("/bin/busybox"), calls.vector(["true"]), calls.vector([]))
    begun.append((calls.start(0), told))
    os.close(telling)
writer = os.open(fifo, os.O_WRONLY)
for run, told in begun:
    assert os.read(told, 1) == b""
    print(calls.finish(run), end(run.pid))
memories = {run.memory.address for run, told in begun}
calls.clear()
calls.add("execve", calls.text("/bin/busybox"), calls.vector(["true"]), calls.vector([]))
again = calls.start(VFORK)
print(len(memories), again.memory.address in memories, end(again.pid))
""")
    assert out == "2 0\n" * 5 + "5 True 0\n"
