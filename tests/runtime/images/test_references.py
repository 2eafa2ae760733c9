"""The grammar of names; the examples are those of the distribution project's own tests and of Docker's messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.images.references import full_id, is_prefix, no_such_image, parse
from bireme_actors import InvalidConfig

HEX = "7cc4b5aefd1d0cadf8d97d4350462ba51c694ebca145b08d7d41b41acc8db5aa"


@pytest.mark.parametrize(
    ("text", "whole", "familiar"),
    [
        ("busybox", "docker.io/library/busybox", "busybox"),
        ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
        ("library/busybox", "docker.io/library/busybox", "busybox"),
        ("docker.io/busybox", "docker.io/library/busybox", "busybox"),
        ("index.docker.io/library/busybox:a", "docker.io/library/busybox:a", "busybox:a"),
        ("user/app", "docker.io/user/app", "user/app"),
        ("docker.io/user/app", "docker.io/user/app", "user/app"),
        ("library/user/app", "docker.io/library/user/app", "library/user/app"),
        ("localhost/app", "localhost/app", "localhost/app"),
        ("localhost:5000/app:1", "localhost:5000/app:1", "localhost:5000/app:1"),
        ("registry.example.com/a/b/c:v1.0", "registry.example.com/a/b/c:v1.0", "registry.example.com/a/b/c:v1.0"),
        ("[2001:db8::1]:5000/app", "[2001:db8::1]:5000/app", "[2001:db8::1]:5000/app"),
        ("Upper/app", "Upper/app", "Upper/app"),
        (f"busybox@sha256:{HEX}", f"docker.io/library/busybox@sha256:{HEX}", f"busybox@sha256:{HEX}"),
        (f"a/b:t@sha256:{HEX}", f"docker.io/a/b:t@sha256:{HEX}", f"a/b:t@sha256:{HEX}"),
        ("a__b/c.d-e--f", "docker.io/a__b/c.d-e--f", "a__b/c.d-e--f"),
        (HEX[:-1], f"docker.io/library/{HEX[:-1]}", HEX[:-1]),
    ],
)
def test_names_are_normalised_and_shown_as_docker_does(text: str, whole: str, familiar: str) -> None:
    reference = parse(text)
    assert (str(reference), reference.familiar) == (whole, familiar)


@pytest.mark.parametrize(
    "text",
    [
        "", ":", ":tag", "a:", "a:b:c", "-a", "a-", "a..b", "a___b", "a//b", "/a", "a/", "a@", "a b", "a\n", "a:tag\n",
        "docker.io/", "a@sha256:abc", "a:" + "x" * 129, "a:-x", "über", "a\0", ".a/b", "x" * 300 + "/", "[::1/a", "a:ü",
    ],
)  # fmt: skip
def test_what_is_no_name_is_refused_in_docker_s_words(text: str) -> None:
    with pytest.raises(InvalidConfig, match=r"^invalid reference format"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Foo", "invalid reference format: repository name (library/Foo) must be lowercase"),
        ("a/Foo:Tag", "invalid reference format: repository name (a/Foo) must be lowercase"),
        (HEX, f"invalid repository name ({HEX}), cannot specify 64-byte hexadecimal strings"),
        ("a" * 256, "invalid reference format: repository name must not be more than 255 characters"),
        (f"a@sha512:{HEX}", "invalid reference format: unsupported digest algorithm sha512"),
        (f"a@sha256:{HEX[:40]}", "invalid reference format: invalid checksum digest format"),
        (f"a@sha256:{HEX.upper()}", "invalid reference format: invalid checksum digest format"),
    ],
)
def test_a_refusal_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        parse(text)
    assert str(caught.value) == message


def test_the_key_has_latest_and_prefers_the_digest() -> None:
    assert parse("a").key == "docker.io/library/a:latest"
    assert parse("a:b").key == "docker.io/library/a:b"
    assert parse(f"a:b@sha256:{HEX}").key == f"docker.io/library/a@sha256:{HEX}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nosuch", "No such image: nosuch:latest"),
        ("docker.io/library/nosuch:1", "No such image: nosuch:1"),
        ("r.example/a", "No such image: r.example/a:latest"),
        (f"sha256:{HEX}", f"No such image: sha256:{HEX}"),
        (HEX, f"No such image: {HEX}"),
    ],
)
def test_a_missing_image_is_told_in_docker_s_words(text: str, message: str) -> None:
    assert no_such_image(text) == message


def test_whole_ids_and_beginnings_of_ids() -> None:
    image = f"sha256:{HEX}"
    assert full_id(HEX) == full_id(image) == image
    assert full_id(HEX[:12]) is None
    assert all(is_prefix(text, image) for text in (HEX, image, HEX[:1], HEX[:12], f"sha256:{HEX[:5]}"))
    assert not any(is_prefix(text, image) for text in ("", "sha256:", "sha256", HEX[1:9], HEX + "0", HEX[:12] + "\n"))


_component = st.from_regex(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)?", fullmatch=True).filter(lambda text: len(text) < 40)
_tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)


@given(path=st.lists(_component, min_size=1, max_size=4), tag=st.none() | _tags, host=st.none() | st.just("r.io:5000"))
def test_every_way_to_write_a_name_means_the_same(path: list[str], tag: str | None, host: str | None) -> None:
    text = "/".join([host, *path] if host else path) + (f":{tag}" if tag else "")
    if len(text) == 64:
        return
    reference = parse(text)
    assert parse(str(reference)) == reference
    assert parse(reference.familiar) == reference
    assert parse(reference.key).key == reference.key


@given(st.text(max_size=80) | st.from_regex(r"[a-zA-Z0-9_./:@\[\]-]{0,60}", fullmatch=True))
def test_any_text_is_read_or_refused_and_what_is_read_stays_the_same(text: str) -> None:
    try:
        reference = parse(text)
    except InvalidConfig:
        return
    assert parse(str(reference)) == reference
