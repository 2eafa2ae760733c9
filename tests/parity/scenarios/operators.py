"""What operators need: ``volume ls``, ``inspect``, ``rm``, ``prune``, and sizes."""

from __future__ import annotations

import json
import time

from tests.parity._catalogue import scenario
from tests.parity._side import Side


def lost(side: Side, script: str = "true") -> str:
    """A volume that nobody holds any more."""
    container = side.ran(script, "-v", "/d")
    name = side.volume_name(container, "/d")
    side.ok("rm", container)
    return name


def usage(side: Side) -> tuple[str, ...]:
    """What ``system df`` says of volumes: how many, how many in use, their size, what could be had back."""
    form = "{{.Type}}|{{.TotalCount}}|{{.Active}}|{{.Size}}|{{.Reclaimable}}"
    rows = [line.split("|") for line in side.ok("system", "df", "--format", form).splitlines()]
    return next(tuple(values) for kind, *values in rows if kind == "Local Volumes")


@scenario("V701", "volume ls -q lists them all", True)
def listed(side: Side) -> object:
    names = {seen.name for seen in side.mounts(side.make(image="s-two")).values()} | {lost(side)}
    return set(side.ok("volume", "ls", "-q").split()) == names


@scenario("V702", "volume ls -f dangling=true lists those that nobody holds, false the others", (True, True))
def dangling(side: Side) -> object:
    held, free = side.volume_name(side.make("-v", "/d"), "/d"), lost(side)
    found = [side.ok("volume", "ls", "-q", "-f", f"dangling={word}") for word in ("true", "false")]
    return found[0] == free, found[1] == held


@scenario("V703", "volume inspect tells where it is", ("local", "local", True, True))
def inspected(side: Side) -> object:
    container = side.make("-v", "/d")
    seen = side.mounts(container)["/d"]
    found = json.loads(side.ok("volume", "inspect", seen.name))[0]
    return found["Driver"], found["Scope"], found["Mountpoint"] == str(seen.source), bool(found["CreatedAt"])


@scenario("V704", "volume inspect of what there is not", (1, "no such volume"))
def inspect_unknown(side: Side) -> object:
    return side("volume", "inspect", "0" * 64).says("no such volume")


@scenario("V705", "volume rm of one that is held is refused and names the holder", (1, "in use", True))
def remove_held(side: Side) -> object:
    container = side.make("-v", "/d")
    done = side("volume", "rm", side.volume_name(container, "/d"))
    return *done.says("in use"), container in done.err or container[:12] in done.err


@scenario("V706", "volume rm of one that nobody holds removes it, and prints its name", (True, 0))
def remove(side: Side) -> object:
    name = lost(side)
    return side.ok("volume", "rm", name) == name, len(side.volumes())


@scenario("V707", "volume rm of what there is not: an error, but not with -f", [(1, "no such volume"), (0, "")])
def remove_unknown(side: Side) -> object:
    name = "0" * 64
    return [side("volume", "rm", *flags, name).says("no such volume") for flags in ((), ("-f",))]


@scenario("V708", "volume prune -f removes what nobody holds, and nothing else", (True, 1))
def prune(side: Side) -> object:
    held, free = side.volume_name(side.make("-v", "/d"), "/d"), lost(side)
    out = side.ok("volume", "prune", "-f")
    return free in out and held not in out, len(side.volumes())


@scenario("V709", "volume prune tells how much it reclaimed", "Total reclaimed space: 102.4kB")
def reclaimed(side: Side) -> object:
    lost(side, "head -c 102400 /dev/zero > /d/x")
    return side.ok("volume", "prune", "-f").splitlines()[-1]


@scenario("V710", "system df counts volumes, those in use, and what could be reclaimed",
          ("2", "1", "151.6kB", "102.4kB (67%)"))
def disk_usage(side: Side) -> object:
    side.ran("head -c 49152 /dev/zero > /d/x", "-v", "/d")
    lost(side, "head -c 102400 /dev/zero > /d/x")
    return usage(side)


@scenario("V711", "system df -v shows each volume with its holders and its size", [("0", "102.4kB"), ("2", "49.15kB")])
def disk_usage_each(side: Side) -> object:
    side.make("--volumes-from", side.ran("head -c 49152 /dev/zero > /d/x", "-v", "/d"))
    lost(side, "head -c 102400 /dev/zero > /d/x")
    form = "{{range .Volumes}}{{.Links}} {{.Size}}\n{{end}}"
    return sorted(tuple(line.split()) for line in side.ok("system", "df", "-v", "--format", form).splitlines() if line)


