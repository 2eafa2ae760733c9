"""What figures are made of samples: by hand, on numbers that can be checked in one's head."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from bench import processes
from bench.__main__ import main
from bench.model import Outcome, Plan, Sample, Skip, smallest
from bench.peers import Session, shares
from bench.places import make_archive, make_layer
from bench.processes import Failed, call, descendants, proportional
from bench.report import figures, publish, ratios, tables
from bench.scenarios.start import measure as measure_start
from bench.scenarios.turns import turns


def outcome(*samples: Sample) -> Outcome:
    names = ("bound", "bireme", "crun", "docker")
    return Outcome(
        host={}, command="", plan=Plan(), versions=dict.fromkeys(names, "1"), systems=dict.fromkeys(names, ""),
        samples=list(samples),
    )  # fmt: skip


def started(system: str, times: list[float], number: int = 0) -> Sample:
    return Sample(scenario="start", system=system, case="running", size=len(times), round=number, values=times)


def evenly(count: int, each: float) -> list[float]:
    return [each * (index + 1) for index in range(count)]


@pytest.mark.parametrize(("percent", "expected"), [(50, 2.0), (90, 4.0), (99, 4.0), (25, 1.0), (100, 4.0)])
def test_a_percentile_is_one_of_the_values(percent: float, expected: float) -> None:
    assert figures.percentile([3.0, 1.0, 4.0, 2.0], percent) == expected


def test_a_rate_is_the_median_of_the_rounds() -> None:
    found = outcome(*(started("bireme", evenly(10, each), number) for number, each in enumerate((0.1, 0.2, 0.5))))
    assert figures.rate(found, "bireme", 10) == pytest.approx(5.0)
    assert figures.rate(found, "bireme", 20) is None


def test_the_marginal_cost_is_that_of_the_last_hundred_by_the_first() -> None:
    times = evenly(200, 0.01)
    last = [times[-1] + 0.03 * (index + 1) for index in range(100)]
    assert figures.marginal(outcome(started("bireme", times + last)), "bireme", 300) == pytest.approx(3.0)
    assert figures.marginal(outcome(started("bireme", evenly(150, 0.01))), "bireme", 150) is None


def test_one_slow_beginning_does_not_flatter_the_end() -> None:
    slow = [0.05 * (index + 1) for index in range(100)]
    large = slow + [slow[-1] + 0.03 * (index + 1) for index in range(200)]
    small = [started("bireme", evenly(100, 0.01), number) for number in range(2)]
    assert figures.marginal(outcome(started("bireme", large), *small), "bireme", 300) == pytest.approx(3.0)


def test_goals_compare_within_the_run() -> None:
    found = outcome(started("bireme", evenly(300, 0.004)), started("bound", evenly(300, 0.002)))
    text = ratios.table(found)
    assert "| start, N = 300: rate / bound | ≥ 0.6 | 0.5 | no |" in text
    assert "| start, N = 300: rate / docker | ≥ 25 | not measured | |" in text


def test_a_system_that_is_too_slow_for_a_size_is_compared_at_the_largest_that_it_has() -> None:
    ours = [started("bireme", evenly(count, each)) for count, each in ((300, 0.004), (100, 0.005), (30, 1.0))]
    found = outcome(*ours, started("docker", evenly(100, 0.2)), started("docker", evenly(30, 0.1)))
    assert "| start, N = 100: rate / docker | ≥ 25 | 40 | yes |" in ratios.table(found)
    found.host = dict.fromkeys(("processor", "kernel", "system", "python", "files", "load", "claim"), "x")
    assert "| docker (1) | 5 (of 100) |  |  |" in publish.summary(found)


def test_memory_is_what_running_adds_to_idling() -> None:
    values = [3000.0 * 1024, 1000.0 * 1024, 12.0, 2.0]
    sample = Sample(scenario="memory", system="docker", case="pss", size=10, unit="bytes", values=values)
    assert figures.memory(outcome(sample), "docker", 10) == (200 * 1024, 1.0)
    assert "| docker | 200 | 1 | 1.0 |" in tables.memory(outcome(sample))


def test_the_last_answer_counts() -> None:
    sample = Sample(scenario="wait", system="bireme", case="library", size=2, values=[0.001, 0.004])
    assert figures.last_answers(outcome(sample), "bireme", "library", 2) == [0.004]


def test_an_outcome_survives_its_file(tmp_path: Path) -> None:
    found = outcome(started("bireme", [0.5]))
    found.skips.append(Skip(scenario="start", system="docker", size=3, reason="none"))
    found.save(tmp_path / "samples.json")
    assert Outcome.load(tmp_path / "samples.json") == found


def test_figures_are_put_between_the_comments(tmp_path: Path) -> None:
    project, results = tmp_path / "project", tmp_path / "results"
    (project / "docs").mkdir(parents=True)
    results.mkdir()
    (results / "throughput.svg").write_text("<svg/>")
    for name in ("README.md", "docs/performance.md"):
        (project / name).write_text(f"before\n{publish.BEGIN}\nold\n{publish.END}\nafter\n")
    found = outcome(started("bireme", evenly(300, 0.004)), started("bound", evenly(300, 0.002)))
    found.host = dict.fromkeys(("processor", "kernel", "system", "python", "files", "load", "claim"), "x")
    publish.publish(found, results, project)
    text = (project / "README.md").read_text()
    assert text.startswith(f"before\n{publish.BEGIN}\n")
    assert text.endswith(f"{publish.END}\nafter\n")
    assert "| bireme (1) | 250 |  |  |" in text
    assert "old" not in text
    assert "### Goals" in (project / "docs/performance.md").read_text()
    assert (project / "docs/images/throughput.svg").exists()


def test_a_document_without_the_comments_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("nothing")
    found = outcome()
    found.host = dict.fromkeys(("processor", "kernel", "system", "python", "files", "load", "claim"), "x")
    with pytest.raises(ValueError, match="lacks the comments"):
        publish.publish(found, tmp_path, tmp_path)
    assert (tmp_path / "README.md").read_text() == "nothing"


def test_what_was_not_measured_is_told() -> None:
    found = outcome()
    found.skips.append(Skip(scenario="start", system="docker", size=3, reason="no\nsocket"))
    assert "- start, docker, 3: no socket" in tables.tail(found)
    assert tables.all_tables(found) == ""


def test_every_system_has_its_turn_and_the_first_changes() -> None:
    found = list(turns(["a", "b"], 3))
    assert found == [(0, "a"), (0, "b"), (1, "b"), (1, "a"), (2, "a"), (2, "b")]


def test_a_system_that_fails_stops_nobody() -> None:
    def fail(count: int, parallel: int) -> list[float]:
        raise Failed("out of order")

    sessions = {
        "bad": Session(version="1", parallels=(1,), start=fail),
        "good": Session(version="1", parallels=(1, 2), start=lambda count, parallel: evenly(count, 1 / parallel)),
    }
    found = list(measure_start(sessions, smallest(2)))
    skips = [item for item in found if isinstance(item, Skip)]
    samples = [item for item in found if isinstance(item, Sample)]
    assert [skip.reason for skip in skips] == ["out of order", "an earlier start failed: out of order"]
    assert [(sample.case, sample.parallel) for sample in samples] == [("probe", 1), ("probe", 2), ("running", 2)]


def test_a_failing_program_is_quoted() -> None:
    with pytest.raises(Failed, match="sh: it is broken"):
        call(["sh", "-c", "echo it is broken >&2; exit 3"])


def test_a_program_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "CALL_SECONDS", 0.1)
    with pytest.raises(Failed, match="sleep 1000: it did not end within"):
        call(["sleep", "1000"])


def test_who_is_started_from_several_threads_is_started_once() -> None:
    started: list[int] = []
    with ThreadPoolExecutor(3) as pool:
        times = shares.timed(pool, range(10), 3, started.append)
    assert sorted(started) == list(range(10))
    assert times == sorted(times)
    assert len(times) == 10


def test_after_a_failure_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    other_started, given_up = threading.Event(), threading.Event()

    def give_up(futures: Iterable[Future[object]]) -> None:
        given_up.set()
        wait(futures)

    def start(number: int) -> None:
        if number == 0:
            other_started.wait()
            raise Failed("no")
        started.append(number)
        other_started.set()
        given_up.wait()

    monkeypatch.setattr(shares, "wait", give_up)

    with ThreadPoolExecutor(2) as pool, pytest.raises(Failed):
        shares.timed(pool, range(10), 2, start)
    assert started == [1]


def test_the_better_of_two_probes_counts() -> None:
    seconds = {1: iter([9.0, 1.0, 1.0]), 2: iter([2.0, 2.0])}
    session = Session(version="1", parallels=(1, 2), start=lambda count, parallel: [next(seconds[parallel])])
    plan = dataclasses.replace(smallest(1), probes=2)
    found = [item for item in measure_start({"it": session}, plan) if isinstance(item, Sample)]
    assert [(sample.case, sample.parallel) for sample in found[-2:]] == [("probe", 2), ("running", 1)]
    assert len(found) == 5


def test_memory_of_a_process_can_be_read() -> None:
    import os

    assert os.getpid() in descendants(os.getpid())
    assert proportional(os.getpid()) > 1 << 20
    assert proportional(2**22 + 1) == 0


def test_the_image_is_the_same_for_all(tmp_path: Path) -> None:
    import tarfile

    layer = make_layer(tmp_path / "layer")
    with tarfile.open(make_archive(layer, tmp_path / "image.tar")) as tar:
        names = tar.getnames()
    assert {"bin/busybox", "bin/true", "data", "etc/hosts"} <= set(names)


@pytest.mark.parametrize("arguments", [["--only", "sleep"], ["--systems", "lxd"]])
def test_unknown_names_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert "known: " in capsys.readouterr().err
