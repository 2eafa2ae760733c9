"""The fake engine, and the command line that talks to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.runtime.cli.fake_engine import CommandLine, FakeEngine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[FakeEngine]:
    with FakeEngine(tmp_path / "engine.sock") as fake:
        yield fake


@pytest.fixture
def bireme(tmp_path: Path) -> CommandLine:
    (tmp_path / "standard").mkdir()
    return CommandLine(tmp_path / "engine.sock", tmp_path / "standard")
