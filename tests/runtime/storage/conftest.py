"""Roots in temporary directories, and the stores of one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bireme.storage import Layout, open_root
from tests.runtime.storage._stores import Stores


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    """A root that is open."""
    with open_root(tmp_path / "root") as opened:
        yield opened


@pytest.fixture
def stores(layout: Layout) -> Stores:
    return Stores(layout)
