"""How the launcher hears of exits: all of them, of nothing else, and at no descriptor for what runs."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from tests.runtime.launcher.harness import PATIENCE, Bench, until

SOURCE = Path(__file__).parents[3] / "runtime"
BOTH_WAYS = pytest.mark.parametrize("stepwise", [False, True], ids=["plain", "stepwise"])
NOTHING_BLOCKED = ["SigBlk:\t0000000000000000"]


@pytest.mark.root
@BOTH_WAYS
async def test_nothing_is_blocked_in_a_container(bench: Bench) -> None:
    """A shell that heard of none of its children would wait for ever."""
    assert (await bench.run_shell("grep SigBlk /proc/self/status")).lines == NOTHING_BLOCKED
    sleeper = await bench.start_sleeper()
    assert (await bench.exec("grep", "SigBlk", "/proc/self/status")).lines == NOTHING_BLOCKED
    await bench.end(sleeper)


@pytest.mark.root
@BOTH_WAYS
async def test_what_runs_takes_no_descriptor(bench: Bench) -> None:
    """It would be copied for every other start, and closed again there."""
    pid = bench.launcher.facts["pid"]
    before = open_in(pid)
    launched = [await bench.start_sleeper(f"c{number}") for number in range(3)]
    joined = await bench.launcher.exec(bench.exec_request("sleep", "1000"))
    await until(lambda: open_in(pid) == before)
    await joined.aclose()
    for number, one in enumerate(launched):
        await bench.end(one, f"c{number}")


def open_in(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.root
async def test_all_that_end_at_once_are_told_of(bench: Bench) -> None:
    """The signal tells of one, however many have ended since."""
    launched = [await bench.start_sleeper(f"c{number}") for number in range(12)]
    pid = bench.launcher.facts["pid"]
    os.kill(pid, signal.SIGSTOP)
    for one in launched:
        os.kill(one.pid, signal.SIGKILL)
    os.kill(pid, signal.SIGCONT)
    with trio.fail_after(PATIENCE):
        assert {(await one.wait())["signal"] for one in launched} == {signal.SIGKILL}
    for number, one in enumerate(launched):
        await one.aclose()
        await bench.launcher.cleanup(f"c{number}")


@pytest.mark.root
async def test_one_that_stops_and_goes_on_is_not_heard_of(bench: Bench) -> None:
    sleeper = await bench.start_sleeper()
    joined = await bench.launcher.exec(bench.exec_request("sleep", "1000"))
    pid = bench.launcher.facts["pid"]
    os.kill(pid, signal.SIGSTOP)
    await until(functools.partial(is_in_state, pid, "T"))
    for number, state in [(signal.SIGSTOP, "T"), (signal.SIGCONT, "S")]:
        os.kill(joined.pid, number)
        await until(functools.partial(is_in_state, joined.pid, state))
    assert pending(pid) == 0
    os.kill(joined.pid, signal.SIGKILL)
    await until(functools.partial(is_in_state, joined.pid, "Z"))
    assert pending(pid) == 1 << signal.SIGCHLD - 1
    os.kill(pid, signal.SIGCONT)
    await joined.aclose()
    await bench.end(sleeper)


def pending(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().partition("ShdPnd:")[2].split()[0], 16)


def is_in_state(pid: int, state: str) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == state


PROGRAM = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from bireme.launcher._loop import Loop
from bireme.launcher._processes import Record
from bireme.launcher._reaper import Reaper

def child():
    pid = os.fork()
    if pid == 0:
        signal.pause()
    return pid

def end(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

def there(pid):
    return os.path.exists(f"/proc/{pid}")

def record(number, pid):
    one = Record(number, 0, "c", pid, -1)
    reaper.add(one)
    return one

def ended(one):
    reaper.reap(one)
    told.append(one.number)

told, loop = [], Loop()
reaper = Reaper(loop, ended)
"""


def play(program: str) -> str:
    command = [sys.executable, "-I", "-S", "-c", PROGRAM + program, str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.stderr == ""
    return done.stdout


def test_a_stranger_is_reaped() -> None:
    out = play("""
stranger, known = child(), child()
one = record(7, known)
end(stranger)
end(known)
loop.call_later(0, loop.stop)
loop.run()
print(told, one.alive, there(stranger), there(known))
""")
    assert out == "[7] False False False\n"


def test_a_stranger_is_left_while_a_helper_may_name_it_and_hides_nobody() -> None:
    out = play("""
stranger, known, helper = child(), child(), child()
record(7, known)
at_work = record(8, helper)
at_work.helper = True
end(stranger)
end(known)
reaper.look()
print(told, there(stranger), there(known))
reaper.look()
at_work.helper = False
end(helper)
reaper.look()
print(told, there(stranger), there(helper))
""")
    assert out == "[7] True False\n[7, 8] False False\n"


def test_what_a_helper_has_named_is_told_of_although_it_has_ended() -> None:
    out = play("""
heir, helper = child(), child()
at_work = record(8, helper)
at_work.helper = True

def ended(one):
    reaper.reap(one)
    told.append(one.pid == heir)
    if one.helper:
        one.helper, one.pid, one.alive = False, heir, True
        reaper.add(one)

reaper._ended = ended
end(heir)
end(helper)
reaper.look()
print(told, there(heir))
""")
    assert out == "[False, True] False\n"


def test_the_one_that_the_signal_names_is_told_of_first_and_nobody_is_forgotten() -> None:
    out = play("""
pids = [child() for _ in range(4)]
for number, pid in enumerate(pids):
    record(number, pid)
for number in (2, 1, 3):
    end(pids[number])
loop.call_later(0, loop.stop)
loop.run()
print(told[0], sorted(told), [there(pid) for pid in pids])
end(pids[0])
""")
    assert out == "2 [1, 2, 3] [True, False, False, False]\n"


def test_a_signal_that_comes_late_or_from_somebody_else_ends_nobody() -> None:
    out = play("""
over, known = child(), child()
record(1, over)
one = record(2, known)
end(over)
reaper.look()
os.kill(os.getpid(), signal.SIGCHLD)
loop.call_later(0, loop.stop)
loop.run()
print(told, one.alive, there(known))
os.kill(known, signal.SIGKILL)
""")
    assert out == "[1] True True\n"


def test_a_child_that_sends_the_signal_itself_is_alive() -> None:
    out = play("""
noisy = os.fork()
if noisy == 0:
    os.kill(os.getppid(), signal.SIGCHLD)
    signal.pause()
one = record(1, noisy)
while not signal.sigpending():
    pass
loop.call_later(0, loop.stop)
loop.run()
print(told, one.alive)
end(noisy)
""")
    assert out == "[] True\n"
