"""Much at once: what one does meanwhile must not be seen half done by another."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.parity._catalogue import scenario
from tests.parity._side import Done, Side


def at_once(side: Side, commands: list[tuple[str, ...]]) -> list[Done]:
    """All of the commands at the same time; their ends in the order given."""
    with ThreadPoolExecutor(len(commands)) as threads:
        return list(threads.map(lambda words: side(*words), commands))


@scenario("C01", "twenty containers --volumes-from the same source at once", ({0}, "20"))
def twenty(side: Side) -> object:
    source = side.make("-v", "/d")
    flags = ("run", "--rm", "--volumes-from", source, "s-base")
    done = at_once(side, [(*flags, "touch", f"/d/{number}") for number in range(20)])
    return {one.status for one in done}, side.sh("ls /d | wc -l", "--volumes-from", source)


@scenario("C02", "ten containers with filled volumes of their own at once: each has the content",
          ({(0, "hellodeep")}, 0))
def own(side: Side) -> object:
    done = at_once(side, [("run", "--rm", "s-vol", "cat", "/vol/f", "/vol/sub/g")] * 10)
    return {one.seen for one in done}, len(side.volumes())


@scenario("C03", "ten sharers removed at once with -v, their source too: nothing is left", ({0}, 0))
def removed_at_once(side: Side) -> object:
    source = side.make("-v", "/d")
    sharers = [side.make("--volumes-from", source) for _ in range(9)]
    done = at_once(side, [("rm", "-v", container) for container in (source, *sharers)])
    return {one.status for one in done}, len(side.volumes())


@scenario("C04", "a source removed with -v while others are made from it: whoever was made has the volume",
          (True, True))
def removed_meanwhile(side: Side) -> object:
    source = side.ran("echo k > /d/x", "-v", "/d")
    creating = [("create", "--volumes-from", source, "s-base", "cat", "/d/x")] * 6
    done = at_once(side, [*creating[:3], ("rm", "-v", source), *creating[3:]])
    made = [one.out for one in done if len(one.out) == 64 and one.out != source]
    refused = [one for one in done if one.status]
    return (
        all(side("start", "-a", container).seen == (0, "k") for container in made),
        all("No such container" in one.err or "has just been removed" in one.err for one in refused),
    )


@scenario("C05", "one name asked for eight times at once: one gets it", (1, 7, 1))
def one_name(side: Side) -> object:
    done = at_once(side, [("create", "--name", "c05", "-v", "/d", "s-base", "true")] * 8)
    statuses = [one.status for one in done]
    return statuses.count(0), sum("already in use" in one.err for one in done), len(side.volumes())


@scenario("C06", "one container started five times at once runs once", ([0] * 5, "1"))
def one_start(side: Side) -> object:
    container = side.make("-v", "/d", command=["sh", "-c", "echo >> /d/x; wc -l < /d/x; exec sleep 60"])
    done = at_once(side, [("start", container)] * 5)
    side.wait_for_line(container, "1")
    return [one.status for one in done], side.ok("logs", container)


@scenario("C07", "ten who wait for one container all get its status", [(0, "3")] * 10)
def waiters(side: Side) -> object:
    container = side.ok("run", "-d", "s-base", "sh", "-c", "sleep 1; exit 3")
    return [one.seen for one in at_once(side, [("wait", container)] * 10)]


@scenario("C08", "six writers append to one file of a shared volume: no line is lost", "600")
def writers(side: Side) -> object:
    source = side.make("-v", "/d")
    script = "for n in $(seq 100); do echo line >> /d/x; done"
    at_once(side, [("run", "--rm", "--volumes-from", source, "s-base", "sh", "-c", script)] * 6)
    return side.sh("grep -c '^line$' /d/x", "--volumes-from", source)


@scenario("C09", "one container removed by four at once: it is gone, and nothing else breaks", (True, 0, 0))
def one_removal(side: Side) -> object:
    container = side.running("-v", "/d")
    done = at_once(side, [("rm", "-f", "-v", container)] * 4)
    return any(one.status == 0 for one in done), len(side.containers()), len(side.volumes())


@scenario("C10", "volume prune while containers are made: none loses the volume that it was made with", True)
def prune_meanwhile(side: Side) -> object:
    making = ("create", "s-vol", "cat", "/vol/f")
    done = at_once(side, [making, ("volume", "prune", "-f"), making, ("volume", "prune", "-f"), making])
    made = [one.out for one in done if len(one.out) == 64]
    return len(made) == 3 and all(side("start", "-a", container).seen == (0, "hello") for container in made)
