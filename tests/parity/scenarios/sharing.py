"""Sharing volumes: ``--volumes-from``, its modes, its sources, and what wins where two meet."""

from __future__ import annotations

from tests.parity._catalogue import scenario
from tests.parity._side import Side


def same(side: Side, one: str, other: str) -> bool:
    """Whether both containers mount the same volumes at the same places."""
    return {path: seen.name for path, seen in side.mounts(one).items()} == {
        path: seen.name for path, seen in side.mounts(other).items()
    }


def writable(side: Side, container: str) -> dict[str, bool]:
    return {path: seen.writable for path, seen in side.mounts(container).items()}


@scenario("V03", "--volumes-from a running container shares its volumes both ways, live", ("1", "2"))
def live(side: Side) -> object:
    source = side.running("-v", "/data")
    side.sh("echo 1 > /data/x", "--volumes-from", source)
    first = side.ok("exec", source, "cat", "/data/x")
    side.ok("exec", source, "sh", "-c", "echo 2 > /data/x")
    return first, side.sh("cat /data/x", "--volumes-from", source)


@scenario("V04", "--volumes-from an exited container works and sees its data", "old")
def exited(side: Side) -> object:
    return side.sh("cat /data/x", "--volumes-from", side.ran("echo old > /data/x", "-v", "/data"))


@scenario("V05", "--volumes-from a created, never started container works, image content already copied", "hello")
def created(side: Side) -> object:
    return side.sh("cat /vol/f", "--volumes-from", side.make(image="s-vol"))


@scenario("V07", "several --volumes-from add up", ["/a", "/b"])
def several(side: Side) -> object:
    sources = [side.make("-v", path) for path in ("/a", "/b")]
    return side.destinations(side.make("--volumes-from", sources[0], "--volumes-from", sources[1]))


@scenario("V08", "of several sources with a volume at one path the last one wins", ("B", "A"))
def last_wins(side: Side) -> object:
    a, b = (side.ran(f"echo {name} > /d/x", "-v", "/d") for name in "AB")
    return tuple(
        side.sh("cat /d/x", "--volumes-from", first, "--volumes-from", last) for first, last in ((a, b), (b, a))
    )


@scenario("V09", "own -v at a path that a source already mounts: the source's volume is kept", ("A", 1))
def own_flag(side: Side) -> object:
    source = side.ran("echo A > /d/x", "-v", "/d")
    return side.sh("cat /d/x", "--volumes-from", source, "-v", "/d"), len(side.volumes())


@scenario("V10", "image VOLUME at a path that a source already mounts: the source's volume is kept", ("x", 1))
def own_image(side: Side) -> object:
    source = side.ran("echo A > /vol/x", "-v", "/vol")
    return side.sh("ls /vol", "--volumes-from", source, image="s-vol"), len(side.volumes())


@scenario("V11", "--volumes-from ID:ro mounts read-only; a write fails",
          (1, "sh: can't create /d/x: Read-only file system", {"/d": False}))
def read_only(side: Side) -> object:
    source = side.make("-v", "/d")
    words = ("--volumes-from", f"{source}:ro")
    done = side("run", "--rm", *words, "s-base", "sh", "-c", "echo x > /d/x")
    return done.status, done.err, writable(side, side.make(*words))


@scenario("V12", "--volumes-from ID:rw is writable", ("x", {"/d": True}))
def read_write(side: Side) -> object:
    words = ("--volumes-from", f"{side.make('-v', '/d')}:rw")
    return side.sh("echo x > /d/x; cat /d/x", *words), writable(side, side.make(*words))


@scenario("V13", "read-only is handed on: what a source has read-only stays so for who shares from it",
          [{"/d": False}, {"/d": False}, {"/d": False}])
def handed_on(side: Side) -> object:
    reader = side.make("--volumes-from", f"{side.make('-v', '/d')}:ro")
    return [writable(side, side.make("--volumes-from", f"{reader}{mode}")) for mode in ("", ":ro", ":rw")]


@scenario("V14", "--volumes-from an unknown container: exit 125, message names it, no container left",
          (125, "No such container: nosuch", 0, 0))
