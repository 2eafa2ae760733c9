"""What runtimes are told and what they say: the OCI bundle, the LXC configuration, the complaints. Pure."""

from __future__ import annotations

from typing import Any, cast

import pytest

from bireme.drivers.seccomp import document, this_host
from bireme.drivers.seccomp._default import DEFAULT
from bireme.launcher._identity import Identity
from bireme.launcher._protocol import DRIVER, INVALID, NOT_EXECUTABLE, NOT_FOUND, Failure
from bireme.launcher.farm import _complaints, _lxc, _oci, _stage
from bireme.launcher.requests import RuntimeRequest, StartRequest


def stage(*mounts: tuple[str, str, bool], uid: int = 0, **environment: str) -> _stage.Stage:
    placed = [_stage.Placed(source, target, read_only=ro, is_file=False) for source, target, ro in mounts]
    return _stage.Stage(Identity(uid, uid, [uid, 7], "/"), environment, [(7, 10, -1)], placed, nodev=False)


def request(
    *, tty: bool = False, privileged: bool = False, host_network: bool = False, host_uts: bool = False,
    host_pid: bool = False,
) -> StartRequest:
    process = {"args": ["a", "b c"], "cwd": "/w", "tty": tty, "no_new_privileges": True, "oom_score_adj": 3}
    size = {"rows": 40, "columns": 132} if tty else {}
    whole = {
        "container": "c" * 64,
        "process": {**process, **size},
        "read_only": True,
        "hostname": "box",
        "host_network": host_network,
        "host_uts": host_uts,
        "host_pid": host_pid,
        "privileged": privileged,
        "shm_size": 4096,
    }
    return cast(StartRequest, whole)


def runtime(*capabilities: str, seccomp: dict[str, Any] | None = None) -> RuntimeRequest:
    return {
        "kind": "oci",
        "name": "r",
        "program": "/r",
        "options": [],
        "capabilities": list(capabilities),
        "seccomp": seccomp,
    }


def default_seccomp(held: int = 0) -> dict[str, Any]:
    return document(DEFAULT.resolve(held, this_host()))


def test_volumes_come_last_and_in_order() -> None:
    found = _oci.mounts(request(), stage(("/v/2", "/data", False), ("/v/1", "/data/below", True)))
    assert [mount["destination"] for mount in found[-2:]] == ["/data", "/data/below"]
    assert found[-2] == {
        "destination": "/data",
        "type": "bind",
        "source": "/v/2",
        "options": ["rbind", "rprivate", "rw"],
    }
    assert found[-1]["options"] == ["rbind", "rprivate", "ro"]


def test_a_volume_takes_the_place_of_a_default_mount() -> None:
    found = _oci.mounts(request(), stage(("/v/1", "/dev/shm", False)))
    assert [mount["source"] for mount in found if mount["destination"] == "/dev/shm"] == ["/v/1"]
    entries = _lxc.mount_entries(request(), stage(("/v/1", "/dev/shm", False)))
    assert [entry for entry in entries if " dev/shm " in entry] == ["/v/1 dev/shm none rbind,create=dir 0 0"]


@pytest.mark.parametrize(
    ("flags", "read_only", "nodev", "oci", "lxc"),
    [
        (["nosuid", "nodev", "noexec"], True, True, "ro,nosuid,nodev,noexec", ",ro,nosuid,nodev,noexec"),
        (["nosuid"], False, True, "rw,nosuid,nodev", ",nosuid,nodev"),
        ([], False, False, "rw", ""),
    ],
)
def test_what_is_in_memory_is_bound_with_all_its_flags(
    flags: list[str], read_only: bool, nodev: bool, oci: str, lxc: str
) -> None:
    placed = _stage.Placed("/m/0", "/t", read_only=read_only, is_file=False, flags=flags)
    found = _stage.Stage(Identity(0, 0, [], "/"), {}, [], [placed], nodev=nodev)
    assert _oci.mounts(request(), found)[-1]["options"] == ["rbind", "rprivate", *oci.split(",")]
    assert _lxc.mount_entries(request(), found)[-1] == f"/m/0 t none rbind,create=dir{lxc} 0 0"


