"""Every driver does what every driver does."""

from __future__ import annotations

from functools import partial

import pytest

from bireme_actors.testing import Check, DriverContract, checks
from tests.runtime.drivers.conftest import DRIVERS, BenchFactory


@pytest.mark.root
@pytest.mark.parametrize("pid_mode", ["", "host"], ids=["own PIDs", "the host's"])
@pytest.mark.parametrize("name", DRIVERS)
@pytest.mark.parametrize("check", checks(DriverContract), ids=lambda check: check.__name__)
async def test_driver(check: Check, name: str, bench_factory: BenchFactory, need_driver: None, pid_mode: str) -> None:
    await check(partial(bench_factory, name=name, pid_mode=pid_mode))
