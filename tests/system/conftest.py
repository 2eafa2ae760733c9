"""The runtime as its users have it: the command line, over an engine with a root of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system._cli import Cli
from tests.system._images import make_images


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """One engine in the background for all tests that need no own; the first command has started it."""
    base = tmp_path_factory.mktemp("engine")
    cli = Cli(base / "root", base / "run")
    try:
        cli.ok("version")
        for flags in ((), ("--pid", "host")):  # each with a launcher, which stays
            cli.ok("run", "--rm", *flags, "busybox", "true")
        make_images(cli)
        yield cli
    finally:
        cli("shutdown")


@pytest.fixture
def bireme(engine: Cli) -> Iterator[Cli]:
    """The command line; containers and volumes are removed afterwards, and the test ends with none of its own left."""
    before = engine.volumes()
    yield engine
    engine.clear()
    for volume in engine.volumes() - before:
        engine.ok("volume", "rm", volume)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Cli]:
    """The command line over a root that only this test has."""
    cli = Cli(tmp_path / "root", tmp_path / "run")
    yield cli
    if cli("-H", f"unix://{cli.run_dir}/bireme.sock", "version").status == 0:
        cli.clear()
        cli.ok("shutdown")
