"""A real engine on a root of its own, for the tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import bireme


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
async def runtime(root: Path) -> AsyncIterator[bireme.Runtime]:
    async with bireme.open_runtime(root=root) as opened:
        yield opened
