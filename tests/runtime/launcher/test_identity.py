"""Users and groups as Docker finds them, on tables that need not be well formed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.launcher import _identity
from bireme.launcher._protocol import Failure

USERS = [
    ["root", "x", "0", "0", "root", "/root", "/bin/sh"],
    ["ann", "x", "1000", "1001", "", "/home/ann", ""],
    ["10", "x", "77", "78", "a name that is a number", "", ""],
    ["broken", "x", "abc", "1", "", "/", ""],
]
GROUPS = [["root", "x", "0", ""], ["wheel", "x", "10", "ann,root"], ["audio", "x", "63", ""], ["odd", "x", "??", "ann"]]


@pytest.fixture(autouse=True)
def tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_identity, "_rows", lambda root, path, fields: USERS if path.endswith("passwd") else GROUPS)


@pytest.mark.parametrize(
    ("user", "extra", "uid", "gid", "groups", "home"),
    [
        ("", [], 0, 0, [0, 10], "/root"),
        ("root", [], 0, 0, [0, 10], "/root"),
        ("0", [], 0, 0, [0, 10], "/root"),
        ("ann", [], 1000, 1001, [1001, 10], "/home/ann"),
        ("1000", [], 1000, 1001, [1001, 10], "/home/ann"),
        ("ann:audio", [], 1000, 63, [63], "/home/ann"),
        ("ann:5", ["wheel", "5", "99"], 1000, 5, [5, 10, 99], "/home/ann"),
        ("10", [], 77, 78, [78], "/"),
        ("4242", [], 4242, 0, [0], "/"),
        ("4242:4343", [], 4242, 4343, [4343], "/"),
        (":audio", [], 0, 63, [63], "/root"),
    ],
)
def test_found(user: str, extra: list[str], uid: int, gid: int, groups: list[int], home: str) -> None:
    found = _identity.find(user, extra)
    assert (found.uid, found.gid, found.groups, found.home) == (uid, gid, groups, home)


@pytest.mark.parametrize(
    ("user", "extra", "text"),
    [
        ("bob", [], "unable to find user bob: no matching entries in passwd file"),
        ("broken", [], "unable to find user broken"),
        ("ann:nobody", [], "unable to find group nobody: no matching entries in group file"),
        ("ann", ["nobody"], "unable to find group nobody"),
        ("ann:odd", [], "unable to find group odd"),
        ("-1", [], "unable to find user -1"),
        ("\u0661", [], "unable to find user"),
        ("4294967295", [], "must be in range"),
        ("0:4294967295", [], "must be in range"),
    ],
)
def test_refused(user: str, extra: list[str], text: str) -> None:
    with pytest.raises(Failure, match=text):
        _identity.find(user, extra)


@given(st.text(), st.lists(st.text(), max_size=3))
def test_any_text_is_found_or_refused(user: str, extra: list[str]) -> None:
    try:
        found = _identity.find(user, extra)
    except Failure:
        return
    assert 0 <= found.uid < 2**32 - 1
    assert all(0 <= group < 2**32 - 1 for group in found.groups)
