"""A Bireme engine of the scenarios' own."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from bireme.drivers import RUNTIMES
from tests.house import SOURCE_ROOTS
from tests.parity._side import PATIENCE, Side
from tests.parity._warm import Warm, run

FARMED = tuple(name for name, runtime in RUNTIMES.items() if shutil.which(runtime.program))
"""The drivers, besides the native one, that can run here; with them the scenarios of volumes are played."""

_COMMAND = (sys.executable, "-P", "-m", "bireme")


@contextlib.contextmanager
def open_bireme(place: Path, driver: str = "native") -> Iterator[Side]:
    """An engine in ``place`` for the length of the block; the first command starts it."""
    environ = {
        **os.environ,
        "BIREME_ROOT": str(place / "root"),
        "BIREME_RUN": str(place / "run"),
        "BIREME_DRIVER": driver,
        "PYTHONPATH": os.pathsep.join(map(str, SOURCE_ROOTS)),
    }
    warm = Warm()
    try:
        side = BiremeSide(warm, environ, place / "run" / "bireme.sock")
        try:
            side.ok("version")
            yield side
        finally:
            side("shutdown")
    finally:
        warm.close()


class BiremeSide(Side):
    """Commands that are waited for come out of ``warm``, those that go on beside are processes like any other."""

    def __init__(self, warm: Warm, environ: Mapping[str, str], api: Path) -> None:
        super().__init__("bireme", _COMMAND, environ, api)
        self._warm = warm

    def _run(self, command: list[str], stdin: bytes) -> tuple[int, bytes, bytes]:
        return run(self._warm, command[len(_COMMAND) :], self._environ, stdin, PATIENCE)
