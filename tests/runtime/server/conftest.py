"""One engine for the tests of a module that need a real one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.runtime.server.served import DOCKER, Docker, Engine


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    started = Engine(tmp_path_factory.mktemp("engine"))
    yield started
    started.shutdown()
    assert "Traceback" not in started.log(), started.log()


@pytest.fixture(scope="module")
def docker(engine: Engine) -> Docker:
    if DOCKER is None:
        pytest.skip("needs the docker command line (Debian: docker-cli or docker.io)")
    return Docker(engine)
