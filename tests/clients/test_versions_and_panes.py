"""Every version of the API that is spoken, by docker-py; and what an IDE's Docker pane asks for again and again."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import docker as docker_py
import pytest

from tests.runtime.server.served import Docker, Engine

pytestmark = [pytest.mark.root, pytest.mark.system]

VERSIONS = ("1.24", *(f"1.{minor}" for minor in range(41, 50)))


@contextmanager
def client(engine: Engine, version: str = "auto") -> Iterator[Any]:
    opened = docker_py.DockerClient(base_url=f"unix://{engine.socket}", version=version, timeout=50)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture(scope="module")
def container(engine: Engine) -> Iterator[str]:
    """One that runs, with a volume, and prints."""
    with client(engine) as opened:
        script = ["sh", "-c", "echo out; echo err >&2; exec sleep 1000"]
        made = opened.containers.run("busybox", script, name="pane", detach=True, volumes=["/data"])
        yield made.id
        made.remove(force=True, v=True)


def test_the_newest_version_in_common_is_agreed_on(engine: Engine) -> None:
    with client(engine) as opened:
        assert opened.api.api_version == "1.49"
        assert (opened.version()["ApiVersion"], opened.version()["MinAPIVersion"]) == ("1.49", "1.24")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_round_in_every_version(engine: Engine, container: str, version: str) -> None:
    with client(engine, version) as opened:
        found = opened.containers.get(container)
        assert found.status == "running"
        assert found.logs(stdout=True, stderr=False) == b"out\n"
        assert found.exec_run(["echo", "more"]) == (0, b"more\n")
        assert found.exec_run(["sh", "-c", "echo o; echo e >&2"], demux=True) == (0, (b"o\n", b"e\n"))
        assert opened.containers.run("busybox", ["echo", "hi"], remove=True) == b"hi\n"
        assert "busybox:latest" in opened.images.get("busybox").tags
        assert ("VirtualSize" in opened.images.get("busybox").attrs) == (tuple(map(int, version.split("."))) < (1, 44))
        assert [mount["Destination"] for mount in found.attrs["Mounts"]] == ["/data"]


@pytest.mark.parametrize("version", ["1.50", "9.99"])
def test_versions_that_are_not_spoken(engine: Engine, version: str) -> None:
    with client(engine, version) as opened, pytest.raises(docker_py.errors.APIError, match="too new"):
        opened.ping()


def test_what_a_pane_asks_for(engine: Engine, container: str) -> None:
    """The routes that an IDE polls, with the filters that it gives, while it listens to events."""
    label = json.dumps({"label": ["com.docker.compose.project"]})
    routes: dict[str, type] = {
        "/version": dict,
        "/info": dict,
        "/containers/json?all=1&size=1": list,
        f"/containers/json?all=1&filters={label}": list,
        f"/containers/{container}/json": dict,
        f"/containers/{container}/top?ps_args=-ef": dict,
        f"/containers/{container}/stats?stream=0": dict,
        f"/containers/{container}/stats?stream=0&one-shot=1": dict,
        "/images/json?all=0&shared-size=1": list,
        '/images/json?filters={"dangling":["true"]}': list,
        "/volumes": dict,
        "/networks": list,
        "/system/df": dict,
    }
    for path, expected in routes.items():
        status, answer = engine.ask("GET", path.replace(" ", "%20"))
        assert status == 200, path
        assert isinstance(answer, expected), path


def test_statistics_and_events_as_streams(engine: Engine, container: str) -> None:
    with client(engine) as opened:
        found = opened.containers.get(container)
        with closing(found.stats(stream=True, decode=True)) as readings:
            first, second = next(readings), next(readings)
        assert first["read"] == second["preread"]
        assert second["memory_stats"]["limit"] > 0
        filters = {"container": "pane", "event": ["pause", "unpause"]}
        with closing(opened.events(decode=True, filters=filters)) as events:
            teller = threading.Thread(target=lambda: (found.pause(), found.unpause()))
            teller.start()
            assert [next(events)["Action"], next(events)["Action"]] == ["pause", "unpause"]
            teller.join()


def test_a_volume_stays_as_long_as_somebody_has_it(engine: Engine, container: str, docker: Docker) -> None:
    """docker-py and the docker command see the same things."""
    with client(engine) as opened:
        volume = opened.containers.get(container).attrs["Mounts"][0]["Name"]
        assert volume in [found.name for found in opened.volumes.list()]
        assert volume in docker.ok("volume", "ls", "-q").split()
        sharing = opened.containers.create("busybox", "true", volumes_from=["pane"])
        assert sharing.attrs["Mounts"][0]["Name"] == volume
        sharing.remove(v=True)
        assert volume in [found.name for found in opened.volumes.list()]
