"""What a container shares with its host where that is asked for: the host's name, its process numbers."""

from __future__ import annotations

import os

from tests.parity._catalogue import scenario
from tests.parity._side import Side

CONFLICT = "conflicting options: hostname and the UTS mode"
NO_UTS, NO_PID = "--uts: invalid UTS mode", "--pid: invalid PID mode"
MARK = 100_000 + os.getpid()
"""Seconds that nobody else on this host sleeps."""
LEAVES = f"sleep {MARK} & (setsid sleep {MARK} &); trap 'exit 5' TERM; sleep {MARK} & wait"
"""Leaves three processes behind at its end, one of them in a session of its own."""
COUNT = f"ps | grep -c 'sleep {MARK}$'"


def mode(side: Side, field: str, container: str) -> str:
    return side.ok("inspect", "-f", f"{{{{.HostConfig.{field}}}}}", container)


def left(side: Side) -> str:
    """How many of ``LEAVES`` there are, as a container sees it."""
    return side.sh(f"{COUNT}; true", "--pid", "host")


def until_all_run(side: Side, container: str) -> str:
    return side.ok("exec", container, "sh", "-c", f"until [ $({COUNT}) = 3 ]; do sleep 0.05; done")


@scenario("H01", "--uts host: the name is the host's, and is not to be changed; files and HOSTNAME have the id",
          [os.uname().nodename, "not permitted", True, True])
def uts(side: Side) -> object:
    container = side.ok("run", "-d", "--uts", "host", "s-base", "sleep", "60")
    refused = side("exec", container, "hostname", "other")
    told = side.ok("exec", container, "sh", "-c", "cat /etc/hostname; echo $HOSTNAME").split()
    name = side.ok("exec", container, "hostname")
    shown = mode(side, "UTSMode", container)
    return [name, refused.says("not permitted")[1], told == [container[:12]] * 2, shown == "host"]


@scenario("H02", "--uts host with a name of one's own, or another mode, is refused", ((125, CONFLICT), (125, NO_UTS)))
def uts_conflict(side: Side) -> object:
    named = side("run", "--rm", "--uts", "host", "-h", "box", "s-base", "true")
    other = side("run", "--rm", "--uts", "container:x", "s-base", "true")
    return named.says(CONFLICT), other.says(NO_UTS)


@scenario("H03", "--pid host: process numbers are the host's, for the command and for what exec adds",
          ("host", True, "same", True))
def pid(side: Side) -> object:
    container = side.ok("run", "-d", "--pid", "host", "s-base", "sh", "-c", "echo $$; exec sleep 60")
    told = side.ok("inspect", "-f", "{{.State.Pid}}", container)
    script = f"[ $$ -gt 1 ] && grep -z sleep /proc/{told}/cmdline >/dev/null && echo same; kill -0 1 && echo $$"
    same, added = side.ok("exec", container, "sh", "-c", script).split()
    return mode(side, "PidMode", container), side.ok("logs", container) == told, same, int(added) != int(told)


@scenario("H04", "--pid host: other processes of root cannot be looked into, and the kernel's files stay masked",
          ["Permission denied"] * 2 + ["0", "Read-only file system"])
def pid_rights(side: Side) -> object:
    script = "cat /proc/1/environ; readlink -v /proc/1/root; wc -c < /proc/timer_list; echo 1 > /proc/sys/vm/swappiness"
    found = side("run", "--rm", "--pid", "host", "s-base", "sh", "-c", f"({script}) 2>&1")
    return [line.rpartition(": ")[2] for line in found.out.splitlines()]


@scenario("H05", "--pid host: nothing is left when it exits by itself, is stopped, killed, restarted, removed by force",
          ["0", (5, "0"), (137, "0"), "3", "0"])
def pid_ends(side: Side) -> object:
    side.ok("run", "--rm", "--pid", "host", "s-base", "sh", "-c", f"sleep {MARK} & (setsid sleep {MARK} &)")
    shown: list[object] = [left(side)]
    container = side.ok("run", "-d", "--pid", "host", "s-base", "sh", "-c", LEAVES)
    for verb in ("stop", "kill"):
        until_all_run(side, container)
        side.ok(verb, container)
        shown.append((int(side.ok("wait", container)), left(side)))
        side.ok("start", container)
    until_all_run(side, container)
    side.ok("restart", "-t", "0", container)
    until_all_run(side, container)
    shown.append(left(side))
    side.ok("rm", "-f", container)
    return [*shown, left(side)]


@scenario("H06", "--pid host: top shows the container's processes alone; pause stops all of them",
          (3, 1, "paused", "running"))
def pid_top(side: Side) -> object:
    container = side.ok("run", "-d", "--pid", "host", "s-base", "sh", "-c", LEAVES)
    until_all_run(side, container)
    side.ok("pause", container)
    shown = side.ok("inspect", "-f", "{{.State.Status}}", container)
    side.ok("unpause", container)
    again = side.ok("inspect", "-f", "{{.State.Status}}", container)
    rows = side.ok("top", container, "-o", "pid,args").splitlines()[1:]
    sleepers = sum(row.rstrip().endswith(f" sleep {MARK}") for row in rows)
    return sleepers, len(rows) - sleepers, shown, again


@scenario("H07", "--pid host: signals have their default actions, as for no process 1", (143, 137))
def pid_signals(side: Side) -> object:
    return tuple(
        side("run", "--rm", "--pid", "host", "s-base", "sh", "-c", f"kill -{name} $$; sleep 5").status
        for name in ("TERM", "KILL")
    )


@scenario("H08", "--pid host with --init runs no init", ("true", "sleep"))
def pid_init(side: Side) -> object:
    container = side.ok("run", "-d", "--init", "--pid", "host", "s-base", "sleep", "60")
    told = side.ok("inspect", "-f", "{{.State.Pid}} {{.HostConfig.Init}}", container).split()
    return told[1], side.ok("exec", container, "cat", f"/proc/{told[0]}/comm")


@scenario("H09", "another word for --pid is refused", ((125, NO_PID),) * 2)
def pid_word(side: Side) -> object:
    found = (side("run", "--rm", "--pid", word, "s-base", "true") for word in ("private", "container:"))
    return tuple(one.says(NO_PID) for one in found)


@scenario("H10", "--pid container:ID", (0, "sleep"), bireme=(125, ""),
          why="a container's processes end with its own first one, never with another's")
def pid_of_another(side: Side) -> object:
    container = side.running()
    done = side("run", "--rm", "--pid", f"container:{container}", "s-base", "sh", "-c", "cat /proc/1/comm")
    return done.seen