def unknown(side: Side) -> object:
    done = side("run", "-v", "/d", "--volumes-from", "nosuch", "s-base", "true")
    return *done.says("No such container: nosuch"), len(side.containers()), len(side.volumes())


@scenario("V15", "--volumes-from takes names and unambiguous id prefixes", [True, True, True])
def references(side: Side) -> object:
    source = side.make("--name", "v15src", "-v", "/d")
    return [same(side, source, side.make("--volumes-from", name)) for name in ("v15src", source[:12], source)]


@scenario("V19", "a shared volume is not refilled from the second container's image", "")
def not_refilled(side: Side) -> object:
    return side.sh("ls /p", "--volumes-from", side.ran("true", "-v", "/p"), image="s-nest")


@scenario("V201", "sharing hands on: a third container has the first one's volumes, by way of the second", ["/a", "/b"])
def chain(side: Side) -> object:
    second = side.make("--volumes-from", side.make("-v", "/a"), "-v", "/b")
    return side.destinations(side.make("--volumes-from", second))


@scenario("V202", "a chain holds when the one in the middle is removed, with -v too", "1")
def broken_chain(side: Side) -> object:
    first = side.ran("echo 1 > /d/x", "-v", "/d")
    second = side.make("--volumes-from", first)
    third = side.make("--volumes-from", second, command=["cat", "/d/x"])
    side.ok("rm", "-v", second)
    return side.ok("start", "-a", third)


@scenario("V203", "a source removed after the sharing container was made, before its start", "k")
def removed_between(side: Side) -> object:
    source = side.ran("echo k > /d/x", "-v", "/d")
    holder = side.make("--volumes-from", source, command=["cat", "/d/x"])
    side.ok("rm", source)
    return side.ok("start", "-a", holder)


@scenario("V204", "a removed source is an unknown container", (125, "No such container"))
def removed_source(side: Side) -> object:
    source = side.make("-v", "/d")
    side.ok("rm", source)
    return side("run", "--volumes-from", source, "s-base", "true").says("No such container")


@scenario("V205", "a mode that is neither ro nor rw is refused", (125, "mode", 0))
def bad_mode(side: Side) -> object:
    source = side.make("--name", "v205", "-v", "/d")
    done = side("run", "--volumes-from", "v205:bogus", "s-base", "true")
    return *done.says("mode"), len(side.containers()) - len([source])


@scenario("V206", "the modes z and Z, of SELinux, say nothing about writing", [{"/d": True}, {"/d": False}])
def labels(side: Side) -> object:
    source = side.make("-v", "/d")
    return [writable(side, side.make("--volumes-from", f"{source}:{mode}")) for mode in ("z", "ro,Z")]


@scenario("V207", "the same source twice is as once; of two modes the last one counts",
          [{"/d": True}, {"/d": True}, {"/d": False}])
def twice(side: Side) -> object:
    source = side.make("-v", "/d")
    pairs = (("", ""), (":ro", ""), ("", ":ro"))
    return [
        writable(side, side.make("--volumes-from", f"{source}{first}", "--volumes-from", f"{source}{last}"))
        for first, last in pairs
    ]


@scenario("V208", "a container cannot be its own source", (125, "No such container: v208", 0))
def own_source(side: Side) -> object:
    done = side("run", "--name", "v208", "--volumes-from", "v208", "s-base", "true")
    return *done.says("No such container: v208", "Could not get container for v208"), len(side.containers())


@scenario("V209", "a source without volumes adds none", [])
def empty_source(side: Side) -> object:
    return side.destinations(side.make("--volumes-from", side.make()))


@scenario("V210", "own volumes at other paths stand beside a source's", (["/d", "/e"], {"/d": False, "/e": True}))
def beside(side: Side) -> object:
    container = side.make("-v", "/e", "--volumes-from", f"{side.make('-v', '/d')}:ro")
    return side.destinations(container), writable(side, container)


@scenario("V211", "a paused source shares like any other", "1")
def paused(side: Side) -> object:
    source = side.running("-v", "/d")
    side.ok("exec", source, "sh", "-c", "echo 1 > /d/x")
    side.ok("pause", source)
    out = side.sh("cat /d/x", "--volumes-from", source)
    side.ok("unpause", source)
    return out


