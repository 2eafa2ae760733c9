"""A launcher for each test that asks for one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.runtime.launcher.harness import Bench, open_bench


@pytest.fixture
def stepwise() -> bool:
    """Whether containers are set up step by step; modules about what a container is like try both ways."""
    return False


@pytest.fixture
async def bench(tmp_path: Path, stepwise: bool) -> AsyncIterator[Bench]:
    """An embedded launcher on a ROOT of the test's own."""
    async with open_bench(tmp_path / "root", stepwise=stepwise) as made:
        yield made
