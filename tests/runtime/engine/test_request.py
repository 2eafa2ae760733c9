from __future__ import annotations

from typing import Any, cast

import pytest

from bireme.engine import CreateOptions, parse_network, parse_restart
from bireme.engine._request import build_config
from bireme.images import Image, ImageConfig
from bireme_actors import (
    ContainerConfig,
    ContainerId,
    InvalidConfig,
    Limits,
    RestartPolicy,
    Security,
    Tmpfs,
    VolumesFrom,
)

IDENTIFIER = ContainerId("ab" * 32)


def image(
    *,
    env: tuple[str, ...] = ("PATH=/bin", "A=image"),
    cmd: tuple[str, ...] | None = ("sh",),
    entrypoint: tuple[str, ...] | None = None,
    volumes: tuple[str, ...] = (),
) -> Image:
    config = ImageConfig(
        env=env,
        cmd=cmd,
        entrypoint=entrypoint,
        user="ann",
        working_dir="/srv",
        volumes=volumes,
        labels={"from": "image", "both": "image"},
        exposed_ports=(),
        stop_signal="SIGINT",
    )
    return Image(id="sha256:" + "0" * 64, config=config, layers=("l",), diff_ids=("sha256:" + "1" * 64,))


def build(command: list[str] | str | None = None, base: Image | None = None, **options: Any) -> ContainerConfig:
    return build_config(
        IDENTIFIER, "name", base or image(), "busybox", command, cast(CreateOptions, options), "native"
    )


def test_the_image_fills_in_what_is_not_said() -> None:
    config = build()
    assert config.args == ("sh",)
    assert (config.user, config.working_dir, config.stop_signal) == ("ann", "/srv", 2)
    assert config.hostname == IDENTIFIER[:12]
    assert config.network == "none"


def test_what_is_said_wins_over_the_image() -> None:
    config = build(
        ["id"],
        user="0",
        workdir="/",
        env={"A": "own", "B": "new"},
        labels={"both": "own"},
        stop_signal="KILL",
        hostname="box",
    )
    assert config.args == ("id",)
    assert config.env == ("PATH=/bin", "A=own", "B=new")
    assert config.labels == {"from": "image", "both": "own"}
    assert (config.user, config.working_dir, config.stop_signal, config.hostname) == ("0", "/", 9, "box")


def test_a_bare_variable_takes_the_images_place_for_the_driver_to_take_it_away() -> None:
    assert build(env=["A", "C=1"]).env == ("PATH=/bin", "A", "C=1")


FIELDS: dict[str, tuple[str, Any, Any]] = {
    "tty": ("tty", False, True),
    "stdin_open": ("open_stdin", False, True),
    "stdin_once": ("stdin_once", False, True),
    "read_only": ("read_only", False, True),
    "init": ("init", False, True),
    "auto_remove": ("auto_remove", False, True),
    "stop_timeout": ("stop_timeout", None, 3),
    "network": ("network", "none", "host"),
    "pid_mode": ("pid_mode", "", "host"),
    "uts_mode": ("uts_mode", "", "host"),
    "restart": ("restart", RestartPolicy(), RestartPolicy(name="always")),
    "security": ("security", Security(), Security(privileged=True)),
    "limits": ("limits", Limits(), Limits(pids=7)),
    "tmpfs": ("tmpfs", (), (Tmpfs("/t"),)),
    "volumes_from": ("volumes_from", (), (VolumesFrom("a"),)),
}


@pytest.mark.parametrize("option", FIELDS)
def test_what_is_not_said_is_as_if_the_usual_had_been_said(option: str) -> None:
    field, usual, other = FIELDS[option]
    assert getattr(build(), field) == getattr(build(**{option: usual}), field) == usual
    assert getattr(build(**{option: other}), field) == other


def test_of_several_faults_always_the_same_is_told_first() -> None:
    faults: dict[str, Any] = {"limits": Limits(memory=-1), "network": "web", "stop_timeout": -2, "tmpfs": ["t"]}
    for option, complaint in zip(reversed(faults.copy()), ("tmpfs", "timeout", "network", "Memory"), strict=True):
        with pytest.raises(InvalidConfig, match=complaint):
            build(**faults)
        del faults[option]


def test_one_text_is_one_word() -> None:
    assert build("ls -l").args == ("ls -l",)


def test_an_entrypoint_of_ones_own_drops_the_images_command() -> None:
    base = image(entrypoint=("/entry",), cmd=("serve",))
    assert build(base=base).args == ("/entry", "serve")
    assert build(["x"], base).args == ("/entry", "x")
    assert build(base=base, entrypoint=["/own"]).args == ("/own",)
    assert build(["x"], base, entrypoint="").args == ("x",)
    assert build(["x"], base, entrypoint=[""]).args == ("x",)


def test_image_volumes_stand_beside_own_ones_clean_and_once() -> None:
    config = build(base=image(volumes=("/vol", "/data/")), volumes=["//data/./x/..", "/own"])
    assert config.volumes == ("/data", "/own", "/vol")


