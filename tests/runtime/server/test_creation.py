"""From Docker's body to the engine's keywords, and the whole way to what is refused."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.server.bounds import limits
from bireme.server.creation import keywords
from bireme.server.hosting import warnings
from bireme.server.messages import without_nulls
from bireme.server.models import CreateBody, Resources, words_of
from bireme.server.spelling import spelled
from bireme_actors import BiremeError, InvalidConfig, Limits, RestartPolicy, Tmpfs, Unsupported


def body(**fields: Any) -> CreateBody:
    return msgspec.convert(without_nulls({"Image": "busybox", **fields}), CreateBody)


def host(**fields: Any) -> CreateBody:
    return body(HostConfig=fields)


RECORDED = {
    "AttachStdout": True,
    "AttachStderr": True,
    "Cmd": ["sh", "-c", "exit 3"],
    "Image": "busybox",
    "Volumes": {"/data": {}},
    "Env": None,
    "Entrypoint": None,
    "HostConfig": {
        "LogConfig": {},
        "NetworkMode": "default",
        "RestartPolicy": {"Name": "no"},
        "ConsoleSize": [0, 0],
        "MemorySwappiness": -1,
        "Binds": None,
    },
    "NetworkingConfig": {"EndpointsConfig": {"default": {}}},
}
"""What the docker command sends for ``docker run -v /data busybox sh -c 'exit 3'``, with a few nulls of others."""


def test_what_docker_run_sends() -> None:
    found = msgspec.convert(without_nulls(RECORDED), CreateBody)
    options = keywords(found, "w1")
    assert words_of(found.cmd) == ["sh", "-c", "exit 3"]
    assert options["name"] == "w1"
    assert options["volumes"] == ["/data"]
    assert options["network"] == "none"
    assert options["limits"] == Limits()
    assert options["restart"] == RestartPolicy()
    assert "entrypoint" not in options
    assert options["extra"]["Config"] == {"AttachStdout": True, "AttachStderr": True}
    assert warnings(found) == []


def test_every_plain_field_arrives() -> None:
    found = body(
        Hostname="h", Domainname="d", User="u", Env=["A=b"], WorkingDir="/w", Labels={"a": "b"}, Tty=True,
        OpenStdin=True, StdinOnce=True, StopSignal="INT", StopTimeout=0, Entrypoint=["e"], Cmd="one word",
        HostConfig={
            "VolumesFrom": ["w:ro"], "ReadonlyRootfs": True, "Init": True, "NetworkMode": "host", "Runtime": "native",
            "PidMode": "host", "UTSMode": "host",
            "GroupAdd": ["g"], "Privileged": True, "CapAdd": ["CAP_NET_ADMIN"], "CapDrop": "all",
        },
    )  # fmt: skip
    options = keywords(found, "/n")
    assert (options["name"], options["hostname"], options["domainname"]) == ("n", "h", "d")
    assert (options["user"], options["env"], options["workdir"]) == ("u", ["A=b"], "/w")
    assert (options["tty"], options["stdin_open"], options["stdin_once"]) == (True, True, True)
    assert (options["stop_signal"], options["stop_timeout"], options["entrypoint"]) == ("INT", 0, ["e"])
    assert (options["volumes_from"], options["read_only"], options["init"]) == (["w:ro"], True, True)
    assert (options["pid_mode"], options["uts_mode"]) == ("host", "host")
    assert (options["network"], options["driver"], options["labels"]) == ("host", "native", {"a": "b"})
    security = options["security"]
    assert (security.group_add, security.privileged) == (("g",), True)
    assert (security.cap_add, security.cap_drop) == (("NET_ADMIN",), ("ALL",))
    assert words_of(found.cmd) == ["one word"]


def test_volumes_come_from_three_places() -> None:
    found = body(
        Volumes={"/a": {}},
        HostConfig={"Binds": ["/b"], "Mounts": [{"Type": "volume", "Target": "/c", "VolumeOptions": {}}]},
    )
    assert keywords(found, "")["volumes"] == ["/a", "/b", "/c"]


def test_what_is_in_memory_comes_from_two_places() -> None:
    settings = {"SizeBytes": 64 << 20, "Mode": 0o1770, "Options": [["exec"], ["uid", "5"]]}
    mounts = [
        {"Type": "tmpfs", "Target": "/b", "ReadOnly": True, "TmpfsOptions": settings},
        {"Type": "tmpfs", "Target": "/c"},
    ]
    found = body(Volumes={"/a": {}}, HostConfig={"Tmpfs": {"/a": "size=1m", "/c:d": ""}, "Mounts": mounts})
    options = keywords(found, "")
    assert options["tmpfs"] == [
        Tmpfs("/a", "size=1m"),
        Tmpfs("/c:d"),
        Tmpfs("/b", "ro,mode=1770,size=67108864,exec,uid=5", listed=True),
        Tmpfs("/c", listed=True),
    ]
    assert options["volumes"] == ["/a"]
    extra = options["extra"]["HostConfig"]
    assert extra["Mounts"] == mounts, "as it was given"  # type: ignore[index]  # JSON
    assert "Tmpfs" not in extra, "the engine knows"  # type: ignore[operator]  # JSON


@pytest.mark.parametrize(
    "settings",
    [{"Mode": -1}, {"Mode": 1 << 32}, {"SizeBytes": 1 << 63}, {"Options": [[]]}, {"Options": [["a", "b", "c"]]}, 5],
)
def test_what_a_tmpfs_cannot_be_asked_for_never_reaches_the_engine(settings: object) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"\$.HostConfig.Mounts\[0\].TmpfsOptions"):
        host(Mounts=[{"Type": "tmpfs", "Target": "/t", "TmpfsOptions": settings}])


def test_named_volumes_and_sources_are_left_to_the_engine_to_refuse() -> None:
    """It has the words of the specification; what arrives there is what was asked for."""
    assert keywords(host(Binds=["name:/p", "/h:/p:ro"]), "")["volumes"] == ["name:/p", "/h:/p:ro"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"Mounts": [{"Type": "volume", "Source": "name", "Target": "/p"}]}, "data-volume specification"),
        ({"Mounts": [{"Type": "bind", "Source": "/h", "Target": "/p"}]}, "data-volume specification"),
        ({"Mounts": [{"Type": "volume", "Target": "/p", "ReadOnly": True}]}, "volumes-from"),
        ({"Mounts": [{"Type": "tmpfs", "Source": "x", "Target": "/p"}]}, "field Source must not be specified"),
        ({"Mounts": [{"Type": "tmpfs", "Target": "/p", "BindOptions": {"Propagation": "r"}}]}, "field BindOptions"),
        ({"Mounts": [{"Type": "tmpfs", "Target": "/p/"}], "Binds": ["/p"]}, "Duplicate mount point: /p"),
        ({"Mounts": [{"Type": "volume", "Target": "/p"}, {"Type": "tmpfs", "Target": "//p"}]}, "Duplicate mount point"),
        ({"Tmpfs": {"/p/": ""}, "Binds": ["/p"]}, "Duplicate mount point: /p"),
        ({"Mounts": [{"Type": "nosuch", "Target": "/p"}]}, "mount type unknown"),
        ({"Devices": [{"PathOnHost": "/dev/sda"}]}, "devices"),
        ({"DeviceRequests": [{"Driver": "nvidia"}]}, "devices"),
        ({"Sysctls": {"a": "b"}}, "sysctls"),
        ({"StorageOpt": {"size": "1G"}}, "storage"),
        ({"Links": ["a:b"]}, "links"),
        ({"IpcMode": "container:x"}, "ipc mode"),
        ({"CgroupnsMode": "host"}, "cgroupns mode"),
        ({"Isolation": "hyperv"}, "isolation"),
        ({"VolumeDriver": "nfs", "Mounts": [{"Type": "volume", "Target": "/d"}]}, "volume driver"),
        ({"NetworkMode": "mine"}, "network mine not found"),
        ({"NetworkMode": "container:x"}, "cannot share"),
        ({"ConsoleSize": [1]}, "ConsoleSize"),
        ({"Memory": 1000}, "Minimum memory limit"),
        ({"Memory": -1}, "Memory limit"),
        ({"ShmSize": -1}, "SHM size"),
        ({"OomScoreAdj": 1001}, "range for oom score adj"),
        ({"NanoCpus": 1, "CpuQuota": 5000}, "Conflicting options"),
        ({"NanoCpus": 1, "CpuPeriod": 5000}, "Conflicting options"),
        ({"CpuPeriod": 1}, "CPU cfs period"),
        ({"CpuQuota": 1}, "CPU cfs quota"),
        ({"SecurityOpt": ["nosuch"]}, "invalid --security-opt"),
        ({"SecurityOpt": ["seccomp={"]}, "seccomp profile"),
        ({"SecurityOpt": ["apparmor=mine"]}, "AppArmor"),
        ({"SecurityOpt": ["no-new-privileges=perhaps"]}, "invalid --security-opt"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidConfig, match=reason):
        keywords(host(**fields), "")


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"PortBindings": {"80/tcp": [{"HostPort": "80"}]}}, "ports"),
        ({"ExtraHosts": ["a:1.2.3.4", "me:host-gateway"]}, "host-gateway"),
        ({"Annotations": {"a": "b"}}, "Annotations"),
        ({"KernelMemoryTCP": 1 << 20, "KernelMemory": 1 << 20}, "kernel memory"),
        ({"CpuCount": 1}, "CpuCount"),
        ({"CpuPercent": 5}, "CpuPercent"),
        ({"IOMaximumIOps": 5}, "IOMaximumIOps"),
        ({"IOMaximumBandwidth": 5}, "IOMaximumBandwidth"),
        ({"OomKillDisable": True}, "OomKillDisable"),
        ({"BlkioDeviceReadBps": [{"Path": "/dev/null", "Rate": 1}]}, "Block I/O"),
        ({"BlkioDeviceWriteIOps": [{"Path": "/dev/null", "Rate": 1}]}, "Block I/O"),
        ({"MemorySwappiness": 5}, "swappiness"),
        ({"LogConfig": {"Config": {"compress": "true"}}}, "compress"),
        ({"MaskedPaths": []}, "MaskedPaths"),
    ],
)
def test_what_is_let_pass_with_one_warning(fields: dict[str, Any], word: str) -> None:
    found = host(**fields)
    keywords(found, "")
    assert len(warnings(found)) == 1
    assert word in warnings(found)[0]


def test_a_health_check_is_handed_on() -> None:
    found = body(Healthcheck={"Test": ["CMD", "true"]})
    assert warnings(found) == []
    assert keywords(found, "")["extra"]["Config"] == {"Healthcheck": {"Test": ["CMD", "true"]}}
    assert warnings(body(Healthcheck={"Test": ["NONE"]})) == []


@pytest.mark.parametrize(
    ("option", "privileges", "seccomp"),
    [
        ("no-new-privileges", True, "default"),
        ("no-new-privileges:true", True, "default"),
        ("no-new-privileges=false", False, "default"),
        ("seccomp=unconfined", False, "unconfined"),
        ("seccomp:unconfined", False, "unconfined"),
        ("seccomp=builtin", False, "default"),
        ('seccomp={"defaultAction": "SCMP_ACT_ALLOW"}', False, '{"defaultAction": "SCMP_ACT_ALLOW"}'),
        ("apparmor=unconfined", False, "default"),
        ("label=disable", False, "default"),
    ],
)
def test_security_options(option: str, privileges: bool, seccomp: str) -> None:
    security = keywords(host(SecurityOpt=[option]), "")["security"]
    assert (security.no_new_privileges, security.seccomp) == (privileges, seccomp)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"Memory": 64 << 20}, Limits(memory=64 << 20)),
        ({"NanoCpus": 5}, Limits(nano_cpus=5)),
        ({"CpuQuota": 50_000}, Limits(nano_cpus=500_000_000)),
        ({"CpuQuota": 50_000, "CpuPeriod": 25_000}, Limits(nano_cpus=2_000_000_000)),
        ({"CpuQuota": -1}, Limits()),
        ({"PidsLimit": -1}, Limits(pids=-1)),
        ({"CpuShares": 2, "CpusetCpus": "0"}, Limits(cpu_shares=2, cpuset_cpus="0")),
        ({"Memory": 8 << 20, "MemorySwap": -1}, Limits(memory=8 << 20, memory_swap=-1)),
        ({"PidsLimit": 7}, Limits(pids=7)),
        ({"Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}]}, Limits(rlimits={"nofile": (1, 2)})),
    ],
)
def test_limits(fields: dict[str, Any], expected: Limits) -> None:
    assert limits(msgspec.convert(fields, Resources)) == expected


def test_an_endpoint_names_a_network_too() -> None:
    with pytest.raises(InvalidConfig, match="network mine not found"):
        keywords(body(NetworkingConfig={"EndpointsConfig": {"mine": {}}}), "")


def endpoint(mode: str = "none", name: str = "", **fields: Any) -> CreateBody:
    return body(HostConfig={"NetworkMode": mode}, NetworkingConfig={"EndpointsConfig": {name or mode: fields}})


EMPTY: tuple[dict[str, Any], ...] = (
    {},
    {"IPAMConfig": {}, "Links": [], "Aliases": [], "MacAddress": "", "DriverOpts": {}, "GwPriority": 0},
    {"IPAMConfig": None, "Links": None, "Aliases": None, "DriverOpts": None, "DNSNames": None},
    {"IPAddress": "172.17.0.2", "IPPrefixLen": 16, "Gateway": "172.17.0.1", "EndpointID": "e", "GlobalIPv6Address": ""},
)
"""Endpoints that ask for nothing: as clients send them, and as they copy them from what ``inspect`` shows."""


@pytest.mark.parametrize("fields", EMPTY)
@pytest.mark.parametrize(
    ("mode", "name", "network"),
    [
        ("none", "none", "none"), ("host", "host", "host"), ("default", "default", "none"), ("", "bridge", "none"),
        ("bridge", "default", "none"), ("", "none", "none"),
    ],
)  # fmt: skip
def test_an_endpoint_that_asks_for_nothing(mode: str, name: str, network: str, fields: dict[str, Any]) -> None:
    document = {"HostConfig": {"NetworkMode": mode}, "NetworkingConfig": {"EndpointsConfig": {name: fields}}}
    found = msgspec.convert(spelled(without_nulls(document), CreateBody), CreateBody)
    assert keywords(found, "")["network"] == network
    assert warnings(found) == []


@pytest.mark.parametrize("mode", ["none", "host", "default"])
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"IPAMConfig": {"IPv4Address": "10.0.0.5"}}, "user specified IP address is supported on user defined"),
        ({"IPAMConfig": {"IPv6Address": "fd00::5"}}, "user specified IP address is supported on user defined"),
        ({"IPAMConfig": {"LinkLocalIPs": ["169.254.1.1"]}}, "user specified IP address"),
        ({"IPAMConfig": {"IPv4Address": "nonsense"}}, "invalid IPv4 address: nonsense"),
        ({"IPAMConfig": {"IPv4Address": "fd00::5"}}, "invalid IPv4 address: fd00::5"),
        ({"IPAMConfig": {"IPv6Address": "10.0.0.5"}}, "invalid IPv6 address: 10.0.0.5"),
        ({"Aliases": ["db"]}, "network-scoped alias is supported only for containers in user defined networks"),
        ({"Links": ["a:b"]}, "links are not supported"),
    ],
)
def test_an_endpoint_that_asks_for_what_no_network_here_has(mode: str, fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidConfig, match=reason):
        keywords(endpoint(mode, **fields), "")


def test_endpoints_that_contradict() -> None:
    with pytest.raises(InvalidConfig, match="conflicting networks: NetworkMode is 'none', the endpoint 'host'"):
        keywords(endpoint("none", "host"), "")
    with pytest.raises(InvalidConfig, match="conflicting networks: NetworkMode is 'default', the endpoint 'host'"):
        keywords(endpoint("", "host"), "")
    both = body(NetworkingConfig={"EndpointsConfig": {"none": {}, "host": {}}})
    with pytest.raises(InvalidConfig, match="cannot be connected to network endpoints: host, none"):
        keywords(both, "")


MAC = "02:42:ac:11:00:05"


@pytest.mark.parametrize(
    "make", [lambda mode, text: body(MacAddress=text, HostConfig={"NetworkMode": mode}),
             lambda mode, text: endpoint(mode, MacAddress=text)],
)  # fmt: skip
def test_a_hardware_address(make: Any) -> None:
    given = make("none", MAC)
    keywords(given, "")
    assert [warning.partition(":")[0] for warning in warnings(given)] == ["The MAC address is ignored"]
    with pytest.raises(InvalidConfig, match="invalid MAC address: zz"):
        keywords(make("none", "zz"), "")
    with pytest.raises(InvalidConfig, match="conflicting options: mac-address and the network mode"):
        keywords(make("host", MAC), "")


def test_driver_options_of_an_endpoint_are_ignored_with_a_warning() -> None:
    given = endpoint(DriverOpts={"a": "b"})
    keywords(given, "")
    assert warnings(given) == ["Driver options of a network are ignored"]


def test_where_a_name_alone_counts_null_is_no_absence() -> None:
    found = body(Volumes={"/a": None}, ExposedPorts={"80/tcp": None}, HostConfig={"Tmpfs": {"/t": None}}, Labels=None)
    assert keywords(found, "")["volumes"] == ["/a"]
    assert keywords(found, "")["tmpfs"] == keywords(body(HostConfig={"Tmpfs": {"/t": ""}}), "")["tmpfs"]
    assert list(found.exposed_ports) == ["80/tcp"]


def test_refusals_of_the_specification_are_told_from_mistakes() -> None:
    with pytest.raises(Unsupported):
        keywords(host(Sysctls={"a": "b"}), "")


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just([]) | st.just({}),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from([
    "Image", "Cmd", "Env", "Volumes", "Labels", "Tty", "StopTimeout", "HostConfig", "Memory", "Binds", "Mounts",
    "SecurityOpt", "Ulimits", "RestartPolicy", "NetworkMode", "CapAdd", "LogConfig", "ConsoleSize", "Healthcheck",
    "NetworkingConfig", "EndpointsConfig", "none", "IPAMConfig", "IPv4Address", "Aliases", "MacAddress", "Tmpfs",
])  # fmt: skip


@given(st.dictionaries(NAMES, JSON, max_size=6), st.dictionaries(NAMES, JSON, max_size=6))
def test_no_body_is_a_crash(outer: dict[str, Any], inner: dict[str, Any]) -> None:
    document = {"HostConfig": inner, **outer}
    try:
        found = msgspec.convert(without_nulls(document), CreateBody)
    except msgspec.ValidationError:
        return
    with suppress(BiremeError):
        keywords(found, "")
    warnings(found)


def test_what_says_nothing_without_volumes_is_let_pass() -> None:
    found = keywords(host(VolumeDriver="nfs"), "")
    assert found["extra"]["HostConfig"] == {"VolumeDriver": "nfs"}


def test_a_log_without_a_driver_is_of_the_default_one() -> None:
    found = keywords(host(LogConfig={"Type": "", "Config": {"max-file": "100"}}), "")
    assert (found["log_driver"], found["log_opts"]) == ("json-file", {"max-file": "100"})


def test_options_of_a_log_that_is_not_kept_are_ignored_with_a_warning() -> None:
    found = host(LogConfig={"Type": "none", "Config": {"max-size": "1m"}})
    assert keywords(found, "")["log_driver"] == "none"
    assert warnings(found) == ["The log option max-size is ignored"]


def test_a_runtime_beside_the_host_configuration_counts_as_docker_py_sends_it() -> None:
    assert keywords(body(Runtime="runc"), "")["driver"] == "runc"
    assert keywords(body(Runtime="runc", HostConfig={"Runtime": "crun"}), "")["driver"] == "crun"


@pytest.mark.parametrize("port", ["80", "80/tcp", "53/udp", "8000-8010/sctp"])
def test_ports(port: str) -> None:
    keywords(body(ExposedPorts={port: {}}, HostConfig={"PortBindings": {port: [{"HostPort": "0"}, {}]}}), "")


@pytest.mark.parametrize("port", ["", "/tcp", "0", "-1", "65536", "tcp", "80/icmp", "90-80", "None/tcp"])
def test_what_is_no_port(port: str) -> None:
    with pytest.raises(InvalidConfig, match="invalid port specification"):
        keywords(body(ExposedPorts={port: {}}), "")
    with pytest.raises(InvalidConfig, match="invalid port specification"):
        keywords(host(PortBindings={port: []}), "")


def test_what_is_no_port_of_the_host() -> None:
    with pytest.raises(InvalidConfig, match='invalid host port of 80/tcp: "abc"'):
        keywords(host(PortBindings={"80/tcp": [{"HostPort": "abc"}]}), "")
