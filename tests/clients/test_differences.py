"""The tables of ``docs/clients.md``, and how they are held against what happens."""

from __future__ import annotations

from pathlib import Path

from tests.clients.__main__ import MISSING, OUT_OF_SCOPE, WANTED, read_baseline
from tests.clients._differences import DOCUMENT, Row, complaints, fits, read_rows
from tests.clients._outcomes import read_report

REPORT = """<testsuites><testsuite>
<testcase classname="tests.integration.api_exec_test.ExecTest" name="test_a"/>
<testcase classname="tests.integration.api_exec_test.ExecTest" name="test_b"><failure message="x"/></testcase>
<testcase classname="core.tests.test_image" name="test_c[1-2]"><skipped/></testcase>
<testcase classname="core.tests.test_image" name="test_d"/>
<testcase classname="core.tests.test_image" name="test_d"><error message="at the end"/></testcase>
</testsuite></testsuites>"""


def test_a_report_tells_tests_by_file_class_and_name(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    assert read_report(report) == {
        "api_exec_test.py::ExecTest::test_a": "passed",
        "api_exec_test.py::ExecTest::test_b": "failed",
        "test_image.py::test_c[1-2]": "skipped",
        "test_image.py::test_d": "failed",
    }


def test_only_the_asterisk_is_special() -> None:
    assert fits("a.py::test_[1-2]*", "a.py::test_[1-2]-x")
    assert fits("*", "anything")
    assert not fits("a.py::test", "a.py::test_more")
    assert not fits("a.py::test_[1-2]", "a.py::test_1")


def test_rows_are_read_below_their_heading() -> None:
    text = "# one\n| tests | why |\n| --- | --- |\n| `a`, `b*` | no |\n## two\n| `c` | never |\n"
    assert read_rows(text, "one") == [Row("one", ("a", "b*"), "no")]
    assert read_rows(text, "one", "two")[1] == Row("two", ("c",), "never")


def test_what_is_told_and_what_happens_are_held_against_each_other() -> None:
    rows = [Row("", ("a*", "gone"), "no")]
    assert complaints({"a1": "failed", "b": "failed", "a2": "passed", "c": "skipped"}, rows) == [
        "fails, and stands in no table: b",
        "passes, and stands in a table: a2",
        "stands in a table, and there is no such failure: gone",
    ]


def test_the_tables_are_of_what_passes_on_docker_and_leave_enough() -> None:
    baseline, text = read_baseline(), DOCUMENT.read_text()
    outside, missing = read_rows(text, OUT_OF_SCOPE), read_rows(text, MISSING)
    for row in (*outside, *missing):
        for pattern in row.patterns:
            assert any(fits(pattern, test) for test in baseline), pattern
    scope = [test for test in baseline if not any(row.has(test) for row in outside)]
    passing = [test for test in scope if not any(row.has(test) for row in missing)]
    assert 100 * len(passing) >= WANTED * len(scope)
    assert len(baseline) == 226
