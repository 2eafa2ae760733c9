"""Platforms: as people write them, and which image does for which."""

from __future__ import annotations

import pytest

from bireme.images import Image, ImageConfig
from bireme.images.platforms import (
    Platform,
    check_platform,
    foreign_warning,
    host,
    mismatch,
    parse_platform,
    platform_of,
)
from bireme_actors import ImageNotFound, InvalidConfig


def image(architecture: str, variant: str = "") -> Image:
    return Image(id="i", config=ImageConfig(), layers=(), diff_ids=(), architecture=architecture, variant=variant)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("linux/amd64", Platform("linux", "amd64")),
        ("linux/arm64/v8", Platform("linux", "arm64", "v8")),
        ("arm64", Platform("linux", "arm64")),
        ("LINUX/x86_64", Platform("linux", "amd64")),
        ("linux", Platform("linux", host().architecture)),
        ("windows", Platform("windows", host().architecture)),
        ("windows/amd64", Platform("windows", "amd64")),
        ("linux/arm/7", Platform("linux", "arm", "v7")),
        ("armhf", Platform("linux", "arm", "v7")),
        ("linux/nosuch", Platform("linux", "nosuch")),
    ],
)
def test_how_they_are_written(text: str, expected: Platform | None) -> None:
    assert parse_platform(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("linux/", '"" is an invalid component of "linux/"'),
        ("lin ux", '"lin ux" is an invalid component'),
        ("linux/../x", '".." is an invalid component'),
        ("linux/amd64/v1/x", "cannot parse platform specifier"),
        ("nosuch", "unknown operating system or architecture"),
    ],
)
def test_what_is_none(text: str, reason: str) -> None:
    with pytest.raises(InvalidConfig, match=reason):
        parse_platform(text)


@pytest.mark.parametrize(
    ("given", "wanted", "fits"),
    [
        (image("amd64"), "linux/amd64", True),
        (image("amd64"), "linux/amd64/v2", True),
        (image("amd64", "v3"), "linux/amd64", True),
        (image("amd64", "v3"), "linux/amd64/v2", False),
        (image("arm64"), "linux/arm64/v8", True),
        (image("arm", "v6"), "linux/arm/v7", True),
        (image("arm", "v7"), "linux/arm/v6", False),
        (image("amd64"), "linux/arm64", False),
        (image("amd64"), "linux/386", False),
        (image("amd64"), "windows/amd64", False),
        (image(""), "linux/arm64", True),
    ],
)
def test_what_does_for_what(given: Image, wanted: str, fits: bool) -> None:
    platform = parse_platform(wanted)
    assert platform is not None
    assert (mismatch("box", given, platform) == "") is fits


def test_what_does_not_do_is_not_found_and_told_in_dockers_words() -> None:
    check_platform("box:1", image("amd64"), None)
    with pytest.raises(ImageNotFound) as caught:
        check_platform("box:1", image("amd64"), parse_platform("linux/arm64/v8"))
    assert str(caught.value) == (
        "image with reference box:1 was found but does not match the specified platform: "
        "wanted linux/arm64/v8, actual: linux/amd64"
    )


def test_an_image_of_other_machines_is_warned_of() -> None:
    assert foreign_warning(image(*_here())) == foreign_warning(image("")) == ""
    assert platform_of(image("")) is None
    warning = foreign_warning(image("s390x"))
    assert warning.startswith("The requested image's platform (linux/s390x) does not match the detected host platform")


def _here() -> tuple[str, str]:
    return host().architecture, host().variant
