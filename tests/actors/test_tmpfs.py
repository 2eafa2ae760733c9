"""What a tmpfs may be asked to be, and where it stands among the volumes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme_actors import (
    InvalidConfig,
    Mount,
    Tmpfs,
    VolumeId,
    VolumesFrom,
    checked_tmpfs,
    mount_order,
    mount_table,
    parse_tmpfs,
    plan_mounts,
    tmpfs_options,
)

DESTINATIONS = st.sampled_from(["/a", "/a/b", "/a/b/c", "/d", "/d/e", "/f"])
MOUNTS = st.builds(Mount, st.just(VolumeId("v")), DESTINATIONS)
VOLUMES = st.lists(MOUNTS, max_size=5, unique_by=lambda mount: mount.destination).map(mount_order)
ALL = st.lists(st.builds(Tmpfs, DESTINATIONS, st.just(""), st.booleans()), max_size=5).map(tuple)


def flags(options: str) -> str:
    return ",".join(sorted(tmpfs_options(Tmpfs("/t", options)).flags))


def settings(options: str) -> dict[str, str]:
    return dict(tmpfs_options(Tmpfs("/t", options)).settings)


@pytest.mark.parametrize(
    ("text", "path", "options"),
    [
        ("/t", "/t", ""),
        ("/t:", "/t", ""),
        ("//t/./x/..:ro,size=1m", "/t", "ro,size=1m"),
        ("/t:mpol=bind:0", "/t", "mpol=bind:0"),
    ],
)
def test_a_path_and_its_options(text: str, path: str, options: str) -> None:
    assert parse_tmpfs(text) == Tmpfs(path, options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", "nodev,noexec,nosuid"),
        ("defaults,rw", "nodev,noexec,nosuid"),
        ("ro", "nodev,noexec,nosuid,ro"),
        ("ro,rw", "nodev,noexec,nosuid"),
        ("exec,suid,dev", ""),
        ("exec,noexec,suid,nosuid,dev,nodev", "nodev,noexec,nosuid"),
        ("noexec,exec", "nodev,nosuid"),
        ("noatime,nodiratime,sync,dirsync", "dirsync,noatime,nodev,nodiratime,noexec,nosuid,sync"),
        ("noatime,atime,nodiratime,diratime,sync,async", "nodev,noexec,nosuid"),
        ("noatime,strictatime", "nodev,noexec,nosuid,strictatime"),
        ("strictatime,nostrictatime,relatime,norelatime", "nodev,noexec,nosuid"),
        ("mand,nomand,private,rprivate,slave,rslave", "nodev,noexec,nosuid"),
        ("size=1m", "nodev,noexec,nosuid"),
    ],
)
def test_words_and_what_they_change(options: str, expected: str) -> None:
    assert flags(options) == expected


@pytest.mark.parametrize(
    "options",
    [
        "size=0", "size=64m", "size=64M", "size=0x100000", "size=50%", "size=9223372036854775807", "nr_inodes=1k",
        "nr_blocks=100", "uid=0", "gid=4294967294", "mpol=interleave", "mpol=prefer=static:1", "mpol=bind:0-3",
    ],
)  # fmt: skip
def test_settings_the_kernel_can_read_are_left_as_they_are(options: str) -> None:
    name, _, value = options.partition("=")
    assert settings(options) == {name: value}


def test_a_mode_is_what_the_kernel_makes_of_it() -> None:
    assert settings("mode=01777") == settings("mode=101777") == {"mode": "1777"}


def test_the_last_of_several_counts_and_stands_where_it_stood() -> None:
    """Of ``size`` and ``nr_blocks`` the kernel takes the later one."""
    assert list(settings("size=1m,nr_blocks=5,size=2m").items()) == [("nr_blocks", "5"), ("size", "2m")]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("foo", "option 'foo' for /t: known are ro, rw,"),
        ("foo=1", "option 'foo=1'"),
        ("ro=1", "option 'ro=1'"),
        ("size", "option 'size'"),
        ("RO", "option 'RO'"),
        ("ro, size=1m", "option ' size=1m'"),
        (",", "option ''"),
        ("ro,", "option ''"),
        ("bind", "option 'bind'"),
        ("remount", "option 'remount'"),
        ("shared", "option 'shared'"),
        ("tmpcopyup", "option 'tmpcopyup'"),
        ("huge=never", "option 'huge=never'"),
        ("a\nb\0", r"option 'a\nb\x00'"),
        ("size=", "size='"),
        ("size=m", "write a whole number"),
        ("size=1.5m", "write a whole number"),
        ("size=1mb", "a part of the memory"),
        ("size=-1", "write a whole number"),
        ("size=%", "write a whole number"),
        ("size=٣", "write a whole number"),
        ("size=٣%", "write a whole number"),
        ("size=9223372036854775808", "more than any machine has"),
        ("size=8192p", "more than any machine has"),
        ("size=0xffffffffffffffff", "more than any machine has"),
        ("nr_inodes=50%", "write a whole number"),
        ("nr_blocks=x", "write a whole number"),
        ("mode=9", "octal"),
        ("mode=", "octal"),
        ("mode=0x1", "octal"),
        ("uid=ann", "decimal"),
        ("uid=-1", "decimal"),
        ("uid=010", "decimal"),
        ("gid=4294967295", "decimal"),
        ("mpol=elsewhere", "a policy is"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(options: str, reason: str) -> None:
    with pytest.raises(InvalidConfig, match=re.escape(reason)) as caught:
        parse_tmpfs(f"/t:{options}")
    assert str(caught.value).startswith("invalid tmpfs option '")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "must be absolute"),
        ("rel", "must be absolute"),
        ("/", "the root itself cannot be a tmpfs"),
        ("/a/..", "the root itself cannot be a tmpfs"),
        ("/a\0", "NUL"),
        ("/dev", "what every container needs"),
        ("/proc", "what every container needs"),
        ("/proc/x/../sys", "what every container needs"),
        ("/sys/fs", "what every container needs"),
        ("/" + "n" * 256, "longer than 255"),
    ],
)
def test_a_path_that_cannot_be_is_refused(path: str, reason: str) -> None:
    with pytest.raises(InvalidConfig, match=f"invalid tmpfs path '.*{re.escape(reason)}"):
        checked_tmpfs(Tmpfs(path))


@given(st.text(max_size=30))
def test_any_text_is_a_tmpfs_or_one_clear_line(text: str) -> None:
    found, refusal = _value_or_refusal(text)
    if found is None:
        assert refusal.startswith("invalid tmpfs ")
        assert refusal.isprintable()
    else:
        assert checked_tmpfs(found) == found


def _value_or_refusal(text: str) -> tuple[Tmpfs | None, str]:
    try:
        return parse_tmpfs(text), ""
    except InvalidConfig as error:
        return None, str(error)


# Among the volumes


@given(VOLUMES, ALL)
def test_of_what_is_mounted_at_one_place_the_last_tmpfs_counts(
    mounts: tuple[Mount, ...], tmpfs: tuple[Tmpfs, ...]
) -> None:
    table = mount_table(mounts, tmpfs)
    places = [mount.destination for mount in table]
    volumes = {mount.destination: mount for mount in mounts}
    assert dict(zip(places, table, strict=True)) == volumes | {mount.destination: mount for mount in tmpfs}
    for number, place in enumerate(places):
        assert not any(place == later or place.startswith(f"{later}/") for later in places[number + 1 :])


def test_without_a_tmpfs_the_table_is_the_volumes() -> None:
    mounts = (Mount(VolumeId("v"), "/a"),)
    assert mount_table(mounts, ()) is mounts


@given(st.lists(DESTINATIONS, max_size=4), st.lists(MOUNTS, max_size=4), st.sets(DESTINATIONS, max_size=3))
def test_no_volume_is_made_or_held_where_a_tmpfs_is(own: list[str], theirs: list[Mount], covered: set[str]) -> None:
    plan = plan_mounts(own, [(VolumesFrom("x"), theirs)], covered)
    found = {mount.destination for mount in plan.mounts([VolumeId("new")] * len(plan.fresh))}
    assert found == ({*own} | {mount.destination for mount in theirs}) - covered