def test_what_is_in_memory_is_told_by_path_as_texts_or_whole() -> None:
    assert build(tmpfs={"//t/./": "size=1m,ro", "/u:v": ""}).tmpfs == (Tmpfs("/t", "size=1m,ro"), Tmpfs("/u:v"))
    assert build(tmpfs=["/t:size=1m,ro", "/u"]).tmpfs == (Tmpfs("/t", "size=1m,ro"), Tmpfs("/u"))
    assert build().tmpfs == ()


def test_what_is_asked_for_as_a_mount_lies_above() -> None:
    config = build(tmpfs=[Tmpfs("/a", "ro", listed=True), Tmpfs("/a/"), "/b"], base=image(volumes=("/a", "/c")))
    assert config.tmpfs == (Tmpfs("/a"), Tmpfs("/b"), Tmpfs("/a", "ro", listed=True))
    assert config.volumes == ("/a", "/c"), "as asked for"


def test_sources_are_handles_names_or_references() -> None:
    class Handle:
        id = "f" * 64

    config = build(volumes_from=["db:ro", VolumesFrom("web"), Handle()])
    assert config.volumes_from == (VolumesFrom("db", True), VolumesFrom("web"), VolumesFrom("f" * 64))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"volumes": "/data"}, "give a list"),
        ({"volumes": ["data"]}, "absolute"),
        ({"volumes": ["name:/data"]}, "no names"),
        ({"volumes": [5]}, "as text"),
        ({"tmpfs": "/t"}, "invalid tmpfs: '/t' is one text; give a list"),
        ({"tmpfs": ["t"]}, "invalid tmpfs path 't': it must be absolute"),
        ({"tmpfs": {"/": ""}}, "the root itself cannot be a tmpfs"),
        ({"tmpfs": {"/t": "huge=always"}}, "invalid tmpfs option 'huge=always' for /t: known are ro, rw,"),
        ({"tmpfs": {"/t": None}}, "give an absolute path and its options, as texts"),
        ({"tmpfs": [5]}, "give an absolute path and its options, as texts"),
        ({"tmpfs": {"/t": "", "/t/": "ro"}}, "Duplicate mount point: /t"),
        ({"tmpfs": [Tmpfs("/t", listed=True), Tmpfs("/t", listed=True)]}, "Duplicate mount point: /t"),
        ({"volumes_from": ["db:rx"]}, "ro or rw"),
        ({"volumes_from": [7]}, "name a container"),
        ({"env": ["=x"]}, "NAME=value"),
        ({"env": {"A": "\0"}}, "NAME=value"),
        ({"workdir": "srv"}, "absolute path"),
        ({"hostname": "a b"}, "invalid hostname"),
        ({"hostname": "x" * 65}, "invalid hostname"),
        ({"network": "mine"}, "network mine not found"),
        ({"pid_mode": "container:x"}, "cannot share another one's processes"),
        ({"pid_mode": "HOST"}, "invalid PID mode 'HOST'"),
        ({"uts_mode": "container:x"}, "invalid UTS mode 'container:x'"),
        ({"uts_mode": "host", "hostname": "box"}, "conflicting options: hostname and the UTS mode"),
        ({"uts_mode": "host", "domainname": "box"}, "conflicting options: domainname and the UTS mode"),
        ({"restart": "sometimes"}, "invalid restart policy"),
        ({"restart": "always", "auto_remove": True}, "AutoRemove"),
        ({"stop_signal": "NOPE"}, "Invalid signal"),
        ({"stop_timeout": -2}, "invalid stop timeout"),
        ({"entrypoint": ["a\0b"]}, "NUL"),
        ({"labels": {"": "x"}}, "invalid label"),
    ],
)
def test_what_can_never_work_is_refused_with_its_name(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidConfig, match=complaint):
        build(["true"], **options)


def test_no_command_at_all_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="no command specified"):
        build(base=image(cmd=None))
    with pytest.raises(InvalidConfig, match="first word is empty"):
        build([""])


def test_an_option_that_does_not_exist_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="volume_from"):
        build(["true"], volume_from=["x"])


def test_restart_policies_are_read_from_text() -> None:
    assert parse_restart("on-failure:3") == RestartPolicy(name="on-failure", maximum_retries=3)
    assert parse_restart("") == RestartPolicy()
    for text in ("always:3", "on-failure:x", "on-failure:-1"):
        with pytest.raises(InvalidConfig):
            parse_restart(text)


def test_the_hosts_pids_are_shared_if_asked_for() -> None:
    assert [build(pid_mode=mode).pid_mode for mode in ("", "private", "host")] == ["", "", "host"]


def test_the_hosts_name_is_shared_if_asked_for() -> None:
    assert [build(uts_mode=mode).uts_mode for mode in ("", "private", "host")] == ["", "", "host"]
    config = build(uts_mode="host")
    assert config.hostname == IDENTIFIER[:12], "what Docker puts into HOSTNAME and /etc/hostname"


def test_dockers_default_networks_mean_none() -> None:
    assert [parse_network(name) for name in ("", "default", "bridge", "none", "host")] == ["none"] * 4 + ["host"]