def test_the_process_in_a_bundle() -> None:
    found = _oci.config(request(tty=True), runtime("CHOWN"), stage(A="b"))["process"]
    assert found["args"] == ["a", "b c"]
    assert found["env"] == ["A=b"]
    assert found["capabilities"]["effective"] == found["capabilities"]["bounding"] == ["CAP_CHOWN"]
    assert found["rlimits"] == [{"type": "RLIMIT_NOFILE", "soft": 10, "hard": (1 << 64) - 1}]
    assert found["consoleSize"] == {"height": 40, "width": 132}
    assert (found["noNewPrivileges"], found["oomScoreAdj"], found["cwd"]) == (True, 3, "/w")


def test_who_is_not_root_holds_no_capability() -> None:
    found = _oci.config(request(), runtime("CHOWN"), stage(uid=5))["process"]
    assert found["user"] == {"uid": 5, "gid": 5, "additionalGids": [5, 7], "umask": 0o022}
    assert found["capabilities"]["effective"] == found["capabilities"]["permitted"] == []
    assert found["capabilities"]["bounding"] == ["CAP_CHOWN"]


@pytest.mark.parametrize("privileged", [False, True])
def test_what_only_a_privileged_container_sees(privileged: bool) -> None:
    found = _oci.config(request(privileged=privileged), runtime(), stage())
    sys = next(mount for mount in found["mounts"] if mount["destination"] == "/sys")
    assert ("ro" in sys["options"]) is not privileged
    assert ("maskedPaths" in found["linux"]) is not privileged
    entries = "\n".join(_lxc.mount_entries(request(privileged=privileged), stage()))
    assert ("/dev/null proc/kcore none bind,optional 0 0" in entries) is not privileged


def test_the_hosts_network_is_no_namespace() -> None:
    def kinds(host: bool) -> list[str]:
        linux = _oci.config(request(host_network=host), runtime(), stage())["linux"]
        return [entry["type"] for entry in linux["namespaces"]]

    assert [kind for kind in kinds(False) if kind not in kinds(True)] == ["network"]


def test_the_hosts_name_is_no_namespace_and_nothing_names_the_container() -> None:
    own, shared = (_oci.config(request(host_uts=host), runtime(), stage()) for host in (False, True))
    kinds = [[entry["type"] for entry in found["linux"]["namespaces"]] for found in (own, shared)]
    assert [kind for kind in kinds[0] if kind not in kinds[1]] == ["uts"]
    assert (own["hostname"], "hostname" in shared) == ("box", False)
    lines = _lxc.config(request(host_uts=True), runtime(), stage()).splitlines()
    assert "lxc.namespace.clone = cgroup ipc mnt pid" in lines
    assert not any(line.startswith("lxc.uts.name") for line in lines)


def test_the_lxc_configuration() -> None:
    found = _lxc.config(request(), runtime("NET_RAW", "CHOWN", seccomp={}), stage(("/v/1", "/a b\\", True), A=" b "))
    for line in (
        "lxc.mount.entry = /v/1 a\\040b\\134 none rbind,create=dir,ro 0 0",
        'lxc.environment = "A= b "',
        "lxc.cap.keep = net_raw chown",
        "lxc.init.groups = 0,7",
        "lxc.prlimit.nofile = 10:unlimited",
        "lxc.rootfs.options = ro",
        "lxc.no_new_privs = 1",
        "lxc.seccomp.profile = /run/bireme/bundle/seccomp",
    ):
        assert line in found.splitlines()


def test_lxc_takes_no_line_feed_so_that_none_of_our_lines_is_anothers() -> None:
    with pytest.raises(Failure, match="line feed") as caught:
        _lxc.config(request(), runtime(), stage(A="b\nlxc.hook.pre-start = /evil"))
    assert caught.value.kind == INVALID
    assert "evil" not in caught.value.message


