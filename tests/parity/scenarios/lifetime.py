"""How long volumes live: with their holders, and no longer than someone wants them."""

from __future__ import annotations

import os
import shutil

from tests.parity._catalogue import scenario
from tests.parity._side import Side


@scenario("V36", "rm without -v keeps the volumes", (0, 1, ["x"]))
def kept(side: Side) -> object:
    container = side.ran("echo 1 > /d/x", "-v", "/d")
    volume = side.volume(container, "/d")
    side.ok("rm", container)
    return len(side.containers()), len(side.volumes()), os.listdir(volume)


@scenario("V37", "rm -v removes the container's own volumes", (0, False))
def removed(side: Side) -> object:
    container = side.ran("echo 1 > /d/x", "-v", "/d")
    volume = side.volume(container, "/d")
    side.ok("rm", "-v", container)
    return len(side.volumes()), volume.exists()


@scenario("V38", "run --rm removes its anonymous volumes", (0, 0))
def run_rm(side: Side) -> object:
    side.sh("echo 1 > /d/x", "-v", "/d")
    return len(side.containers()), len(side.volumes())


@scenario("V39", "rm -v of the owner keeps a volume that another container still holds, with its data", "k")
def held(side: Side) -> object:
    owner = side.ran("echo k > /d/x", "-v", "/d")
    holder = side.make("--volumes-from", owner, command=["cat", "/d/x"])
    side.ok("rm", "-v", owner)
    return side.ok("start", "-a", holder)


@scenario("V40", "rm -v of the last holder removes the volume, whoever made it", (1, 0))
def last_holder(side: Side) -> object:
    owner = side.ran("echo k > /d/x", "-v", "/d")
    holder = side.make("--volumes-from", owner)
    side.ok("rm", "-v", owner)
    between = len(side.volumes())
    side.ok("rm", "-v", holder)
    return between, len(side.volumes())


@scenario("V41", "rm -v of one who only shares keeps the owner's volume", "k")
def sharer(side: Side) -> object:
    owner = side.ran("echo k > /d/x", "-v", "/d")
    side.ok("rm", "-v", side.make("--volumes-from", owner))
    return side.sh("cat /d/x", "--volumes-from", owner)


@scenario("V42", "stop and start keep the same volumes and data", (True, "2"))
def stop_and_start(side: Side) -> object:
    container = side.ok("run", "-d", "-v", "/d", "s-base", "sh", "-c", "echo >> /d/x; wc -l < /d/x; exec sleep 60")
    before = side.mounts(container)
    side.wait_for_line(container, "1")
    side.ok("stop", "-t", "0", container)
    side.ok("start", container)
    side.wait_for_line(container, "2")
    return side.mounts(container) == before, side.ok("exec", container, "sh", "-c", "wc -l < /d/x")


@scenario("V601", "run --rm of one who shares keeps the owner's volume", ("k", 1))
def run_rm_sharer(side: Side) -> object:
    owner = side.ran("echo k > /d/x", "-v", "/d")
    side.sh("true", "--volumes-from", owner)
    return side.sh("cat /d/x", "--volumes-from", owner), len(side.volumes())


@scenario("V602", "run --rm of the last holder of a volume that someone else made removes it", (1, 0))
def run_rm_last(side: Side) -> object:
    owner = side.ran("echo k > /d/x", "-v", "/d")
    holder = side.make("--rm", "--volumes-from", owner)
    side.ok("rm", owner)
    between = len(side.volumes())
    side.ok("start", "-a", holder)
    return between, len(side.volumes())


@scenario("V603", "run --rm whose command is not found leaves neither container nor volume", (127, 0, 0))
def run_rm_failed(side: Side) -> object:
    done = side("run", "--rm", "-v", "/d", "s-base", "nosuchcmd")
    return done.status, len(side.containers()), len(side.volumes())


@scenario("V604", "run without --rm whose command is not found leaves a container, created, with its volume",
          (127, "created", 127, 1))
def run_failed(side: Side) -> object:
    done = side("run", "-v", "/d", "s-base", "nosuchcmd")
    state = side.inspect(side.containers()[0])["State"]
    return done.status, state["Status"], state["ExitCode"], len(side.volumes())


@scenario("V605", "rm -f -v of a running container removes its volumes", (0, 0))
def forced(side: Side) -> object:
    side.ok("rm", "-f", "-v", side.running("-v", "/d"))
    return len(side.containers()), len(side.volumes())


@scenario("V606", "rm -f without -v of a running container keeps them", 1)
def forced_keep(side: Side) -> object:
    side.ok("rm", "-f", side.running("-v", "/d"))
    return len(side.volumes())


