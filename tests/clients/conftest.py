"""One engine for the tests of a module."""

from __future__ import annotations

from tests.runtime.server.conftest import docker, engine

__all__ = ["docker", "engine"]
