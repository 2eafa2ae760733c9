"""Configuration documents, and the times in them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.images._config import MOST_LAYERS, build_config, chain_ids, host_platform, read_config
from bireme.images._times import format_time, parse_time
from bireme.images.model import ImageConfig
from bireme_actors import InvalidConfig
from tests.runtime.images.archives import sha256

LAYER = "sha256:" + "ab" * 32
DOCKER = {
    "architecture": "arm64",
    "variant": "v8",
    "author": "someone",
    "comment": "said",
    "config": {
        "Hostname": "",
        "Env": ["PATH=/bin", "A=b"],
        "Cmd": ["sh"],
        "Entrypoint": None,
        "User": "nobody",
        "WorkingDir": "/w",
        "Volumes": {"/b": {}, "/a": {}},
        "Labels": {"k": "v"},
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
        "StopSignal": "SIGINT",
        "Healthcheck": {"Test": ["NONE"]},
        "Shell": ["/bin/ash", "-c"],
        "OnBuild": None,
    },
    "created": "2024-01-02T03:04:05.000000006Z",
    "history": [
        {"created": "2024-01-02T03:04:05Z", "created_by": "ADD x", "author": "someone"},
        {"created": "2024-01-02T03:04:05Z", "created_by": "ENV y", "empty_layer": True, "comment": "buildkit"},
    ],
    "os": "linux",
    "rootfs": {"type": "layers", "diff_ids": [LAYER]},
    "moby.buildkit.buildinfo.v1": "e30=",
}


def test_docker_s_document_is_read() -> None:
    raw = json.dumps(DOCKER).encode()
    image = read_config(raw)
    config = image.config
    assert image.id == sha256(raw)
    assert (image.architecture, image.variant, image.os) == ("arm64", "v8", "linux")
    assert (image.author, image.comment, image.diff_ids) == ("someone", "said", (LAYER,))
    assert image.created == 1_704_164_645_000_000_006
    assert (config.env, config.cmd, config.entrypoint) == (("PATH=/bin", "A=b"), ("sh",), None)
    assert (config.user, config.working_dir, config.volumes) == ("nobody", "/w", ("/a", "/b"))
    assert (dict(config.labels), config.exposed_ports) == ({"k": "v"}, ("53/udp", "80/tcp"))
    assert config.stop_signal == "SIGINT"
    assert dict(config.extra) == {"Hostname": "", "Healthcheck": {"Test": ["NONE"]}, "Shell": ["/bin/ash", "-c"]}
    assert [(step.created_by, step.empty_layer) for step in image.history] == [("ADD x", False), ("ENV y", True)]
    assert image.document == DOCKER


def test_what_old_and_lean_documents_leave_out() -> None:
    image = read_config(b'{"rootfs":{"type":"layers"},"config":{"Cmd":"sh","Env":null},"created":null,"history":null}')
    assert (image.diff_ids, image.config.cmd, image.config.env, image.created, image.history) == (
        (),
        ("sh",),
        (),
        0,
        (),
    )
    assert read_config(b'{"rootfs":{"type":"layers","diff_ids":[]},"config":null}').config == ImageConfig()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"", "invalid"),
        (b"[]", "invalid"),
        (b"{}", "rootfs"),
        (b'{"rootfs":{"type":"layers","diff_ids":["sha256:ab"]}}', "not a layer's digest"),
        (b'{"rootfs":{"type":"layers","diff_ids":["../../../etc/passwd"]}}', "not a layer's digest"),
        (b'{"rootfs":{"type":"tree"}}', "unknown rootfs type"),
        (b'{"rootfs":{"type":"layers"},"os":"windows"}', 'operating system "windows"'),
        (b'{"rootfs":{"type":"layers"},"config":{"Env":"A=b"}}', "Env"),
        (b'{"rootfs":{"type":"layers"},"config":{"Cmd":[1]}}', "Cmd"),
        (b'{"rootfs":{"type":"layers"},"x":' + b"[" * 100_000, "invalid"),
        (json.dumps({"rootfs": {"type": "layers", "diff_ids": [LAYER] * (MOST_LAYERS + 1)}}).encode(), "max depth"),
    ],
)
def test_what_is_no_configuration_is_refused(document: bytes, message: str) -> None:
    with pytest.raises(InvalidConfig, match=message) as caught:
        read_config(document)
    assert "\n" not in str(caught.value)


def test_what_is_built_is_read_back_and_always_the_same() -> None:
    config = ImageConfig(
        env=("A=b",), cmd=("sh",), entrypoint=("e",), user="u", working_dir="/w", volumes=("/a", "/b"),
        labels={"k": "ü"}, exposed_ports=("1/tcp",), stop_signal="SIGHUP", extra={"Shell": ["x"]},
    )  # fmt: skip
    raw = build_config(config, diff_ids=[LAYER], created=1_704_164_645_000_000_006, comment="Imported from -")
    assert raw == build_config(config, diff_ids=[LAYER], created=1_704_164_645_000_000_006, comment="Imported from -")
    image = read_config(raw)
    assert image.config == config
    assert (image.architecture, image.variant) == host_platform()
    assert (image.created, image.comment, image.diff_ids) == (1_704_164_645_000_000_006, "Imported from -", (LAYER,))
    assert [step.comment for step in image.history] == ["Imported from -"]


def test_chain_ids_are_the_specification_s() -> None:
    one, two = sha256(b"1"), sha256(b"2")
    assert chain_ids([]) == []
    assert chain_ids([one, two]) == [one, sha256(f"{one} {two}".encode())]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1970-01-01T00:00:01Z", 10**9),
        ("2024-01-02T03:04:05.5+01:00", 1_704_161_045_500_000_000),
        ("2024-01-02T03:04:05.123456789-01:30", 1_704_170_045_123_456_789),
        ("0001-01-01T00:00:00Z", 0),
        ("2024-13-02T03:04:05Z", 0),
        ("yesterday", 0),
        ("", 0),
    ],
)
def test_times_are_read(text: str, moment: int) -> None:
    assert parse_time(text) == moment


@given(st.integers(0, 4_000_000_000 * 10**9))
def test_times_are_written_as_they_are_read(moment: int) -> None:
    assert parse_time(format_time(moment)) == moment
