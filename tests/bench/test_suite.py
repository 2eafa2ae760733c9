"""The benchmarks, as small as they can be: that they measure, write what they promise, and leave nothing."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.model import SCENARIOS, Outcome
from bench.processes import with_argument
from bench.report import ratios, tables

PROJECT = Path(__file__).resolve().parents[2]
COUNT = 3
OURS = ("bound", "bireme")

pytestmark = [pytest.mark.root, pytest.mark.system, pytest.mark.timeout(180)]


def run(arguments: list[str], **more: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("BENCH_", "BIREME_"))}
    environ |= more
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=PROJECT, env=environ, capture_output=True, text=True, timeout=170, check=False)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run with everything that starts quickly has written."""
    if shutil.which("cc") is None:
        pytest.skip("the physical bound is a program in C, and there is no C compiler (cc)")
    out = tmp_path_factory.mktemp("bench")
    systems = [*OURS, *(name for name in ("crun", "crun-same", "runc") if shutil.which(name.partition("-")[0]))]
    systems += ["bubblewrap"] if shutil.which("bwrap") else []
    (out / "tmp").mkdir()
    options = ["--smallest", str(COUNT), "--systems", ",".join(systems), "--out", str(out)]
    done = run(["-m", "bench", *options], TMPDIR=str(out / "tmp"))
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def outcome(results: Path) -> Outcome:
    return Outcome.load(results / "samples.json")


def test_every_scenario_has_samples_of_bireme(outcome: Outcome) -> None:
    assert {sample.scenario for sample in outcome.samples if sample.system == "bireme"} == set(SCENARIOS)
    assert outcome.skips == []


def test_a_sample_holds_what_it_says(outcome: Outcome) -> None:
    for sample in outcome.samples:
        assert all(math.isfinite(value) for value in sample.values), sample
        if sample.scenario in ("start", "shared", "exit", "exec"):
            assert len(sample.values) == sample.size == COUNT
            assert min(sample.values) > 0
        if sample.scenario == "wait":
            assert len(sample.values) == COUNT


def test_a_running_container_has_no_helper_process(outcome: Outcome) -> None:
    (sample,) = outcome.of("memory", "bireme")
    _, _, busy, idle = sample.values
    assert busy == idle == 2


def test_the_report_has_a_table_a_scenario_and_the_goals(results: Path, outcome: Outcome) -> None:
    text = (results / "report.md").read_text()
    for title in ("Goals", "Start", "Shared", "Run to exit", "Wait", "Memory", "Exec", "Logs", "Core"):
        assert f"\n## {title}" in text
    for system in OURS:
        assert f"\n| {system} | " in text
    assert f"| start, N = {COUNT}: rate / bound | ≥ 0.6 | 0." in text
    assert ratios.table(outcome) in text
    assert tables.start(outcome) in text


def test_every_plot_is_there_twice(results: Path) -> None:
    for name in ("throughput", "latency", "scale"):
        assert (results / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "</svg>" in (results / f"{name}.svg").read_text()[-20:]


def test_the_samples_are_plain_json(results: Path) -> None:
    found = json.loads((results / "samples.json").read_text())
    assert set(found) == {"host", "command", "plan", "systems", "versions", "samples", "skips"}
    assert found["host"]["kernel"].startswith("Linux ")


def test_nothing_is_left(results: Path) -> None:
    scratch = str(results / "tmp")
    assert os.listdir(scratch) == []
    assert list(with_argument(scratch)) == []
    assert scratch not in Path("/proc/self/mountinfo").read_text()


def test_the_script_prints_a_row_for_each_system() -> None:
    done = run(["bench/start.py", "--containers", "3", "--lives", "3", "--peers"])
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("bireme"))
    started, at_once, to_exit, slow = (float(text) for text in row.split()[1:5])
    assert started > 0
    assert at_once >= 1
    assert 0 < to_exit <= slow
