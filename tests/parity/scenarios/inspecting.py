"""What ``inspect`` and ``ps`` tell."""

from __future__ import annotations

import json
import re

from tests.parity._catalogue import scenario
from tests.parity._side import Side

NEVER = "0001-01-01T00:00:00Z"


@scenario("I01", "inspect: Config.Volumes, HostConfig.VolumesFrom, Mounts, State",
          ({"/d": {}}, True, True, ("volume", "local", "", True, ""), "created"))
def inspected(side: Side) -> object:
    source = side.make("-v", "/d")
    first, second = side.inspect(source), side.inspect(side.make("--volumes-from", source))
    mount = first["Mounts"][0]
    return (
        first["Config"]["Volumes"],
        second["HostConfig"]["VolumesFrom"] == [source],
        second["Mounts"] == first["Mounts"],
        tuple(mount[field] for field in ("Type", "Driver", "Mode", "RW", "Propagation")),
        first["State"]["Status"],
    )


@scenario("I02", "Config.Volumes has the image's beside one's own, also where a source's takes their place",
          [{"/a": {}, "/b": {}, "/c": {}}, {"/a": {}, "/b": {}}])
def config_volumes(side: Side) -> object:
    source = side.make("-v", "/a")
    containers = side.make("-v", "/c", image="s-two"), side.make("--volumes-from", source, image="s-two")
    return [side.inspect(container)["Config"]["Volumes"] for container in containers]


@scenario("I03", "VolumesFrom is shown as it was given, modes and all", [True, True])
def volumes_from(side: Side) -> object:
    source = side.make("--name", "i03", "-v", "/d")
    given = ["i03:ro", source[:12]]
    shown = side.inspect(side.make("--volumes-from", given[0], "--volumes-from", given[1]))["HostConfig"]["VolumesFrom"]
    return [one == other for one, other in zip(shown, given, strict=True)]


@scenario("I04", "State before, while and after it runs",
          [("created", False, 0, False, True, True), ("running", True, 0, True, False, True),
           ("exited", False, 3, False, False, False)])
def states(side: Side) -> object:
    containers = side.make(), side.running(), side.ran("exit 3")
    found = [side.inspect(container)["State"] for container in containers]
    return [
        (
            state["Status"], state["Running"], state["ExitCode"], state["Pid"] > 0,
            state["StartedAt"] == NEVER, state["FinishedAt"] == NEVER,
        )
        for state in found
    ]  # fmt: skip


@scenario("I05", "Path and Args, Name, image and command", ("/i05", "echo", ["a", "b"], "s-base", ["echo", "a", "b"]))
def basics(side: Side) -> object:
    found = side.inspect(side.make("--name", "i05", command=["echo", "a", "b"]))
    return found["Name"], found["Path"], found["Args"], found["Config"]["Image"], found["Config"]["Cmd"]


@scenario("I06", "inspect of several, one of them unknown: the others, and 1", (1, 1, "No such object: nosuch"))
def partly(side: Side) -> object:
    done = side("inspect", side.make(), "nosuch")
    return done.status, len(json.loads(done.out)), done.says("No such object: nosuch")[1]


@scenario("I07", "a paused container says so", ("paused", True, True))
def paused(side: Side) -> object:
    container = side.running()
    side.ok("pause", container)
    state = side.inspect(container)["State"]
    side.ok("unpause", container)
    return state["Status"], state["Running"], state["Paused"]


@scenario("I08", "inspect -f with Go's templates", "true /d local")
def template(side: Side) -> object:
    container = side.make("-v", "/d")
    return side.ok("inspect", "-f", "{{range .Mounts}}{{.RW}} {{.Destination}} {{.Driver}}{{end}}", container)


@scenario("I09", "a container without volumes: Mounts is an empty list, Volumes and VolumesFrom are null",
          ([], None, None))
def without(side: Side) -> object:
    found = side.inspect(side.make())
    return found["Mounts"], found["Config"]["Volumes"], found["HostConfig"]["VolumesFrom"]


@scenario("I10", "ps shows what runs, -a all, -q ids, -l the last, -f status=", (1, 3, True, 1))
def listed(side: Side) -> object:
    side.make()
    side.ran("true")
    running = side.running()
    count = [len(side.ok("ps", *flags).splitlines()) for flags in (("-q",), ("-aq",), ("-q", "-f", "status=exited"))]
    return count[0], count[1], side.ok("ps", "-lq", "--no-trunc") == running, count[2]


@scenario("I11", "labels: the image's and one's own", {"l": "image", "m": "own"})
def labels(side: Side) -> object:
    return side.inspect(side.make("-l", "m=own", image="s-env"))["Config"]["Labels"]


@scenario("I12", "ps --format shows mounts", True)
def mounts_shown(side: Side) -> object:
    container = side.make("-v", "/d")
    return side.ok("ps", "-a", "--no-trunc", "--format", "{{.Mounts}}") == side.volume_name(container, "/d")


@scenario("I13", "AutoRemove and the restart policy", (True, "on-failure", 3))
def policies(side: Side) -> object:
    first = side.inspect(side.make("--rm"))["HostConfig"]
    second = side.inspect(side.make("--restart", "on-failure:3"))["HostConfig"]["RestartPolicy"]
    return first["AutoRemove"], second["Name"], second["MaximumRetryCount"]


@scenario("I14", "--rm together with a restart policy is refused", 125)
def conflicting(side: Side) -> object:
    return side("run", "--rm", "--restart", "always", "s-base", "true").status


@scenario("I15", "ps -f by label, name, exit, image, status; before and since; -n",
          ["alpha beta", "alpha", "beta", "beta", "alpha beta", "alpha", "alpha", "beta", "beta"])
def filters(side: Side) -> object:
    side.make("--name", "alpha", "-l", "k=v")
    side.ran("exit 3", "--name", "beta", "-l", "k=w")
    wanted = (
        ("-f", "label=k"), ("-f", "label=k=v"), ("-f", "name=et"), ("-f", "exited=3"), ("-f", "ancestor=s-base"),
        ("-f", "status=created"), ("-f", "before=beta"), ("-f", "since=alpha"), ("-n", "1"),
    )  # fmt: skip
    found = [side.ok("ps", "-a", "--format", "{{.Names}}", *one).split() for one in wanted]
    return [" ".join(sorted(names)) for names in found]


@scenario("I17", "Mounts of a read-only sharer: the mode is told by RW alone", [("/d", "", False), ("/e", "", True)])
def modes(side: Side) -> object:
    container = side.make("--volumes-from", f"{side.make('-v', '/d')}:ro", "-v", "/e")
    return sorted((mount["Destination"], mount["Mode"], mount["RW"]) for mount in side.inspect(container)["Mounts"])


@scenario("I18", "limits that nobody asked for are there, and are none", [0, 0, "", None, False, 0])
def unset(side: Side) -> object:
    names = ("CpuShares", "MemorySwap", "CpusetCpus", "MemorySwappiness", "OomKillDisable", "OomScoreAdj")
    found = side.inspect(side.make())["HostConfig"]
    return [found[name] for name in names]


@scenario("I16", "ps says since when", ["Created", "Exited (3)", "Up"])
def status(side: Side) -> object:
    containers = side.make(), side.ran("exit 3"), side.running()
    found = [side.ok("ps", "-a", "--format", "{{.Status}}", "-f", f"id={container}") for container in containers]
    return [re.split(r" (?:\d|[Aa]|Less)", text)[0] for text in found]
