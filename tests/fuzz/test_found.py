"""What a fuzz has found once, and what is to be answered."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.runtime.server.served import Engine

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    started = Engine(tmp_path_factory.mktemp("engine"))
    body = {"Image": "busybox", "Cmd": ["sleep", "600"]}
    assert started.ask("POST", "/containers/create?name=running", body)[0] == 201
    assert started.ask("POST", "/containers/running/start")[0] == 204
    assert started.ask("POST", "/containers/create?name=created", {"Image": "busybox", "Cmd": ["true"]})[0] == 201
    yield started
    started.shutdown()
    assert "Traceback" not in started.log(), started.log()


@pytest.mark.parametrize("container", ["running", "created"])
@pytest.mark.parametrize(
    ("path", "status"), [("/" + "a" * 300, 400), (f"/{'b' * 300}/x", 400), ("/etc/passwd/x", 404), ("/nosuch/", 404)]
)
def test_paths_that_lead_nowhere(engine: Engine, container: str, path: str, status: int) -> None:
    found, answer = engine.ask("GET", f"/containers/{container}/archive?path={path}")
    assert (found, list(answer)) == (status, ["message"])
    assert engine.ask("PUT", f"/containers/{container}/archive?path={path}", bytes(1024))[0] in (400, 404)