@scenario("V607", "a container with --rm that is killed takes its volumes along", (0, 0))
def killed(side: Side) -> object:
    container = side.running("--rm", "-v", "/d")
    with side.beside("wait", container):
        side.ok("kill", container)
    side("wait", container)
    while container in side.containers():
        side("wait", container)
    return len(side.containers()), len(side.volumes())


@scenario("V608", "rm -v of a container that was never started removes its volumes", 0)
def never_started(side: Side) -> object:
    side.ok("rm", "-v", side.make(image="s-vol"))
    return len(side.volumes())


@scenario("V609", "restart keeps volumes and data", (True, "1"))
def restarted(side: Side) -> object:
    container = side.running("-v", "/d")
    side.ok("exec", container, "sh", "-c", "echo 1 > /d/x")
    before = side.mounts(container)
    side.ok("restart", "-t", "0", container)
    return side.mounts(container) == before, side.ok("exec", container, "cat", "/d/x")


@scenario("V610", "an exited container started again has its data, three times over", "1\n2\n3")
def started_again(side: Side) -> object:
    container = side.ran("echo >> /d/x; wc -l < /d/x", "-v", "/d")
    for _ in range(2):
        side.ok("start", container)
        side.ok("wait", container)
    return side.ok("logs", container)


@scenario("V611", "rm -v removes those that nobody else holds, and only those", (["/b"], 1))
def partly_held(side: Side) -> object:
    first = side.make("-v", "/b")
    second = side.make("--volumes-from", first, "-v", "/a")
    side.ok("rm", "-v", second)
    return side.destinations(first), len(side.volumes())


@scenario("V612", "rm -v while a running container holds the volume: it goes on with it", "2")
def held_by_running(side: Side) -> object:
    owner = side.ran("echo 1 > /d/x", "-v", "/d")
    holder = side.running("--volumes-from", owner)
    side.ok("rm", "-v", owner)
    side.ok("exec", holder, "sh", "-c", "echo 2 > /d/x")
    return side.ok("exec", holder, "cat", "/d/x")


@scenario("V613", "a volume that rm left behind is not taken up again by a container of the same name", "0")
def not_taken_up(side: Side) -> object:
    side.ran("echo 1 > /d/x", "--name", "v613", "-v", "/d")
    side.ok("rm", "v613")
    return side.sh("ls /d | wc -l", "--name", "v613", "-v", "/d")


@scenario("V614", "a read-only holder keeps a volume as any other", (1, 0))
def read_only_holder(side: Side) -> object:
    owner = side.make("-v", "/d")
    holder = side.make("--volumes-from", f"{owner}:ro")
    side.ok("rm", "-v", owner)
    between = len(side.volumes())
    side.ok("rm", "-v", holder)
    return between, len(side.volumes())


@scenario("V615", "several containers in one rm -v: a volume that they share goes with the last", 0)
def all_at_once(side: Side) -> object:
    owner = side.make("-v", "/d")
    side.ok("rm", "-v", owner, side.make("--volumes-from", owner), side.make("--volumes-from", owner))
    return len(side.volumes())


@scenario("V616", "a container that could not be made leaves no volume", (125, 0))
def not_made(side: Side) -> object:
    side.make("--name", "v616")
    done = side("run", "--name", "v616", "-v", "/d", "s-vol", "true")
    return done.status, len(side.volumes())


@scenario("V617", "run -d --rm: container and volumes are gone after the exit", (0, 0))
def detached(side: Side) -> object:
    container = side.ok("run", "-d", "--rm", "-v", "/d", "s-base", "true")
    for _ in range(50):
        if container not in side.containers():
            break
        side("wait", container)
    return len(side.containers()), len(side.volumes())


@scenario("V618", "a restart policy starts again on the same volume", ("0", "3"))
def restart_policy(side: Side) -> object:
    script = "echo >> /d/x; [ $(wc -l < /d/x) -ge 3 ]"
    container = side.ok("run", "-d", "--restart", "on-failure:5", "-v", "/d", "s-base", "sh", "-c", script)
    for _ in range(50):
        state = side.inspect(container)
        if state["State"]["Status"] == "exited" and not state["State"]["Restarting"]:
            break
        side("wait", container)
    return side.ok("wait", container), side.sh("wc -l < /d/x", "--volumes-from", container)


@scenario("V619", "a stopped container holds its volumes: they cannot be removed", (1, "in use"))
def stopped_holds(side: Side) -> object:
    container = side.ran("true", "-v", "/d")
    return side("volume", "rm", side.volume_name(container, "/d")).says("in use")


@scenario("V620", "a container whose volume has vanished from the disk does not start", True)
def vanished(side: Side) -> object:
    container = side.make("-v", "/d")
    shutil.rmtree(side.volume(container, "/d"))
    return side("start", "-a", container).status != 0
