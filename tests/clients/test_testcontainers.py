"""The core suite of testcontainers, out of its source distribution, against a served engine.

It brings its own testcontainers along, of the same version as the tests. What it needs of the outside is left away: an
image to build, a network to make, a compose file, a container that removes others when the tests are over (Ryuk).
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.clients._differences import DOCUMENT, Row, complaints, read_rows
from tests.clients._outcomes import Outcomes, run_suite, stubs
from tests.house import PROJECT
from tests.runtime.server.served import Docker, Engine

pytestmark = [pytest.mark.root, pytest.mark.system, pytest.mark.timeout(300)]

SUITES = PROJECT / ".venv" / "suites"
SECTION = "testcontainers: out of scope"
IMAGES = ("alpine:latest", "ubuntu:latest", "nginx:latest", "nginx:alpine-slim", "postgres:latest")
"""What the tests run, here busybox in all of them."""

LEFT_OUT = ("test_compose.py", "test_core_registry.py", "test_project_settings.py")
"""Need docker compose, an image of a registry, and a library for reading the suite's own project file."""

OF_THE_HOST = (
    "core/tests/test_core.py::test_get_logs",
    "core/tests/test_utils.py::test_inside_container",
    "core/tests/test_wait_strategies.py::TestFileExistsWaitStrategy::test_wait_until_ready[file_not_exists_timeout]",
)
"""Fail where the machine is so busy that a container has printed nothing yet when its start has been answered, where
the tests themselves run in a container, and where others make and remove files in /tmp meanwhile."""

ALONE = ("test_config.py",)
"""Leave a configuration behind that is others' too."""


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution unpacked; its package is made to come before the one that is installed."""
    found = sorted(SUITES.glob("testcontainers-*.tar.gz"))
    if not found:
        pytest.skip("needs testcontainers' source distribution, which .ci/setup fetches")
    place = tmp_path_factory.mktemp("suite")
    subprocess.run(["tar", "-xzf", found[-1], "-C", place], check=True)
    unpacked = next(place.iterdir())
    (unpacked / "core" / "testcontainers" / "__init__.py").touch()
    (unpacked / "empty.ini").write_text("[pytest]\n")
    return unpacked


@pytest.fixture(scope="module")
def outcomes(suite: Path, engine: Engine, docker: Docker) -> Outcomes:
    """What became of every test of the suite."""
    greeting = 'CMD ["echo", "Hello from Docker!"]'
    docker.ok("create", "--name", "greeter", "busybox")
    docker.ok("commit", "--change", greeting, "greeter", "hello-world:latest")
    docker.ok("rm", "greeter")
    for image in IMAGES:
        docker.ok("tag", "busybox", image)
    tests = "core/tests"
    others = [f"--ignore={tests}/{name}" for name in (*LEFT_OUT, *ALONE)]
    found: dict[str, str] = {}
    for chosen in ([tests, *others], [f"{tests}/{name}" for name in ALONE]):
        found.update(_run(suite, chosen, engine))
    return found


def _run(suite: Path, chosen: list[str], engine: Engine) -> Mapping[str, str]:
    variables = {"PYTHONPATH": f"core:{stubs()}", "TESTCONTAINERS_RYUK_DISABLED": "true"}
    left_out = [f"--deselect={test}" for test in OF_THE_HOST]
    arguments = ["-c", "empty.ini", "--rootdir", ".", "--timeout", "60", *left_out, *chosen]
    return run_suite(suite, arguments, f"unix://{engine.socket}", suite.parent, patience=200, variables=variables)


def rows() -> list[Row]:
    return read_rows(DOCUMENT.read_text(), SECTION)


def test_what_fails_is_what_the_document_tells(outcomes: Outcomes) -> None:
    assert complaints(outcomes, rows()) == []


def test_most_pass(outcomes: Outcomes) -> None:
    relevant = [outcome for test, outcome in outcomes.items() if not any(row.has(test) for row in rows())]
    assert len(relevant) > 200
    assert relevant.count("passed") >= 0.98 * len(relevant)
