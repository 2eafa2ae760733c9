"""What a container shares with its host where that is asked for: the host's name."""

from __future__ import annotations

import os

from tests.parity._catalogue import scenario
from tests.parity._side import Side

CONFLICT = (125, "conflicting options: hostname and the UTS mode")


def mode(side: Side, field: str, container: str) -> str:
    return side.ok("inspect", "-f", f"{{{{.HostConfig.{field}}}}}", container)


@scenario("H01", "--uts host: the name is the host's, and is not to be changed; files and HOSTNAME have the id",
          [os.uname().nodename, "not permitted", True, True])
def uts(side: Side) -> object:
    container = side.ok("run", "-d", "--uts", "host", "s-base", "sleep", "60")
    refused = side("exec", container, "hostname", "other")
    told = side.ok("exec", container, "sh", "-c", "cat /etc/hostname; echo $HOSTNAME").split()
    name = side.ok("exec", container, "hostname")
    shown = mode(side, "UTSMode", container)
    return [name, refused.says("not permitted")[1], told == [container[:12]] * 2, shown == "host"]


@scenario("H02", "--uts host with a name of one's own, or another mode, is refused",
          (CONFLICT, (125, "--uts: invalid UTS mode")))
def uts_conflict(side: Side) -> object:
    named = side("run", "--rm", "--uts", "host", "-h", "box", "s-base", "true")
    other = side("run", "--rm", "--uts", "container:x", "s-base", "true")
    return named.says(CONFLICT[1]), other.says("--uts: invalid UTS mode")
