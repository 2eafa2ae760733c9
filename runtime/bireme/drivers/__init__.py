"""What makes containers run: the native driver, on the launcher, and those that farm the work out to other runtimes."""

from __future__ import annotations

from bireme.drivers.native import NativeDriver
from bireme.drivers.opening import Drivers, check_driver, open_drivers
from bireme.drivers.plan import RootRequests
from bireme.drivers.process import changed_limits
from bireme.drivers.requirements import check_requirements, missing_requirements
from bireme.drivers.runtimes import RUNTIMES, find_runtime

__all__ = [
    "RUNTIMES",
    "Drivers",
    "NativeDriver",
    "RootRequests",
    "changed_limits",
    "check_driver",
    "check_requirements",
    "find_runtime",
    "missing_requirements",
    "open_drivers",
]
