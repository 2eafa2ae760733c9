"""Somebody else's tests, run by a pytest of their own against an engine: what became of each.

A test is known by its file's name, its class if it has one, and its own name: ``api_exec_test.py::ExecTest::test_x``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"

Outcomes = Mapping[str, str]
"""By test: ``passed``, ``failed`` or ``skipped``; what was expected to fail and did not has passed."""

_STUBS = Path(__file__).parent / "stubs"
_OPTIONS = ("-p", "no:cacheprovider", "-p", "no:trio", "-q", "--tb=short", "--no-header", "-o", "junit_logging=no")


def run_suite(
    checkout: Path, arguments: Sequence[str], host: str, place: Path, *, patience: float, variables: Mapping[str, str]
) -> Outcomes:
    """Run the tests of a checkout with ``DOCKER_HOST`` being ``host``; ``place`` is for their home and their report.

    Raises AssertionError, with what pytest has said, if it could not run them.
    """
    report = place / "report.xml"
    report.unlink(missing_ok=True)
    home = make_home(place)
    environ = {
        **{name: value for name, value in os.environ.items() if not _changes_suites(name)},
        "DOCKER_HOST": host,
        "HOME": str(home),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(_STUBS),
        **variables,
    }
    command = [sys.executable, "-m", "pytest", *_OPTIONS, f"--junitxml={report}", *arguments]
    with open(place / "output.txt", "wb") as output:
        subprocess.run(
            command, cwd=checkout, env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            timeout=patience, check=False,
        )  # fmt: skip
    assert report.exists(), (place / "output.txt").read_text(errors="replace")[-4000:]
    return read_report(report)


def _changes_suites(variable: str) -> bool:
    """Whether a variable of ours would choose what is run: testcontainers leaves tests out where CI is set."""
    return variable == "CI" or variable.startswith(("DOCKER_", "PYTEST_", "TESTCONTAINERS_", "TC_"))


def make_home(place: Path) -> Path:
    """A home directory with an empty configuration: what clients store goes there."""
    config = place / "home" / ".docker"
    config.mkdir(parents=True, exist_ok=True)
    (config / "config.json").write_text("{}")
    return config.parent


def stubs() -> str:
    """Where modules lie that the tests import and do not use."""
    return str(_STUBS)


def read_report(report: Path) -> Outcomes:
    """What a JUnit report tells. A test that passes and fails to clean up has failed."""
    found: dict[str, str] = {}
    for case in ET.parse(report).iter("testcase"):
        test = _known_as(case.get("classname", ""), case.get("name", ""))
        kinds = {child.tag for child in case}
        outcome = FAILED if kinds & {"failure", "error"} else SKIPPED if "skipped" in kinds else PASSED
        found[test] = FAILED if FAILED in (outcome, found.get(test)) else outcome
    return found


def _known_as(place: str, name: str) -> str:
    parts = place.split(".")
    module = next((at for at, part in enumerate(parts) if part.startswith("test_") or part.endswith("_test")), 0)
    return "::".join([f"{parts[module]}.py", *parts[module + 1 :], name])
