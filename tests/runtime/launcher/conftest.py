"""A launcher for each test that asks for one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.runtime.launcher.harness import Bench, open_bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """An embedded launcher on a ROOT of the test's own."""
    async with open_bench(tmp_path / "root") as made:
        yield made
