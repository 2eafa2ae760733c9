"""What the documentation shows is what happens: its programs run, and stand in the README word for word."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house import PROJECT, SOURCE_ROOTS
from tests.system import _postgres_image

pytestmark = [pytest.mark.root, pytest.mark.system]

EXAMPLES = PROJECT / "docs" / "examples"
README = (PROJECT / "README.md").read_text()


def environ(directory: Path) -> dict[str, str]:
    """A root of one's own, the temporary directory inside it, and ``bireme`` on the path."""
    scratch = directory / "tmp"
    scratch.mkdir()
    (directory / "bin").mkdir()
    command = directory / "bin" / "bireme"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m bireme "$@"\n')
    command.chmod(0o755)
    return {
        **os.environ,
        "BIREME_ROOT": str(directory / "root"),
        "BIREME_RUN": str(directory / "run"),
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(map(str, SOURCE_ROOTS)),
        "TMPDIR": str(scratch),
    }


def execute(command: list[str], directory: Path, timeout: int = 55) -> str:
    variables = environ(directory)
    try:
        done = subprocess.run(
            command, env=variables, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=timeout, check=False,
        )  # fmt: skip
    finally:
        subprocess.run(["bireme", "shutdown"], env=variables, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_demo_shows_the_three_uses_and_leaves_nothing(tmp_path: Path) -> None:
    out = execute([sys.executable, str(PROJECT / "docs" / "demo.py")], tmp_path)
    for line in ("3 rows backed up; the log says: ready", "sent with --s3creds=secret", "0 b'one row\\n' from "):
        assert line in out
    assert "/var/lib/postgres is " in out
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ten_lines.py", r"0 b'one row\n' from /\S+/volumes/[0-9a-f]{64}"),
        ("blocking.py", r"0 b'HELLO\n'"),
        ("under_asyncio.py", r"0 1 2"),
    ],
)
def test_a_program_runs_and_stands_in_the_readme(tmp_path: Path, name: str, says: str) -> None:
    pattern = re.escape(says).replace(re.escape(r"/\S+/"), r"/\S+/").replace(re.escape("[0-9a-f]{64}"), "[0-9a-f]{64}")
    assert re.fullmatch(pattern, execute([sys.executable, str(EXAMPLES / name)], tmp_path).strip())
    assert f"```python\n{(EXAMPLES / name).read_text()}```" in README


@pytest.mark.timeout(900)
def test_the_database_example_runs_and_stands_in_the_readme(tmp_path: Path) -> None:
    reason = _postgres_image.missing_requirement()
    if reason:
        pytest.skip(f"no PostgreSQL image: {reason}")
    image = _postgres_image.postgres_image()
    script = EXAMPLES / "postgres.sh"
    out = execute(["sh", "-e", str(script), str(image.archive), image.version], tmp_path, timeout=300)
    assert out.splitlines()[-1] == "1000"
    shown = script.read_text().partition("\n\n")[2]
    assert f"```sh\n{shown}```" in README
