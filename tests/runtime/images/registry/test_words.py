"""The pure parts: which way to a registry, which platform, how long to wait, what a refusal means."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Sequence

import msgspec
import pytest

from bireme.images.platforms import Platform
from bireme.images.references import parse
from bireme.images.registry import Registries
from bireme.images.registry.auth import Challenge
from bireme.images.registry.documents import (
    DOCKER_GZIP,
    OCI_GZIP,
    Descriptor,
    choose,
    write_manifest,
)
from bireme.images.registry.faults import pull_refusal, read_refusal
from bireme.images.registry.inquiries import registry_domain
from bireme.images.registry.patience import Patience, retry_after
from bireme.images.registry.places import endpoints, is_insecure
from bireme_actors import ImageNotFound, InvalidConfig

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("docker.io", ["https://registry-1.docker.io"]),
        ("example.com", ["https://example.com"]),
        ("example.com:5000", ["https://example.com:5000"]),
        ("127.0.0.1", ["https://127.0.0.1", "http://127.0.0.1"]),
        ("127.1.2.3:5000", ["https://127.1.2.3:5000", "http://127.1.2.3:5000"]),
        ("localhost:5000", ["https://localhost:5000", "http://localhost:5000"]),
        ("[::1]:5000", ["https://[::1]:5000", "http://[::1]:5000"]),
        ("128.0.0.1", ["https://128.0.0.1"]),
        ("localhost.example.com", ["https://localhost.example.com"]),
        ("127.0.0.1.example.com", ["https://127.0.0.1.example.com"]),
    ],
)
def test_the_ways_to_a_registry(domain: str, expected: list[str]) -> None:
    found = endpoints(domain, Registries())
    assert [endpoint.url for endpoint in found] == expected
    assert [endpoint.verify for endpoint in found] == [len(found) == 1] * len(found)


@pytest.mark.parametrize(
    ("host", "configured", "insecure"),
    [
        ("reg.lan", ["reg.lan"], True),
        ("reg.lan:5000", ["reg.lan:5000"], True),
        ("reg.lan:5000", ["reg.lan"], True),
        ("reg.lan", ["reg.lan:5000"], False),
        ("10.1.2.3:80", ["10.0.0.0/8"], True),
        ("11.1.2.3:80", ["10.0.0.0/8", "nonsense/8"], False),
        ("[fd00::1]:80", ["fd00::/8"], True),
        ("other.lan", ["reg.lan"], False),
    ],
)
def test_what_is_configured_as_insecure(host: str, configured: Sequence[str], insecure: bool) -> None:
    assert is_insecure(host, configured) is insecure


@pytest.mark.parametrize("text", ["http://reg.lan", "", " ", " reg.lan"])
def test_what_cannot_be_configured(text: str) -> None:
    with pytest.raises(InvalidConfig, match="invalid insecure registry"):
        Registries((text,))


def test_what_is_configured_is_told_as_by_docker() -> None:
    told = Registries(("reg.lan:5000", "10.0.0.0/8")).document()
    assert told["InsecureRegistryCIDRs"] == ["::1/128", "127.0.0.0/8", "10.0.0.0/8"]
    assert told["IndexConfigs"] == {
        "docker.io": {"Name": "docker.io", "Mirrors": [], "Secure": True, "Official": True},
        "reg.lan:5000": {"Name": "reg.lan:5000", "Mirrors": [], "Secure": False, "Official": False},
    }


@pytest.mark.parametrize(
    ("server", "domain"),
    [
        ("", "docker.io"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("docker.io", "docker.io"),
        ("127.0.0.1:5000", "127.0.0.1:5000"),
        ("https://example.com/v2/", "example.com"),
        ("myregistry", "myregistry"),
    ],
)
def test_servers_to_log_in_to(server: str, domain: str) -> None:
    assert registry_domain(server) == domain


def entry(architecture: str, variant: str = "", *, system: str = "linux", size: int = 0) -> Descriptor:
    platform = {"architecture": architecture, "os": system, "variant": variant}
    return msgspec.convert({"digest": DIGEST, "size": size, "platform": platform}, Descriptor)


@pytest.mark.parametrize(
    ("entries", "wanted", "expected"),
    [
        ([entry("arm64"), entry("amd64")], Platform("linux", "amd64"), 1),
        ([entry("amd64", system="windows"), entry("amd64")], Platform("linux", "amd64"), 1),
        ([entry("amd64", "v3"), entry("amd64")], Platform("linux", "amd64"), 1),
        ([entry("amd64", "v3")], Platform("linux", "amd64"), 0),
        ([entry("arm64")], Platform("linux", "arm64", "v8"), 0),
        ([entry("arm64", "v8")], Platform("linux", "arm64"), 0),
        ([entry("arm", "v5"), entry("arm", "v6"), entry("arm", "v7")], Platform("linux", "arm", "v7"), 2),
        ([entry("arm", "v5"), entry("arm", "v6")], Platform("linux", "arm", "v7"), 1),
        ([entry("amd64"), entry("amd64")], Platform("linux", "amd64"), 0),
    ],
)
def test_the_best_of_several(entries: list[Descriptor], wanted: Platform, expected: int) -> None:
    assert choose(entries, wanted) is entries[expected]


@pytest.mark.parametrize(
    ("entries", "wanted"),
    [
        ([], Platform("linux", "amd64")),
        ([entry("arm", "v7")], Platform("linux", "arm", "v6")),
        ([entry("unknown", system="unknown")], Platform("linux", "amd64")),
        ([Descriptor(digest=DIGEST, size=1)], Platform("linux", "amd64")),
    ],
)
def test_none_that_fits(entries: list[Descriptor], wanted: Platform) -> None:
    with pytest.raises(ImageNotFound, match=f"no matching manifest for {wanted} in the manifest list entries"):
        choose(entries, wanted)


def test_a_manifest_is_of_docker_s_kind_where_that_can_say_all() -> None:
    config = Descriptor(digest=DIGEST, size=1)
    docker = Descriptor(digest=DIGEST, size=2, media_type=OCI_GZIP)
    assert f'"mediaType": "{DOCKER_GZIP}"'.encode() in write_manifest(config, [docker])[1]
    zstd = Descriptor(digest=DIGEST, size=2, media_type="application/vnd.oci.image.layer.v1.tar+zstd")
    kind, data = write_manifest(config, [docker, zstd])
    assert kind == "application/vnd.oci.image.manifest.v1+json"
    assert f'"mediaType": "{OCI_GZIP}"'.encode() in data


def test_waits_grow_and_end() -> None:
    patience = Patience(attempts=4, first=1, most=3, longest=10)
    assert [patience.delay(failures) for failures in (1, 2, 3, 4)] == [1, 2, 3, None]
    assert patience.delay(1, 9) == 9
    assert patience.delay(1, 11) is None


def test_what_a_registry_asks_to_be_waited() -> None:
    assert retry_after("7") == 7
    assert retry_after(None) == retry_after("soon") == retry_after("-1") == retry_after("Wed, 99") == 0
    later = email.utils.formatdate(time.time() + 100, usegmt=True)
    assert 90 < retry_after(later) <= 100
    assert retry_after("9" * 40) == 999999999


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (404, b'{"errors":[{"code":"BLOB_UNKNOWN","message":"m"}]}', ("BLOB_UNKNOWN", "blob unknown: m")),
        (403, b'{"errors":[{"code":"DENIED"}]}', ("DENIED", "denied")),
        (401, b"", ("", "unauthorized: authentication required")),
        (401, b'{"details":"incorrect username"}', ("", "Unauthorized: incorrect username")),
        (500, b"<html>", ("", "received unexpected HTTP status: 500 Internal Server Error")),
        (799, b"[" * 50_000, ("", "received unexpected HTTP status: 799 unknown")),
        (400, b'{"errors":[{"code":7,"message":"a\\u001b[31m\\nb"}]}', ("7", "7: a [31m b")),
    ],
)
def test_refusals(status: int, body: bytes, expected: tuple[str, str]) -> None:
    assert read_refusal(status, body) == expected


def test_refused_pulls_in_docker_s_words() -> None:
    name = parse("box:1")
    unknown = pull_refusal(name, 404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')
    assert str(unknown) == "manifest for box:1 not found: manifest unknown: manifest unknown"
    assert str(pull_refusal(name, 404, b"")) == str(unknown)
    denied = "pull access denied for box, repository does not exist or may require 'docker login': denied: "
    challenge = Challenge("bearer", {"error": "insufficient_scope"})
    assert str(pull_refusal(name, 401, b"", [challenge])) == f"{denied}requested access to the resource is denied"
    told = Challenge("bearer", {"error": "insufficient_scope", "error_description": "not you"})
    assert str(pull_refusal(name, 401, b"", [told])) == f"{denied}not you"
