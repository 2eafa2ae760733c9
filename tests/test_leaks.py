"""The leak check finds what is planted, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.leaks import Session

_WAITS = "import sys; sys.stdin.read()"


def test_nothing_is_found_where_nothing_is_left(leak_session: Session) -> None:
    assert leak_session.leftovers(leak_session.traces(), 0) == []


def test_a_descriptor_left_open_is_found(leak_session: Session) -> None:
    before = leak_session.traces()
    fd = os.open("/dev/null", os.O_RDONLY)
    try:
        assert leak_session.leftovers(before, 0) == [f"descriptor {fd}: /dev/null"]
    finally:
        os.close(fd)


def test_a_child_left_running_is_found_and_its_end_is_waited_for(leak_session: Session) -> None:
    before = leak_session.traces()
    with subprocess.Popen([sys.executable, "-c", _WAITS], stdin=subprocess.PIPE) as child:
        found = leak_session.leftovers(before, 0)
        assert [line for line in found if line.startswith(f"process {child.pid}: ")]
    assert leak_session.leftovers(before) == []


def test_a_process_that_is_no_longer_a_child_is_found_by_its_mark(leak_session: Session) -> None:
    before = leak_session.traces()
    orphan = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {_WAITS!r}], stdout=2)"
    reading, writing = os.pipe()
    subprocess.run([sys.executable, "-c", orphan], stdin=reading, check=True)
    os.close(reading)
    found = [line for line in leak_session.leftovers(before, 0) if line.startswith("process")]
    os.close(writing)
    assert len(found) == 1
    assert _WAITS in found[0]
    assert leak_session.leftovers(before) == []


@pytest.mark.root
def test_a_mount_left_is_found(leak_session: Session, tmp_path: Path) -> None:
    before = leak_session.traces()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(tmp_path)], check=True)
    try:
        found = leak_session.leftovers(before, 0)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
    assert [line for line in found if line.startswith("mount ") and str(tmp_path) in line]
    assert leak_session.leftovers(before) == []
