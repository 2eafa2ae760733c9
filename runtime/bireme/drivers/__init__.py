"""What makes containers run: the native driver, on the launcher, and the tables that its requests are made from."""

from __future__ import annotations

from bireme.drivers.native import NativeDriver, open_native
from bireme.drivers.plan import RootRequests
from bireme.drivers.requirements import check_requirements, missing_requirements

__all__ = ["NativeDriver", "RootRequests", "check_requirements", "missing_requirements", "open_native"]
