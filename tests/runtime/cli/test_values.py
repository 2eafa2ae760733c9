"""Values as people type them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bireme._keys import DEFAULT_KEYS, KeyWatch
from bireme.cli import _values
from bireme.cli._common_flags import parse_filters
from bireme.cli._detach import parse_keys
from bireme.cli._errors import CliError
from bireme.cli._volumes import check_tmpfs, check_volume, check_volumes_from, parse_mount


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("512m", 512 << 20), ("1g", 1 << 30), ("2KB", 2048), ("1.5k", 1536), ("3MiB", 3 << 20)]
)
def test_sizes(text: str, size: int) -> None:
    assert _values.parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "m", "1x", "1mm", "one"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="invalid size"):
        _values.parse_bytes(text)


def test_processors() -> None:
    assert _values.parse_cpus("1.5") == 1_500_000_000
    with pytest.raises(ValueError, match="too precise"):
        _values.parse_cpus("0.0000000001")
    with pytest.raises(ValueError, match="not a number"):
        _values.parse_cpus("two")


@pytest.mark.parametrize(
    ("text", "seconds"), [("10s", 10), ("1h30m", 5400), ("250ms", 0.25), ("-2m", -120), ("1.5h", 5400)]
)
def test_durations(text: str, seconds: float) -> None:
    assert _values.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "s", "10x", "1h3"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        _values.parse_duration(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1795528334", "1795528334"),
        ("1795528334.5", "1795528334.500000000"),
        ("1795528334.1234567891", "1795528334.123456789"),
        ("10s", "90.000000000"),
        ("2026-11-24T13:52:14Z", "1795528334.000000000"),
        ("2026-11-24T13:52:14.25+00:00", "1795528334.250000000"),
        ("2026-11-24T14:52:14+01:00", "1795528334.000000000"),
    ],
)
def test_moments(text: str, moment: str) -> None:
    assert _values.parse_time(text, 100.0) == moment


def test_a_moment_that_is_none() -> None:
    with pytest.raises(ValueError, match='failed to parse value as time or duration: "soon"'):
        _values.parse_time("soon", 0.0)


def test_limits_of_a_process() -> None:
    assert _values.parse_ulimit("nofile=1024:2048") == {"Name": "nofile", "Soft": 1024, "Hard": 2048}
    assert _values.parse_ulimit("core=0") == {"Name": "core", "Soft": 0, "Hard": 0}
    assert _values.parse_ulimit("core=5:-1")["Hard"] == -1
    with pytest.raises(ValueError, match="soft limit must be less than or equal to hard limit: 3 > 2"):
        _values.parse_ulimit("nofile=3:2")
    for text in ("nofile", "=1", "nofile=", "nofile=a"):
        with pytest.raises(ValueError, match="invalid ulimit argument"):
            _values.parse_ulimit(text)


def test_restart_policies() -> None:
    assert _values.parse_restart("") == {"Name": "no"}
    assert _values.parse_restart("on-failure:3") == {"Name": "on-failure", "MaximumRetryCount": 3}
    for text, reason in (
        ("foo", "unknown policy"),
        ("always:3", "only be used with"),
        ("on-failure:x", "must be an integer"),
    ):
        with pytest.raises(ValueError, match=reason):
            _values.parse_restart(text)


def test_environment_of_files_and_flags(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("\ufeff# comment\n\nA=file\n  B= spaced \nTAKEN\nABSENT\n", encoding="utf-8")
    result = _values.environment([str(file)], ["A=flag", "HOME", "NOPE"], {"HOME": "/root", "TAKEN": "t"})
    assert result == ["A=file", "B= spaced ", "TAKEN=t", "A=flag", "HOME=/root", "NOPE"]


def test_files_that_are_no_environment(tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_text("A b=c\n")
    with pytest.raises(ValueError, match="poorly formatted environment file"):
        _values.environment([str(bad)], [], {})
    bad.write_bytes(b"A=\xff\n")
    with pytest.raises(ValueError, match="invalid utf8"):
        _values.environment([str(bad)], [], {})
    with pytest.raises(FileNotFoundError):
        _values.environment([str(tmp_path / "none")], [], {})


def test_labels(tmp_path: Path) -> None:
    file = tmp_path / "labels"
    file.write_text("a=1\nb\n")
    assert _values.labels([str(file)], ["a=2", "c=x=y"]) == {"a": "2", "b": "", "c": "x=y"}


def test_filters_of_one_name_add_up() -> None:
    filters = parse_filters(["status=running", "status=exited", "label=a=b"])
    assert filters == {"status": {"running": True, "exited": True}, "label": {"a=b": True}}
    with pytest.raises(ValueError, match="bad format of filter"):
        parse_filters(["status"])


@pytest.mark.parametrize("text", ["/data", "/a/b", "//d/./e/../", "/a b"])
def test_volumes_that_can_be(text: str) -> None:
    check_volume(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name:/path", "volumes have no names: say -v /path, and share it by --volumes-from"),
        ("/host:/path", "the source of a volume cannot be chosen: say -v /path"),
        ("/host:/path:ro", "the source of a volume cannot be chosen: say -v /path;"),
        ("/data:ro", "without options"),
        ("rel/path", "a volume needs an absolute path: say -v /rel/path"),
        ("", "is empty"),
        ("/", "root itself"),
        ("/a/..", "root itself"),
        ("/a/../..", "root itself"),
        ("/a\0b", "NUL"),
    ],
)
def test_volumes_that_cannot_be(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_volume(text)


def test_the_long_form_of_a_volume() -> None:
    for text in ("type=volume,target=/d", "dst=/d", "destination=/d,type=volume,source="):
        assert parse_mount(text) == {"Type": "volume", "Target": "/d"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("type=bind,source=/tmp,target=/d", "volumes and tmpfs only, no mounts of type 'bind'"),
        ("type=tmpfs,source=x,target=/d", "a tmpfs has no source"),
        ("type=tmpfs", "the path of a tmpfs is empty"),
        ("type=tmpfs,target=rel", "a tmpfs needs an absolute path: say target=/rel"),
        ("target=/a/..,type=tmpfs", "root itself cannot be a tmpfs"),
        ("type=tmpfs,target=/d,tmpfs-size=x", "invalid size: 'x'"),
        ("type=tmpfs,target=/d,tmpfs-mode=9", "invalid value for tmpfs-mode: 9"),
        ("type=tmpfs,target=/d,readonly=perhaps", "neither true nor false"),
        ("type=tmpfs,target=/d,volume-nocopy", "unexpected option 'volume-nocopy'"),
        ("target=/d,tmpfs-size=1m", "cannot mix 'tmpfs-\\*' options with mount type 'volume'"),
        ("source=name,target=/d", "volumes have no names"),
        ("target=/d,readonly", "unexpected option 'readonly'"),
        ("target=d", "absolute path"),
        ("type=volume", "is empty"),
        ("", "unexpected option ''"),
    ],
)
def test_long_forms_that_cannot_be(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_mount(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("type=tmpfs,target=/d", {"TmpfsOptions": {}}),
        ("dst=/d,type=tmpfs,tmpfs-size=64m", {"TmpfsOptions": {"SizeBytes": 64 << 20}}),
        ("type=tmpfs,destination=/d,tmpfs-mode=1770,ro", {"ReadOnly": True, "TmpfsOptions": {"Mode": 0o1770}}),
        ("type=tmpfs,target=/d,readonly=false,tmpfs-size=0", {"TmpfsOptions": {}}),
    ],
)
def test_the_long_form_of_a_tmpfs(text: str, expected: dict[str, object]) -> None:
    assert parse_mount(text) == {"Type": "tmpfs", "Target": "/d", **expected}


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "is empty"), (":ro", "is empty"), ("/:ro", "root itself"), ("rel:ro", "absolute path: say --tmpfs /rel")],
)
def test_places_where_no_tmpfs_can_be(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_tmpfs(text)
    for fitting in ("/t", "/t:", "/t:ro,size=1m", "/t:nosuch"):
        check_tmpfs(fitting)


def test_volumes_from() -> None:
    for text in ("c", "c:ro", "c:rw", "c:z", "c:ro,Z"):
        check_volumes_from(text)
    for text in ("", ":ro", "c:", "c:x", "c:ro,rw", "c:ro,z,Z"):
        with pytest.raises(ValueError, match=r"container|mode"):
            check_volumes_from(text)


def test_detach_keys() -> None:
    assert parse_keys("") == DEFAULT_KEYS
    assert parse_keys("ctrl-a,x,ctrl-\\") == b"\x01x\x1c"
    for text in ("ctrl-", "ctrl-1", "ab", "ctrl-p,"):
        with pytest.raises(CliError, match="invalid detach keys"):
            parse_keys(text)


def test_keys_are_held_back_until_they_are_whole_or_broken() -> None:
    watch = KeyWatch(b"\x10\x11")
    assert watch.feed(b"a\x10") == (b"a", False)
    assert watch.feed(b"b") == (b"\x10b", False)
    assert watch.feed(b"\x10\x10") == (b"\x10", False)
    assert watch.feed(b"\x11rest") == (b"", True)
