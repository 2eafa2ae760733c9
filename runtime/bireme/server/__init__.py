"""The Docker Engine API on a unix socket: any Docker client is a client of Bireme."""

from __future__ import annotations

from bireme.server.front import Front, open_front, serve
from bireme.server.run import EngineSettings, run_engine

__all__ = ["EngineSettings", "Front", "open_front", "run_engine", "serve"]
