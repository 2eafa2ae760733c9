"""Volumes below volumes: whatever the order of flags and sources, parents are mounted first."""

from __future__ import annotations

import os
from itertools import permutations

from tests.parity._catalogue import scenario
from tests.parity._side import Side

WRITE = "echo 1 >/n/x; echo 2 >/n/m/x; echo 3 >/n/m/o/x; cat /n/x /n/m/x /n/m/o/x; grep -c ' /n' /proc/mounts"


@scenario("V22", "nested volumes mount parents first whatever the flag order", ["1\n2\n3\n3"] * 3)
def three_orders(side: Side) -> object:
    orders = (("/n", "/n/m", "/n/m/o"), ("/n/m/o", "/n", "/n/m"), ("/n/m", "/n/m/o", "/n"))
    return [side.sh(WRITE, *(word for path in order for word in ("-v", path))) for order in orders]


@scenario("V23", "the child comes from a source, the parent is the container's own", "1\n2\n2")
def child_from_source(side: Side) -> object:
    source = side.make("-v", "/n/m")
    return side.sh("echo 1 >/n/x; echo 2 >/n/m/x; cat /n/x /n/m/x; grep -c ' /n' /proc/mounts",
                   "-v", "/n", "--volumes-from", source)  # fmt: skip


@scenario("V24", "the parent comes from a source, the child is the container's own", "1\n2\n2")
def parent_from_source(side: Side) -> object:
    source = side.make("-v", "/n")
    return side.sh("echo 1 >/n/x; echo 2 >/n/m/x; cat /n/x /n/m/x; grep -c ' /n' /proc/mounts",
                   "-v", "/n/m", "--volumes-from", source)  # fmt: skip


@scenario("V25", "three levels from three sources, in every order", {"1\n2\n3\n3"})
def from_sources(side: Side) -> object:
    sources = [side.make("-v", path) for path in ("/n", "/n/m", "/n/m/o")]
    return {
        side.sh(WRITE, *(word for source in order for word in ("--volumes-from", source)))
        for order in permutations(sources)
    }


@scenario("V401", "a source's nested volumes come along as they are nested", "1\n2\n3\n3")
def nested_source(side: Side) -> object:
    source = side.make("-v", "/n/m/o", "-v", "/n/m", "-v", "/n")
    return side.sh(WRITE, "--volumes-from", source)


@scenario("V402", "what is written below a child is in the child's volume, the parent has an empty directory",
          (["m", "x"], [], ["x"]))
def who_has_it(side: Side) -> object:
    container = side.ran("echo 1 >/n/x; echo 2 >/n/m/x", "-v", "/n", "-v", "/n/m")
    mounts = side.mounts(container)
    parent, child = mounts["/n"].source, mounts["/n/m"].source
    return sorted(os.listdir(parent)), os.listdir(parent / "m"), os.listdir(child)


@scenario("V403", "eight levels, named inside out, are eight mounts", "8")
def deep(side: Side) -> object:
    paths = ["/" + "/".join("abcdefgh"[:depth]) for depth in range(8, 0, -1)]
    return side.sh("grep -c ' /a' /proc/mounts", *(f"-v{path}" for path in paths))


@scenario("V404", "names that only begin alike are not nested", "4\n/n: m x\n/n1: x\n/n/m: x\n/n.m: x")
def alike(side: Side) -> object:
    paths = ("/n", "/n1", "/n/m", "/n.m")
    script = (
        "for d in /n /n1 /n/m /n.m; do echo 1 > $d/x; done; grep -Ec ' /n' /proc/mounts;"
        "for d in /n /n1 /n/m /n.m; do echo $d: $(ls $d); done"
    )
    return side.sh(script, *(f"-v{path}" for path in reversed(paths)))


@scenario("V405", "a child's volume of one's own below a read-only parent that has its place", "w\nr")
def below_read_only(side: Side) -> object:
    source = side.ran("mkdir /n/m", "-v", "/n")
    script = "echo w > /n/m/x; cat /n/m/x; touch /n/x 2>/dev/null || echo r"
    return side.sh(script, "--volumes-from", f"{source}:ro", "-v", "/n/m")


@scenario("V406", "a read-only child below a writable parent", "w\nr")
def read_only_child(side: Side) -> object:
    child = side.make("-v", "/n/m")
    script = "echo w > /n/x; cat /n/x; touch /n/m/x 2>/dev/null || echo r"
    return side.sh(script, "-v", "/n", "--volumes-from", f"{child}:ro")


@scenario("V407", "a child below a read-only parent that lacks its place is refused", (True, "read-only file system"))
def no_place(side: Side) -> object:
    source = side.make("-v", "/n")
    done = side("run", "--rm", "--volumes-from", f"{source}:ro", "-v", "/n/m", "s-base", "true")
    return done.status in (125, 126, 127), done.says("read-only file system")[1]


@scenario("V408", "removing both of two nested volumes", (2, 0))
def removal(side: Side) -> object:
    container = side.ran("echo 1 >/n/m/x", "-v", "/n", "-v", "/n/m")
    before = len(side.volumes())
    side.ok("rm", "-v", container)
    return before, len(side.volumes())


@scenario("V409", "a parent shared alone does not show what is in the child", "0")
def parent_alone(side: Side) -> object:
    parent = side.make("-v", "/n")
    side.ran("echo 2 >/n/m/x", "--volumes-from", parent, "-v", "/n/m")
    return side.sh("ls /n/m | wc -l", "--volumes-from", parent)


@scenario("V410", "the same child by way of two sources of which one has its parent too", "c\np")
def mixed(side: Side) -> object:
    child = side.ran("echo c > /n/m/x", "-v", "/n/m")
    parent = side.ran("echo p > /n/x", "-v", "/n", "--volumes-from", child)
    return side.sh("cat /n/m/x /n/x", "--volumes-from", child, "--volumes-from", parent)


@scenario("V411", "a restart mounts nested volumes again", "3\n3")
def again(side: Side) -> object:
    container = side.ran("grep -c ' /n' /proc/mounts", "-v", "/n/m", "-v", "/n", "-v", "/n/m/o")
    side.ok("start", container)
    side.ok("wait", container)
    return side.ok("logs", container)


@scenario("V412", "volumes at /dev/shm's and /tmp's places nest too", "tmp\n2")
def system_places(side: Side) -> object:
    return side.sh("echo tmp > /tmp/a/x; cat /tmp/a/x; grep -c ' /tmp' /proc/mounts", "-v", "/tmp/a", "-v", "/tmp")