@scenario("V212", "read-only holds against every kind of change, and against a remount", "r" * 9)
def really_read_only(side: Side) -> object:
    source = side.ran("echo 1 > /d/f; mkdir /d/m", "-v", "/d")
    commands = (
        "echo 2 > /d/f", "echo 2 >> /d/f", "touch /d/f", "rm /d/f", "mkdir /d/n", "rmdir /d/m", "chmod 700 /d",
        "ln /d/f /d/g", "mount -o remount,rw /d",
    )  # fmt: skip
    script = ";".join(f"({command}) 2>/dev/null && printf w || printf r" for command in commands)
    return side.sh(script, "--volumes-from", f"{source}:ro")


@scenario("V213", "one who has it read-only sees what another writes", "1")
def read_only_live(side: Side) -> object:
    source = side.make("-v", "/d")
    reader = side.running("--volumes-from", f"{source}:ro")
    side.sh("echo 1 > /d/x", "--volumes-from", source)
    return side.ok("exec", reader, "cat", "/d/x")


@scenario("V214", "exec in a container that has it read-only cannot write either", 1)
def read_only_exec(side: Side) -> object:
    reader = side.running("--volumes-from", f"{side.make('-v', '/d')}:ro")
    return side("exec", reader, "touch", "/d/x").status


@scenario("V215", "a renamed source is known by its new name, and no more by the old",
          (True, (125, "No such container")))
def renamed(side: Side) -> object:
    source = side.make("--name", "v215", "-v", "/d")
    side.ok("rename", "v215", "v215new")
    sharing = side.make("--volumes-from", "v215new")
    old = side("run", "--volumes-from", "v215", "s-base", "true")
    return same(side, source, sharing), old.says("No such container")


@scenario("V216", "nothing else of a source comes along: not its environment, user, working directory", "/|root|")
def volumes_only(side: Side) -> object:
    source = side.make("-e", "E=1", "-u", "1000", "-w", "/tmp", "-v", "/d")
    return side.sh('echo "$(pwd)|$(id -un)|$E"', "--volumes-from", source)


@scenario("V217", "an empty --volumes-from is refused", (125, 0))
def nameless(side: Side) -> object:
    return side("run", "--volumes-from", "", "s-base", "true").status, len(side.containers())


@scenario("V218", "a sharing container of another user finds the owners as numbers", "1000:1000:700\nread")
def owners(side: Side) -> object:
    source = side.ran("chown 1000:1000 /d; chmod 700 /d; echo read > /d/x", "-v", "/d")
    return side.sh("stat -c %u:%g:%a /d; cat /d/x", "--volumes-from", source, "-u", "ann")


@scenario("V219", "another user without the right cannot write to a shared volume", (1, "Permission denied"))
def rights(side: Side) -> object:
    source = side.ran("true", "-v", "/d")
    done = side("run", "--rm", "--volumes-from", source, "-u", "1000", "s-base", "touch", "/d/x")
    return done.says("Permission denied")


@scenario("V220", "of three sources in a row each path goes to the last that has it", {"/a": 0, "/b": 1, "/c": 2})
def three(side: Side) -> object:
    sources = [side.make(*flags) for flags in (["-v/a", "-v/b", "-v/c"], ["-v/b", "-v/c"], ["-v/c"])]
    owner = {seen.name: number for number, source in enumerate(sources) for seen in side.mounts(source).values()}
    container = side.make(*(word for source in sources for word in ("--volumes-from", source)))
    return {path: owner[seen.name] for path, seen in side.mounts(container).items()}


@scenario("V221", "what a source shares is what it mounts, also where that came from its image", ["/vol"])
def from_image(side: Side) -> object:
    return side.destinations(side.make("--volumes-from", side.make(image="s-vol")))


@scenario("V222", "a chain of twelve, each with a volume of its own", "12")
def long_chain(side: Side) -> object:
    container = side.make("-v", "/d0")
    for number in range(1, 12):
        container = side.make("--volumes-from", container, "-v", f"/d{number}")
    return side.sh("grep -c ' /d[0-9]' /proc/mounts", "--volumes-from", container)
