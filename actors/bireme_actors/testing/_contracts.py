"""Conformance suites: what every implementation of a port does, checked the same way on fakes and on the real thing.

A suite is a class of checks; a check is an async function that takes a *factory* and raises AssertionError. The
factory opens a fresh *bench*: an async context manager around what is tested and what the check needs beside it. The
suites know no test framework; with pytest::

    @pytest.mark.parametrize("check", checks(VolumeStoreContract), ids=lambda check: check.__name__)
    async def test_volume_store(check, tmp_path):
        await check(partial(open_bench, tmp_path))
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

Check: TypeAlias = Callable[[Any], Awaitable[None]]


def checks(contract: type) -> list[Check]:
    """The checks of one suite, in order; ``check.__name__`` says what is checked."""
    return [
        member.__func__
        for name, member in vars(contract).items()
        if isinstance(member, staticmethod) and not name.startswith("_")
    ]


async def refuses(kind: type[Exception], asked: Awaitable[object]) -> Exception:
    """The error of that kind that awaiting raises; AssertionError if it raises none."""
    try:
        await asked
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")
