"""A disk that is really full: nothing half made is left, the refusal names the thing and the way out."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[3]


def run(place: Path, scenario: str, what: str) -> list[dict[str, Any]]:
    before = Path("/proc/self/mountinfo").read_text()
    done = subprocess.run(
        [sys.executable, "-m", "tests.runtime.storage._full_disk", str(place), scenario, what],
        cwd=PROJECT, capture_output=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert Path("/proc/self/mountinfo").read_text() == before
    assert os.listdir(place) == []
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.root
@pytest.mark.parametrize("what", ["blocks", "files"])
def test_a_container_is_made_whole_or_not_at_all(tmp_path: Path, what: str) -> None:
    attempts = run(tmp_path, "creating", what)
    assert len(attempts) > 3, "there was room from the start"
    refused, made = attempts[:-1], attempts[-1]
    wanted = re.compile(
        r"StorageError: cannot make container [0-9a-f]{64}: "
        r"No space left on device; free some space \(volume rm, rmi, rm\) or give the root a larger disk"
    )
    for attempt in refused:
        assert wanted.fullmatch(attempt["refused"]), attempt
        assert (attempt["told"], attempt["left"]) == ([], []), attempt
    assert made["refused"] == ""
    assert made["told"] == [True]


@pytest.mark.root
def test_on_a_full_disk_what_is_there_stays_and_can_be_removed(tmp_path: Path) -> None:
    (outcome,) = run(tmp_path, "using", "blocks")
    assert outcome["refused"].count("StorageError: cannot write the") >= 2
    assert outcome["told"] == [True, True]
    assert outcome["left"] == [".trash", ".staging", ".trash"]
