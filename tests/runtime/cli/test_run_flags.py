"""The flags of ``run`` and ``create``: what each says to the engine, and that none of Docker's is let pass unheard."""

from __future__ import annotations

from typing import Any

import pytest

from bireme.cli._config import CREATE_FLAGS, RUN_FLAGS, attached, create_body
from bireme.cli._errors import CliError
from bireme.cli._flags import ABSENT, FlagError, parse

_NAMES = """
add-host annotation attach blkio-weight blkio-weight-device cap-add cap-drop cgroup-parent cgroupns cidfile
cpu-count cpu-percent cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus cpuset-cpus cpuset-mems
detach detach-keys device device-cgroup-rule device-read-bps device-read-iops device-write-bps device-write-iops
disable-content-trust dns dns-option dns-search domainname entrypoint env env-file expose gpus group-add health-cmd
health-interval health-retries health-start-interval health-start-period health-timeout hostname init interactive
io-maxbandwidth io-maxiops ip ip6 ipc isolation kernel-memory label label-file link link-local-ip log-driver log-opt
mac-address memory memory-reservation memory-swap memory-swappiness mount name network network-alias no-healthcheck
oom-kill-disable oom-score-adj pid pids-limit platform privileged publish publish-all pull quiet read-only restart rm
runtime security-opt shm-size sig-proxy stop-signal stop-timeout storage-opt sysctl tmpfs tty ulimit use-api-socket user
userns uts volume volume-driver volumes-from workdir
"""
DOCKER = frozenset(_NAMES.split())
"""Those of ``docker run``, versions 20.10 and 28."""


def body(*words: str) -> dict[str, Any]:
    options, arguments = parse(RUN_FLAGS, [*words, "image"], interspersed=False)
    return create_body(options, arguments[0], [], streams=attached(options, detach=True), environ={})


def host(*words: str) -> dict[str, Any]:
    found: dict[str, Any] = body(*words)["HostConfig"]
    return {key: value for key, value in found.items() if key != "RestartPolicy"}


def test_every_flag_of_dockers_is_known_or_refused_with_a_reason() -> None:
    names = {flag.name for flag in RUN_FLAGS}
    assert not DOCKER - names
    letters = {flag.letter: flag.name for flag in RUN_FLAGS if flag.letter}
    assert (letters["p"], letters["P"], letters["c"]) == ("publish", "publish-all", "cpu-shares")


@pytest.mark.parametrize("flag", [flag for flag in CREATE_FLAGS if flag.kind == ABSENT], ids=lambda flag: flag.name)
def test_what_is_refused_says_why_whether_it_has_a_value_or_not(flag: Any) -> None:
    spellings = [f"--{flag.name}=x", f"--{flag.name}", *([f"-{flag.letter}x"] if flag.letter else [])]
    for word in [*spellings, *([f"--{flag.old}"] if flag.old else [])]:
        with pytest.raises(FlagError, match=rf"--{flag.name} is not supported: \w+ \w+"):
            parse(RUN_FLAGS, [word, "image"], interspersed=False)


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ((), {}),
        (("--add-host", "a:1.2.3.4", "--add-host", "b=::1", "--add-host", "c:[fd00::1]"),
         {"ExtraHosts": ["a:1.2.3.4", "b:::1", "c:fd00::1"]}),
        (("--add-host", "me:host-gateway"), {"ExtraHosts": ["me:host-gateway"]}),
        (("--annotation", "a=b=c"), {"Annotations": {"a": "b=c"}}),
        (("--cgroupns", "private"), {"CgroupnsMode": "private"}),
        (("--cpu-period", "50000", "--cpu-quota", "5000"), {"CpuPeriod": 50000, "CpuQuota": 5000}),
        (("--dns", "1.1.1.1", "--dns", "::1", "--dns-search", "x", "--dns-option", "a", "--dns-opt", "b"),
         {"Dns": ["1.1.1.1", "::1"], "DnsSearch": ["x"], "DnsOptions": ["a", "b"]}),
        (("--ipc", "none", "--isolation", "default", "--userns", "host"),
         {"IpcMode": "none", "Isolation": "default", "UsernsMode": "host"}),
        (("--volume-driver", "local"), {"VolumeDriver": "local"}),
        (("--log-driver", "none"), {"LogConfig": {"Type": "none"}}),
        (("--log-driver", "local", "--log-opt", "max-size=1m"),
         {"LogConfig": {"Type": "local", "Config": {"max-size": "1m"}}}),
    ],
)  # fmt: skip
def test_what_is_said_of_the_host(words: tuple[str, ...], fields: dict[str, Any]) -> None:
    assert host(*words) == {"NetworkMode": "default", **fields}


@pytest.mark.parametrize(
    ("words", "network"),
    [((), "default"), (("--network", "host"), "host"), (("--net=none",), "none"), (("--network", "name=none"), "none")],
)
def test_networks(words: tuple[str, ...], network: str) -> None:
    assert host(*words) == {"NetworkMode": network}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--network", "none", "--net", "host"), "cannot be on several networks: none, host"),
        (("--network", ""), "no name set for network"),
        (("--network", "name=none,ip=10.0.0.5"), "a name is all that can be said"),
        (("--log-driver", "none", "--log-opt", "a=b"), "invalid logging opts for driver none"),
    ],
)
def test_what_contradicts(words: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(CliError, match=complaint):
        host(*words)


def test_a_hardware_address() -> None:
    assert body("--mac-address", "92:d0:c6:0a:29:33")["MacAddress"] == "92:d0:c6:0a:29:33"
    assert "MacAddress" not in body()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--mac-address", "zz"), "zz is not a valid mac address"),
        (("--mac-address", "92:d0:c6:0a:29"), "is not a valid mac address"),
        (("--add-host", "x"), "bad format for add-host"),
        (("--add-host", ":1.2.3.4"), "bad format for add-host"),
        (("--add-host", "x:bad"), "invalid IP address in add-host: 'bad'"),
        (("--dns", "bad"), "bad is not an ip address"),
        (("--annotation", "a"), "write it as NAME=VALUE"),
    ],
)
def test_values_that_cannot_be(words: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(FlagError, match=complaint):
        body(*words)
