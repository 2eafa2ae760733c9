"""``wait``, ``kill`` and ``stop``."""

from __future__ import annotations

from tests.parity._catalogue import scenario
from tests.parity._side import Side

TRAP = "trap 'exit 9' TERM; echo set; while :; do sleep 1 & wait $!; done"
"""Ends with 9 when it is asked to end."""


@scenario("W01", "wait on an exited container answers at once, again and again", ["7", "7"])
def again(side: Side) -> object:
    container = side.ok("run", "-d", "s-base", "sh", "-c", "exit 7")
    return [side.ok("wait", container) for _ in range(2)]


@scenario("W02", "wait blocks until the exit", "3")
def blocks(side: Side) -> object:
    return side.ok("wait", side.ok("run", "-d", "s-base", "sh", "-c", "sleep 1; exit 3"))


@scenario("W03", "wait A B prints both statuses in argument order", "1\n2")
def both(side: Side) -> object:
    first = side.ok("run", "-d", "s-base", "sh", "-c", "sleep 1; exit 1")
    return side.ok("wait", first, side.ok("run", "-d", "s-base", "sh", "-c", "exit 2"))


@scenario("W04", "wait of an unknown container", (1, "No such container: nosuch"))
def unknown(side: Side) -> object:
    return side("wait", "nosuch").says("No such container: nosuch")


@scenario("W05", "kill gives 137, stop -t 0 gives 137", ["137", "137"])
def killed(side: Side) -> object:
    first, second = side.running(), side.running()
    side.ok("kill", first)
    side.ok("stop", "-t", "0", second)
    return [side.ok("wait", container) for container in (first, second)]


@scenario("W06", "wait of a container that was never started answers 0 at once", "0")
def never_started(side: Side) -> object:
    return side.ok("wait", side.make())


@scenario("W07", "wait of several, one of them unknown: the others' statuses, and 1",
          (1, "4", "No such container: nosuch"))
def partly(side: Side) -> object:
    done = side("wait", "nosuch", side.ran("exit 4"))
    return done.status, done.out, done.says("No such container: nosuch")[1]


@scenario("W08", "wait of a container that is removed by force prints 137", (0, "137"))
def removed(side: Side) -> object:
    exited, container = side.ran("true"), side.running()
    with side.beside("wait", exited, container) as waiting:
        assert waiting.stdout is not None
        waiting.stdout.readline()  # from now on it waits for the other one
        side.ok("rm", "-f", container)
        out = waiting.stdout.read()
        waiting.wait(timeout=30)
    return waiting.returncode, out.decode().strip()


@scenario("W09", "a command that traps the stop signal ends with its own status", "9")
def trapped(side: Side) -> object:
    container = side.ok("run", "-d", "s-base", "sh", "-c", TRAP)
    side.wait_for_line(container, "set")
    side.ok("stop", container)
    return side.ok("wait", container)


@scenario("W10", "kill -s TERM reaches a trap; by number, by name, with SIG", ["9", "9", "9"])
def signals(side: Side) -> object:
    shown = []
    for name in ("TERM", "15", "SIGTERM"):
        container = side.ok("run", "-d", "s-base", "sh", "-c", TRAP)
        side.wait_for_line(container, "set")
        side.ok("kill", "-s", name, container)
        shown.append(side.ok("wait", container))
    return shown


@scenario("W11", "kill -s TERM of a shell without a trap, PID 1: nothing happens", True)
def no_trap(side: Side) -> object:
    container = side.ok("run", "-d", "s-base", "sh", "-c", "echo up; sleep 60; true")
    side.wait_for_line(container, "up")
    side.ok("kill", "-s", "TERM", container)
    return side.inspect(container)["State"]["Running"]


@scenario("W12", "an unknown signal is refused", (1, "Invalid signal: NOSUCH"))
def unknown_signal(side: Side) -> object:
    return side("kill", "-s", "NOSUCH", side.running()).says("Invalid signal: NOSUCH")


@scenario("W13", "kill of a container that does not run is an error", [(1, "is not running"), (1, "is not running")])
def kill_idle(side: Side) -> object:
    return [side("kill", container).says("is not running") for container in (side.make(), side.ran("true"))]


@scenario("W14", "stop of a container that does not run is none", [0, 0])
def stop_idle(side: Side) -> object:
    return [side("stop", container).status for container in (side.make(), side.ran("true"))]


@scenario("W15", "--stop-signal and --stop-timeout are what stop uses", "9")
def own_stop_signal(side: Side) -> object:
    script = TRAP.replace("TERM", "USR1")
    container = side.ok("run", "-d", "--stop-signal", "USR1", "--stop-timeout", "30", "s-base", "sh", "-c", script)
    side.wait_for_line(container, "set")
    side.ok("stop", container)
    return side.ok("wait", container)


@scenario("W16", "the exit of a container started again replaces the earlier one", ["1", "2"])
def replaced(side: Side) -> object:
    container = side.ran("echo >> /d/x; exit $(wc -l < /d/x)", "-v", "/d")
    first = side.ok("wait", container)
    side.ok("start", container)
    return [first, side.ok("wait", container)]


@scenario("W17", "death by a signal of its own is 128 and the signal", ["139", "134", "143"])
def own_signals(side: Side) -> object:
    scripts = [f"sh -c 'kill -{name} $$'; exit $?" for name in ("SEGV", "ABRT", "TERM")]
    return [side.ok("wait", side.ok("run", "-d", "s-base", "sh", "-c", script)) for script in scripts]


@scenario("W18", "wait goes on through pause", "5")
def through_pause(side: Side) -> object:
    container = side.ok("run", "-d", "s-base", "sh", "-c", "sleep 1; exit 5")
    side.ok("pause", container)
    side.ok("unpause", container)
    return side.ok("wait", container)


@scenario("W19", "a paused container can be killed", "137")
def kill_paused(side: Side) -> object:
    container = side.running()
    side.ok("pause", container)
    side.ok("kill", container)
    return side.ok("wait", container)


@scenario("W20", "stop of a paused container ends it", (0, "137"))
def stop_paused(side: Side) -> object:
    container = side.running()
    side.ok("pause", container)
    return side("stop", "-t", "1", container).status, side.ok("wait", container)


@scenario("W21", "pause of a paused, unpause of a running, exec in a paused container are errors; restart is none",
          [1, 1, 1, 0])
def paused(side: Side) -> object:
    container = side.running()
    first = side("unpause", container).status
    side.ok("pause", container)
    others = (("pause", container), ("exec", container, "true"), ("restart", "-t", "0", container))
    return [first, *(side(*words).status for words in others)]


@scenario("W22", "restart starts what does not run", [0, 0])
def restart_idle(side: Side) -> object:
    return [side("restart", "-t", "0", container).status for container in (side.make(), side.ran("true"))]


@scenario("W23", "wait of a container with --rm tells its status", (0, "4"))
def auto_removed(side: Side) -> object:
    return side("wait", side.ok("run", "-d", "--rm", "s-base", "sh", "-c", "sleep 1; exit 4")).seen
