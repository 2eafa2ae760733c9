"""Names that a user adds, and servers of names: what is written, and what can be none."""

from __future__ import annotations

import pytest

from bireme.storage import check_names
from bireme.storage._names import LOOPBACK_HOSTS, hosts, resolv_conf
from bireme_actors import InvalidConfig

BASE = b"domain old.org\nsearch old.org\nnameserver 10.0.0.1\nnameserver 10.0.0.2\noptions rotate\n# dropped\n"


def given(**fields: list[str]) -> dict[str, object]:
    return {"HostConfig": fields}


@pytest.mark.parametrize("extra", [{}, given(), given(ExtraHosts=[]), {"HostConfig": {"ExtraHosts": None}}])
def test_without_more_names_there_is_what_there_was(extra: dict[str, object]) -> None:
    assert hosts(None, extra) == LOOPBACK_HOSTS
    assert hosts(b"127.0.0.1 me", extra) == b"127.0.0.1 me"
    assert resolv_conf(BASE, extra) == BASE


def test_names_are_added_in_their_order() -> None:
    extra = given(ExtraHosts=["a:1.2.3.4", "b:::1", "a:1.2.3.5", "c:[fd00::1]"])
    added = b"1.2.3.4\ta\n::1\tb\n1.2.3.5\ta\nfd00::1\tc\n"
    assert hosts(None, extra) == LOOPBACK_HOSTS + added
    assert hosts(b"127.0.0.1 me", extra) == b"127.0.0.1 me\n" + added
    assert hosts(b"", extra) == added


def test_the_host_is_at_the_loopback_that_is_shared_and_nowhere_else() -> None:
    extra = given(ExtraHosts=["host.docker.internal:host-gateway"])
    assert hosts(b"", extra) == b"127.0.0.1\thost.docker.internal\n"
    assert hosts(None, extra) == LOOPBACK_HOSTS


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (given(Dns=["1.1.1.1", "fd00::1"]),
         b"domain old.org\nsearch old.org\nnameserver 1.1.1.1\nnameserver fd00::1\noptions rotate\n"),
        (given(DnsSearch=["x.org", "y"]),
         b"search x.org y\nnameserver 10.0.0.1\nnameserver 10.0.0.2\noptions rotate\n"),
        (given(DnsSearch=["."]), b"nameserver 10.0.0.1\nnameserver 10.0.0.2\noptions rotate\n"),
        (given(Dns=["1.1.1.1"], DnsSearch=["x"], DnsOptions=["ndots:1", "debug"]),
         b"search x\nnameserver 1.1.1.1\noptions ndots:1 debug\n"),
        (given(Dns=[""]), BASE),
    ],
)  # fmt: skip
def test_what_is_given_takes_the_place_of_its_kind(extra: dict[str, object], expected: bytes) -> None:
    assert resolv_conf(BASE, extra) == expected


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        (given(ExtraHosts=["x"]), 'bad format for add-host: "x"'),
        (given(ExtraHosts=[":1.2.3.4"]), "bad format for add-host"),
        (given(ExtraHosts=["a b:1.2.3.4"]), "bad format for add-host"),
        (given(ExtraHosts=["a\n9.9.9.9 b:1.2.3.4"]), "bad format for add-host"),
        (given(ExtraHosts=["x:bad"]), 'invalid IP address in add-host: "bad"'),
        (given(ExtraHosts=["x:1.2.3.4\n"]), "invalid IP address in add-host"),
        (given(ExtraHosts=["x:fe80::1%eth0"]), "invalid IP address in add-host"),
        (given(Dns=["bad"]), "bad is not an ip address"),
        (given(Dns=["1.1.1.1\nnameserver 2.2.2.2"]), "is not an ip address"),
        (given(DnsSearch=["bad domain"]), "bad domain is not a valid domain"),
        (given(DnsSearch=["-x"]), "-x is not a valid domain"),
        (given(DnsOptions=["a b"]), "is not a valid DNS option"),
    ],
)
def test_what_can_be_none(extra: dict[str, object], reason: str) -> None:
    with pytest.raises(InvalidConfig, match=reason):
        check_names(extra)


def test_what_can_be_one() -> None:
    check_names(given(ExtraHosts=["a:1.2.3.4", "b:host-gateway"], Dns=["::1"], DnsSearch=["a.b-c.d", "."]))
    check_names({})
