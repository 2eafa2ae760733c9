"""Runs docker-py's own integration suite against a served engine: ``python -m tests.clients`` (``make clients``).

The suite is a checkout that the variable DOCKER_PY_SUITE names. What passes on a Docker engine in the same place, a
host without a network, is recorded in ``docker-py.txt``; ``--engine docker --record`` records it anew. Of that, all has
to pass here but what stands in the tables of ``docs/clients.md``. Ends with 1 if it does not, or if a table is out of
date.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.clients._differences import DOCUMENT, Row, complaints, read_rows
from tests.clients._outcomes import PASSED, Outcomes, run_suite
from tests.parity._bireme import open_bireme
from tests.parity._docker import NoDocker, open_docker
from tests.parity._images import plain_archive
from tests.parity._side import Side

BASELINE = Path(__file__).parent / "docker-py.txt"
OUT_OF_SCOPE, MISSING = "docker-py: out of scope", "docker-py: missing"
"""Headings of the tables."""

IMAGES = ("busybox:latest", "alpine:3.10", "alpine:latest")
PATIENCE = 1200.0
WANTED = 95.0
"""Per cent of what is in scope that has to pass."""
_LEFT_OUT = ("swarm", "service", "nodes", "secret", "config_test", "plugin", "build", "credentials")


def read_baseline() -> list[str]:
    """The tests that pass on Docker."""
    return [line for line in BASELINE.read_text().splitlines() if line and not line.startswith("#")]


def main(arguments: Sequence[str]) -> int:
    """Run, compare, tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.clients", description=__doc__.partition("\n")[0])
    parser.add_argument("tests", nargs="*", help="files or tests of the suite (default: all in scope)")
    parser.add_argument("--engine", choices=("bireme", "docker"), default="bireme")
    parser.add_argument("--record", action="store_true", help="write down what passes as what passes on Docker")
    options = parser.parse_args(arguments)
    suite = Path(os.environ.get("DOCKER_PY_SUITE") or ".") / "tests" / "integration"
    if not suite.is_dir():
        print("clients: set DOCKER_PY_SUITE to a checkout of docker-py (its tests are not part of its package)")
        return 2
    try:
        outcomes = run(suite.parent.parent.resolve(), options.tests, options.engine)
    except NoDocker as error:
        print(f"clients: {error}")
        return 2
    if options.record:
        record(outcomes)
        return 0
    return compare(outcomes, whole=not options.tests)


def run(checkout: Path, tests: Sequence[str], engine: str) -> Outcomes:
    """What becomes of each test on an engine of its own."""
    with tempfile.TemporaryDirectory(prefix="clients-", ignore_cleanup_errors=True) as name:
        place = Path(name)
        with _open(engine, place) as (side, host):
            side.ok("import", "--change", 'CMD ["sh"]', "-", IMAGES[0], stdin=plain_archive())
            for image in IMAGES[1:]:
                side.ok("tag", IMAGES[0], image)
            chosen = tests or ["tests/integration", *(f"--ignore-glob=*{name}*" for name in _LEFT_OUT)]
            arguments = ["--timeout", "120", *chosen]
            found = run_suite(checkout, arguments, host, place, patience=PATIENCE, variables={})
        print((place / "output.txt").read_text(errors="replace").strip().splitlines()[-1])
        return found


@contextmanager
def _open(engine: str, place: Path) -> Iterator[tuple[Side, str]]:
    if engine == "docker":
        with open_docker(place, bridge=True) as side:
            yield side, f"unix://{place}/docker.sock"
    else:
        with open_bireme(place) as side:
            yield side, f"unix://{place}/run/bireme.sock"


def record(outcomes: Outcomes) -> None:
    """Write the baseline anew."""
    passed = sorted(test for test, outcome in outcomes.items() if outcome == PASSED)
    head = "# Tests of docker-py's integration suite that pass on Docker without a network (python -m tests.clients).\n"
    BASELINE.write_text(head + "".join(f"{test}\n" for test in passed))
    print(f"{len(passed)} tests pass")


def compare(outcomes: Outcomes, *, whole: bool) -> int:
    """Print a table by file, and what is not as it should be. The exit status."""
    text = DOCUMENT.read_text()
    outside, missing = read_rows(text, OUT_OF_SCOPE), read_rows(text, MISSING)
    baseline = [test for test in read_baseline() if whole or test in outcomes]
    relevant = {test: outcomes.get(test, "not run") for test in baseline}
    share = _print_table(relevant, outside)
    wrong = complaints(relevant, [*outside, *missing])
    if not whole:
        wrong = [line for line in wrong if not line.startswith("stands in a table")]
    for line in wrong:
        print(line)
    print("as docs/clients.md says" if not wrong else f"{len(wrong)} not as docs/clients.md says")
    return 0 if not wrong and share >= WANTED else 1


def _print_table(relevant: Outcomes, outside: Sequence[Row]) -> float:
    """By file; the per cent that pass of what is in scope."""
    counts: dict[str, Counter[str]] = {}
    for test, outcome in relevant.items():
        count = counts.setdefault(test.partition("::")[0], Counter())
        scope = not any(row.has(test) for row in outside)
        count.update({"docker": 1, "scope": scope, "passed": scope and outcome == PASSED})
    total = sum(counts.values(), Counter())
    print(f"{'':28}  pass on Docker  in scope  pass here")
    for name, count in [*sorted(counts.items()), ("all", total)]:
        print(f"{name:28}  {count['docker']:14}  {count['scope']:8}  {count['passed']:9}")
    share = 100.0 * total["passed"] / max(total["scope"], 1)
    print(f"{share:.1f} per cent of what is in scope")
    return share


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