def test_the_default_profile_in_both_forms() -> None:
    seccomp = default_seccomp()
    assert (seccomp["defaultAction"], seccomp["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", 1)
    assert any(entry["names"] == ["clone3"] and entry["errnoRet"] == 38 for entry in seccomp["syscalls"])
    lines = _lxc.profile(seccomp).splitlines()
    assert lines[:3] == ["2", "allowlist errno 1", "[all]"]
    assert "read allow" in lines
    assert "clone3 errno 38" in lines
    assert "clone allow [0,0,SCMP_CMP_MASKED_EQ,2114060288]" in lines
    assert "personality allow [0,8,SCMP_CMP_EQ]" in lines


def test_an_action_that_lxc_has_no_word_for_is_refused() -> None:
    with pytest.raises(Failure, match="SCMP_ACT_LOG"):
        _lxc.profile({"defaultAction": "SCMP_ACT_LOG", "syscalls": []})


@pytest.mark.parametrize(
    ("program", "command", "said", "kind", "words"),
    [
        ("crun", "x", "executable file `x` not found in $PATH: No such file or directory", NOT_FOUND, "in $PATH"),
        ("crun", "/x", "executable file `/x` not found in $PATH: No such file", NOT_FOUND, "no such file or directory"),
        ("crun", "/x", "open executable: Permission denied", NOT_EXECUTABLE, "permission denied"),
        ("runc", "x", 'exec: "x": executable file not found in $PATH: unknown', NOT_FOUND, "in $PATH"),
        (
            "runc",
            "/x",
            'exec: "/x": stat /x: no such file or directory: unknown',
            NOT_FOUND,
            "no such file or directory",
        ),
        ("runc", "/x", 'exec: "/x": permission denied: unknown', NOT_EXECUTABLE, "permission denied"),
        ("lxc-start", "x", 'No such file or directory - Failed to exec "x"', NOT_FOUND, "in $PATH"),
        ("lxc-start", "/x", 'No such file or directory - Failed to exec "/x"', NOT_FOUND, "no such file or directory"),
        ("lxc-start", "/x", 'Exec format error - Failed to exec "/x"', NOT_EXECUTABLE, "exec format error"),
        ("youki", "/x", 'exec: "/x": permission denied', NOT_EXECUTABLE, "permission denied"),
    ],
)
def test_complaints(program: str, command: str, said: str, kind: str, words: str) -> None:
    found = _complaints.failure("it", f"/usr/bin/{program}", command, said)
    assert found.kind == kind
    assert found.message.startswith(f'exec: "{command}": ')
    assert found.message.endswith(words)


def test_what_is_not_understood_is_the_drivers_and_told_as_it_is() -> None:
    found = _complaints.failure("crun", "/usr/bin/crun", "x", "the moon is full")
    assert (found.kind, found.message) == (DRIVER, "crun: the moon is full")


def test_the_last_error_of_a_json_log() -> None:
    log = '{"level":"error","msg":"one"}\nnoise\n{"level":"error","msg":"two "}\n{"level":"warning","msg":"three"}\n'
    assert _complaints.last_of_json(log) == "two"
    assert _complaints.last_of_json("") == ""


LXC_LOG = """\
lxc-start c 1 INFO     start - ../src/lxc/start.c:lxc_init:881 - Container "c" is initialized
lxc-start c 1 ERROR    start - ../src/lxc/start.c:start:2197 - Permission denied - Failed to exec "/x"
lxc-start c 1 ERROR    sync - ../src/lxc/sync.c:sync_wait:34 - An error occurred in another process
"""
LXC_STARTED = 'lxc-start c 1 NOTICE   start - ../src/lxc/start.c:post_start:2205 - Started "/bin/sh" with pid "20"\n'


def test_lxcs_log() -> None:
    assert _complaints.first_of_lxc(LXC_LOG) == 'Permission denied - Failed to exec "/x"'
    assert _lxc.started(LXC_LOG) == 0
    assert _lxc.started(LXC_STARTED[:-1]) == 0
    assert _lxc.started(LXC_LOG + LXC_STARTED) == 20


@pytest.mark.parametrize(
    ("said", "status"),
    [("", (0, 0)), ("error (9)", (9, 0)), ("signal (15)", (143, 15)), ("signal Killed(9)", (137, 9)),
     ("signal Real-time signal 1 (odd)(35)", (163, 35))],
)  # fmt: skip
def test_the_end_in_lxcs_log(said: str, status: tuple[int, int]) -> None:
    line = f"lxc-start c 1 INFO     error - ../src/lxc/error.c:lxc_error_set_and_log:31 - Child <20> ended on {said}\n"
    assert _lxc.ended(LXC_STARTED + (line if said else "")) == status