@scenario("V712", "ps -f volume=... finds the holders, by the volume's name and by the place", (True, True))
def holders(side: Side) -> object:
    owner = side.make("-v", "/d")
    sharer = side.make("--volumes-from", owner)
    side.make("-v", "/e")
    name = side.volume_name(owner, "/d")
    return tuple(
        set(side.ok("ps", "-aq", "--no-trunc", "-f", f"volume={what}").split()) == {owner, sharer}
        for what in (name, "/d")
    )


@scenario("V713", "volume create makes a volume with a name", 0, bireme=1,
          why="volumes are made with a container, and have no names (specification of 2013)")
def create(side: Side) -> object:
    return side("volume", "create", "v713").status


@scenario("V714", "events tell of a volume's life", ["create", "mount", "unmount", "destroy"],
          bireme=["create", "destroy"],
          why="events of a volume are its making and its end; mounts are told by its containers' starts and exits")
def events(side: Side) -> object:
    since = f"{time.time():.9f}"
    container = side.ran("true", "-v", "/d")
    name = side.volume_name(container, "/d")
    side.ok("rm", "-v", container)
    span = ("--since", since, "--until", f"{time.time():.9f}")
    return side.ok("events", *span, "-f", "type=volume", "-f", f"volume={name}", "--format", "{{.Action}}").splitlines()


@scenario("V715", "volume ls shows driver and name", True)
def table(side: Side) -> object:
    name = lost(side)
    return f"local     {name}" in side.ok("volume", "ls")


@scenario("V716", "inspect --type volume finds a volume by its name", "local")
def inspect_type(side: Side) -> object:
    return side.ok("inspect", "--type", "volume", "-f", "{{.Driver}}", lost(side))


@scenario("V717", "one holder gone, another still there: the volume does not dangle", ("", 1))
def still_held(side: Side) -> object:
    owner = side.make("-v", "/d")
    side.ok("rm", side.make("--volumes-from", f"{owner}:ro"))
    return side.ok("volume", "ls", "-q", "-f", "dangling=true"), len(side.volumes())


@scenario("V718", "volume ls shows of each volume who holds it, since when nobody does, and its size",
          (False, False, False), bireme=(True, True, True),
          why="volumes left behind pile up unseen: volume ls has the columns HELD BY, UNHELD SINCE, SIZE")
def whose(side: Side) -> object:
    holder = side.ran("head -c 49152 /dev/zero > /d/x", "-v", "/d")
    lost(side)
    table = side.ok("volume", "ls")
    return holder[:12] in table, " ago" in table and "nobody" in table, "49.15kB" in table


@scenario("V719", "the size of a volume is that of what it takes on the disk: a hole takes nothing", "1.049MB",
          bireme="0B", why="sizes are what removing the volume would give back: blocks, not the lengths of files")
def holes(side: Side) -> object:
    side.ran("truncate -s 1M /d/x", "-v", "/d")
    return usage(side)[2]


@scenario("V720", "volume prune of volumes with files of any owner and mode, in any depth", (True, 0))
def prune_all_kinds(side: Side) -> object:
    script = "mkdir -p /d/a/b/c; touch /d/a/b/c/f; ln -s /etc /d/l; mkfifo /d/p; chmod 0 /d/a/b; chown -R 5:6 /d/a"
    name = lost(side, script)
    return name in side.ok("volume", "prune", "-f"), len(side.volumes())


@scenario("V721", "volume inspect takes an unambiguous beginning of the name", (1, "no such volume"), bireme=(0, ""),
          why="a volume is found by the beginning of its id, as a container is")
def prefix(side: Side) -> object:
    return side("volume", "inspect", lost(side)[:12]).says("no such volume")


@scenario("V722", "volume prune prints a title, the names, a blank line and the total; or the total alone",
          ("Deleted Volumes:\nNAME\n\nTotal reclaimed space: 0B", "Total reclaimed space: 0B"))
def prune_words(side: Side) -> object:
    name = lost(side)
    return side.ok("volume", "prune", "-f").replace(name, "NAME"), side.ok("volume", "prune", "-f")


@scenario("V723", "volume rm of several, one of them unknown: the others go, and 1", (1, True, 0))
def remove_several(side: Side) -> object:
    names = [lost(side), lost(side)]
    done = side("volume", "rm", names[0], "f" * 64, names[1])
    return done.status, done.out.split() == names, len(side.volumes())
