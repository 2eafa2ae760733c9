"""The native driver does what every driver does."""

from __future__ import annotations

import pytest

from bireme_actors.testing import Check, DriverContract, checks
from tests.runtime.drivers.conftest import BenchFactory


@pytest.mark.root
@pytest.mark.parametrize("check", checks(DriverContract), ids=lambda check: check.__name__)
async def test_native_driver(check: Check, bench_factory: BenchFactory) -> None:
    await check(bench_factory)
