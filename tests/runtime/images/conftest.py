"""What the tests of images share."""

from __future__ import annotations

from pathlib import Path

import pytest

from bireme.images import ImageStore


@pytest.fixture
def images_directory(tmp_path: Path) -> Path:
    """Where ``store`` keeps its images."""
    return tmp_path / "images"


@pytest.fixture
def store(images_directory: Path) -> ImageStore:
    """An empty store whose clock stands still."""
    return ImageStore(str(images_directory), clock=lambda: 1_700_000_000_000_000_000)
