"""Platforms, addresses and names: what is granted, and what is refused rather than passed over."""

from __future__ import annotations

from tests.parity._catalogue import scenario
from tests.parity._side import Side

MISMATCH = "was found but does not match the specified platform: wanted linux/s390x, actual: linux/"


@scenario("A01", "--platform is held against the image",
          [0, (1, MISMATCH), (1, "is an invalid component of"), (125, MISMATCH)])
def platforms(side: Side) -> object:
    other = ("--platform", "linux/s390x", "--pull", "never")
    return [
        side("create", "--platform", "linux", "s-base", "true").status,
        side("create", *other, "s-base", "true").says(MISMATCH),
        side("create", "--platform", "linux/", "s-base", "true").says("is an invalid component of"),
        side("run", *other, "s-base", "true").says(MISMATCH),
    ]


@scenario("A02", "run with an address or an alias is refused where there is no network for it", [125] * 4)
def addresses(side: Side) -> object:
    asked = (("--ip", "10.0.0.5"), ("--ip6", "fd00::5"), ("--ip", "nonsense"), ("--network-alias", "db"))
    return [side("run", "--rm", *flags, "s-base", "true").status for flags in asked]


@scenario("A03", "create with an address that will not be there", (0, 1), bireme=(125, 0),
          why="what cannot start is refused when it is asked for, and nothing is left")
def address_of_a_created_one(side: Side) -> object:
    return side("create", "--ip", "10.0.0.5", "s-base", "true").status, len(side.containers())


@scenario("A04", "a hardware address that is none is refused", 125)
def hardware_address(side: Side) -> object:
    return side("run", "--rm", "--mac-address", "zz", "s-base", "true").status


@scenario("A05", "a container is on one network", 125)
def two_networks(side: Side) -> object:
    return side("run", "--rm", "--network", "host", "s-base", "true").status


@scenario("A06", "--add-host adds to /etc/hosts, in order; what is no address is refused",
          ("10.0.0.5\tdb\nfd00::1\tsix\n10.0.0.6\tdb", [125, 125]))
def extra_hosts(side: Side) -> object:
    flags = ("--add-host", "db:10.0.0.5", "--add-host", "six:fd00::1", "--add-host", "db:10.0.0.6")
    wrong = [side("run", "--rm", "--add-host", text, "s-base", "true").status for text in ("x:bad", "x")]
    return side.sh("tail -n 3 /etc/hosts", *flags), wrong


@scenario("A07", "--dns, --dns-search and --dns-option make /etc/resolv.conf",
          ("search x.org y\nnameserver 10.0.0.1\nnameserver fd00::1\noptions ndots:1 debug", [125, 125]))
def name_servers(side: Side) -> object:
    flags = ("--dns", "10.0.0.1", "--dns", "fd00::1", "--dns-search", "x.org", "--dns-search", "y",
             "--dns-option", "ndots:1", "--dns-option", "debug")  # fmt: skip
    asked = (("--dns", "bad"), ("--dns-search", "bad domain"))
    wrong = [side("run", "--rm", *pair, "s-base", "true").status for pair in asked]
    return side.sh("grep -v '^#' /etc/resolv.conf", *flags), wrong
