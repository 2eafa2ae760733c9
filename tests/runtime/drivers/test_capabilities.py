"""Names, masks and what is added or dropped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.drivers import capabilities
from bireme.drivers.capabilities import ALL, DEFAULT, NAMES, NUMBERS, granted, mask, names, parse
from bireme_actors import InvalidConfig, Security


def test_the_default_set_is_dockers() -> None:
    assert DEFAULT == 0xA80425FB
    assert len(names(DEFAULT)) == 14


def test_the_numbers_are_the_kernels() -> None:
    assert len(NAMES) == 41
    known = {"CHOWN": 0, "SETPCAP": 8, "NET_RAW": 13, "SYS_ADMIN": 21, "MKNOD": 27, "AUDIT_READ": 37}
    known["CHECKPOINT_RESTORE"] = 40
    assert {name: NUMBERS[name] for name in known} == known


def test_the_kernel_has_no_newer_ones() -> None:
    assert int(Path("/proc/sys/kernel/cap_last_cap").read_text()) <= NUMBERS[NAMES[-1]]


@given(st.sets(st.sampled_from(NAMES)))
def test_a_mask_holds_its_names(chosen: set[str]) -> None:
    assert set(names(mask(chosen))) == chosen


@pytest.mark.parametrize("text", ["NET_ADMIN", "net_admin", "CAP_NET_ADMIN", "cap_Net_Admin"])
def test_a_name_is_read_in_any_form(text: str) -> None:
    assert parse(text) == 1 << 12


@pytest.mark.parametrize("text", ["all", "ALL", "CAP_ALL"])
def test_all_is_every_one(text: str) -> None:
    assert parse(text) == ALL == (1 << 41) - 1


@pytest.mark.parametrize("text", ["", "CAP_", "SYS", "NET_ADMIN ", "CAP_CAP_CHOWN", "41"])
@pytest.mark.parametrize("field", ["cap_add", "cap_drop"])
@pytest.mark.parametrize("privileged", [False, True])
def test_an_unknown_name_is_refused_and_named(text: str, field: str, privileged: bool) -> None:
    given: dict[str, Any] = {field: (text,)}
    security = Security(privileged=privileged, **given)
    with pytest.raises(InvalidConfig, match="unknown capability") as caught:
        granted(security)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("add", "drop", "wanted"),
    [
        ((), (), DEFAULT),
        (("SYS_TIME",), (), DEFAULT | mask(["SYS_TIME"])),
        ((), ("MKNOD", "NET_RAW"), DEFAULT & ~mask(["MKNOD", "NET_RAW"])),
        ((), ("SYS_TIME",), DEFAULT),
        (("CHOWN",), ("CHOWN",), DEFAULT),
        ((), ("ALL",), 0),
        (("CHOWN", "SYS_TIME"), ("ALL",), mask(["CHOWN", "SYS_TIME"])),
        (("ALL",), (), ALL),
        (("ALL",), ("CHOWN", "SYS_TIME"), ALL & ~mask(["CHOWN", "SYS_TIME"])),
        (("ALL",), ("ALL",), ALL),
    ],
)
def test_adding_and_dropping_follows_docker(add: tuple[str, ...], drop: tuple[str, ...], wanted: int) -> None:
    assert granted(Security(cap_add=add, cap_drop=drop)) == wanted


def test_privileged_is_all_whatever_is_dropped() -> None:
    assert granted(Security(privileged=True, cap_drop=("ALL",))) == capabilities.ALL
