"""What the tests of registries share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bireme.images import ImageStore
from bireme.images.registry import Registries
from bireme.images.registry.patience import Patience
from bireme.images.registry.session import Options
from tests.runtime.images.registry.fake_registry import FakeRegistry


@pytest.fixture
async def registry() -> AsyncIterator[FakeRegistry]:
    """A registry of one's own, on loopback."""
    async with FakeRegistry().serving() as fake:
        yield fake


@pytest.fixture
def naps() -> list[float]:
    """The seconds that were waited before something was tried again; nobody waits in fact."""
    return []


@pytest.fixture
def options(naps: list[float], tmp_path: Path) -> Options:
    async def sleep(seconds: float) -> None:
        naps.append(seconds)

    registries = Registries(certificates=str(tmp_path / "certs.d"))
    return Options(registries=registries, patience=Patience(attempts=4, sleep=sleep))


@pytest.fixture
def store(images_directory: Path, options: Options) -> ImageStore:
    """An empty store that tries again without waiting."""
    store = ImageStore(str(images_directory), clock=lambda: 1_700_000_000_000_000_000)
    store.remote.options = options
    return store
