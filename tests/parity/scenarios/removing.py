"""Removing containers, and their names."""

from __future__ import annotations

from tests.parity._catalogue import scenario
from tests.parity._side import Side


@scenario("R01", "rm of a running container is refused; rm -f kills",
          ((1, "You cannot remove a running container"), True, (1, "[]", "No such object")))
def running(side: Side) -> object:
    container = side.running()
    refused = side("rm", container)
    forced = side.ok("rm", "-f", container) == container
    gone = side("inspect", container)
    return refused.says("You cannot remove a running container"), forced, (*gone.seen, gone.says("No such object")[1])


@scenario("R02", "a taken name is refused, exit 125, and names the holder",
          (125, 'The container name "/r02x" is already in use by container', True))
def taken_name(side: Side) -> object:
    holder = side.make("--name", "r02x")
    done = side("run", "--name", "r02x", "s-base", "true")
    return *done.says('The container name "/r02x" is already in use by container'), holder in done.err


@scenario("R03", "a name is free again once its container is removed", "again")
def free_name(side: Side) -> object:
    side.ok("rm", side.make("--name", "r03"))
    return side.ok("run", "--rm", "--name", "r03", "s-base", "echo", "again")


@scenario("R04", "rm of several, one of them unknown: the others go, and 1", (1, "No such container: nosuch", 0))
def partly(side: Side) -> object:
    done = side("rm", side.make(), "nosuch", side.make())
    return *done.says("No such container: nosuch"), len(side.containers())


@scenario("R05", "rm of a paused container is refused, rm -f is not", (1, 0))
def paused(side: Side) -> object:
    container = side.running()
    side.ok("pause", container)
    return side("rm", container).status, side("rm", "-f", container).status


@scenario("R06", "a name that is none is refused", [125, 125, 125])
def bad_names(side: Side) -> object:
    return [side("run", "--name", name, "s-base", "true").status for name in ("a b", "-x", "a/b")]


@scenario("R07", "rename: the new name is taken, the old one free", ("/r07new", 0, 1))
def rename(side: Side) -> object:
    container = side.make("--name", "r07")
    side.ok("rename", "r07", "r07new")
    again = side("create", "--name", "r07", "s-base", "true").status
    return side.inspect(container)["Name"], again, side("create", "--name", "r07new", "s-base", "true").status


@scenario("R08", "rm takes names and prefixes, and prints what it was given", ("r08", True))
def references(side: Side) -> object:
    side.make("--name", "r08")
    prefix = side.make()[:12]
    return side.ok("rm", "r08"), side.ok("rm", prefix) == prefix


@scenario("R09", "an image that a container uses is not removed", (1, 0))
def used_image(side: Side) -> object:
    side.ok("tag", "s-base", "r09")
    container = side.make(image="r09")
    refused = side("rmi", side.inspect(container)["Image"]).status
    side.ok("rm", container)
    return refused, side("rmi", "r09").status


@scenario("R10", "container prune removes what does not run, and leaves the volumes", (1, 2))
def prune(side: Side) -> object:
    side.ran("true", "-v", "/d")
    side.running("-v", "/d")
    side.ok("container", "prune", "-f")
    return len(side.containers()), len(side.volumes())


@scenario("R11", "rm -f of an unknown container says so", "No such container: nosuch")
def forced_unknown(side: Side) -> object:
    return side("rm", "-f", "nosuch").says("No such container: nosuch")[1]


@scenario("R12", "a name as inspect shows it, with a slash in front, is a name", ["/r12", "/r12", "/r12"])
def shown_name(side: Side) -> object:
    side.make("--name", "r12")
    return [
        side.ok("inspect", "-f", "{{.Name}}", "/r12"), side.ok("start", "/r12"), side.ok("rm", "-f", "/r12"),
    ]  # fmt: skip


@scenario("R13", "system prune leaves volumes, system prune --volumes takes them", ((0, 2), (0, 0)))
def prune_all(side: Side) -> object:
    side.ran("true", "-v", "/d")
    side.make("-v", "/e")
    side.ok("system", "prune", "-f")
    before = len(side.containers()), len(side.volumes())
    side.ran("true", "-v", "/d")
    side.ok("system", "prune", "-f", "--volumes")
    return before, (len(side.containers()), len(side.volumes()))
