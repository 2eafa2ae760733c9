"""Archives on their way, and the line that tells how far they are."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from bireme.cli._errors import CliError
from bireme.cli._images import show_progress, split_reference
from bireme.cli._transfer import Meter, deliver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.runtime.cli.fake_engine import CommandLine, FakeEngine


def test_a_file_is_sent_and_what_was_loaded_told(engine: FakeEngine, bireme: CommandLine, tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    archive.write_bytes(b"x" * 600_000)
    engine.on("POST /images/load", body=b'{"stream":"Loaded image: busybox:t2\\n"}\n')
    assert bireme("load", "-i", str(archive)) == (0, "Loaded image: busybox:t2\n", "")
    assert engine.requests[0].body == archive.read_bytes()
    engine.on("POST /images/load?quiet=1", body=b'{"stream":"Loaded image: b\\n"}\n')
    assert bireme("load", "-q", stdin=b"abc").out == "Loaded image: b\n"
    assert engine.requests[1].body == b"abc"


def test_an_error_in_the_middle_of_an_answer(engine: FakeEngine, bireme: CommandLine) -> None:
    engine.on("POST /images/load", body=b'{"status":"x"}\n{"errorDetail":{"message":"no tar"},"error":"no tar"}\n')
    ran = bireme("load", stdin=b"abc")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.endswith("Error response from daemon: no tar\n")


def test_import_prints_the_id(engine: FakeEngine, bireme: CommandLine) -> None:
    line = "POST /images/create?changes=CMD%20a&changes=ENV%20x%3Dy&fromSrc=-&message=m&repo=name&tag=1"
    engine.on(line, body=b'{"status":"Unpacking","progressDetail":{"current":1},"id":"l"}\n{"status":"sha256:abc"}\n')
    assert bireme("import", "-c", "CMD a", "--change", "ENV x=y", "-m", "m", "-", "name:1", stdin=b"t") == (
        0,
        "sha256:abc\n",
        "",
    )
    assert engine.requests[0].body == b"t"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["import", "https://x/y.tar", "n"], "cannot import https://x/y.tar: the engine fetches nothing"),
        (["import", "/nonexistent"], "open /nonexistent: no such file or directory"),
        (["load", "-i", "/nonexistent"], "open /nonexistent: no such file or directory"),
        (["load", "-i", "/"], "read /: is a directory"),
        (["save", "-o", "/nonexistent/x", "i"], 'failed to save image: invalid output path: directory "/nonexistent"'),
        (["export", "-o", "/", "c"], 'failed to export container: invalid output path: "/" is a directory'),
        (["export", "-o", "/dev/null", "c"], 'invalid output path: "/dev/null" must be a regular file'),
    ],
)
def test_what_cannot_be_read_or_written(
    engine: FakeEngine, bireme: CommandLine, words: list[str], complaint: str
) -> None:
    ran = bireme(*words)
    assert (ran.status, ran.out) == (1, "")
    assert complaint in ran.err


def test_an_archive_goes_to_a_file_or_out(engine: FakeEngine, bireme: CommandLine, tmp_path: Path) -> None:
    engine.on("GET /images/a/get", body=b"tar")
    engine.on("GET /images/get?names=a&names=b", body=b"both")
    engine.on("GET /containers/c/export", body=b"files")
    assert bireme("save", "a").out == "tar"
    assert bireme("save", "a", "b").out == "both"
    assert bireme("export", "-o", str(tmp_path / "out"), "c") == (0, "", "")
    assert (tmp_path / "out").read_bytes() == b"files"


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_bytes(b"old")

    def broken() -> Iterator[bytes]:
        yield b"new"
        raise CliError("the engine went away")

    with pytest.raises(CliError, match="went away"):
        deliver(broken(), str(target))
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out"]


def test_a_link_to_a_file_stays_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real")
    deliver([b"a", b"b"], str(tmp_path / "link"))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"ab"


def test_a_meter_speaks_after_a_second_and_then_ten_times_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    meter = Meter("Sending", 1000, shown=True, clock=lambda: now[0])
    said: list[str] = []
    for moment, count in ((0.5, 100), (0.99, 100), (1.0, 100), (1.05, 100), (1.2, 100)):
        now[0] = moment
        meter.add(count)
        said.append(capsys.readouterr().err)
    assert said == ["", "", "\rSending 300B/1kB (30%)", "", "\rSending 500B/1kB (50%)"]
    meter.end()
    assert capsys.readouterr().err == "\r" + " " * len("Sending 500B/1kB (50%)") + "\r"
    assert meter.total_text() == "500B"


def test_a_meter_that_is_not_shown_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    now = iter(range(100))
    assert list(Meter("Sending", shown=False, clock=lambda: next(now)).over([b"a", b"b"])) == [b"a", b"b"]
    assert capsys.readouterr().err == ""


def test_a_meter_clears_its_line_when_it_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    now = iter(range(100))
    pieces = Meter("Sending", shown=True, clock=lambda: next(now)).over([b"a", b"b", b"c"])
    assert next(pieces) == b"a"
    assert next(pieces) == b"b"
    assert next(pieces) == b"c"
    assert capsys.readouterr().err.endswith("\rSending 2B")
    pieces.close()
    assert capsys.readouterr().err == "\r          \r"


def test_a_stream_of_progress_off_a_terminal_shows_what_is_final(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        b'{"status":"Pulling from x","id":"latest"}',
        b'{"status":"Downloading","id":"l1","progressDetail":{"current":5,"total":10}}',
        b"[]",
        b'{"status":"Done","id":"l1"}',
    ]
    assert len(show_progress(lines, quiet=False)) == 3
    assert capsys.readouterr().err == "latest: Pulling from x\nl1: Done\n"
    show_progress(lines, quiet=True)
    assert capsys.readouterr().err == ""


def test_names_of_images() -> None:
    assert split_reference("busybox") == ("busybox", "")
    assert split_reference("busybox:1") == ("busybox", "1")
    assert split_reference("host:5000/b") == ("host:5000/b", "")
    assert split_reference("host:5000/b:t") == ("host:5000/b", "t")
    assert split_reference("b@sha256:12") == ("b", "sha256:12")


def test_on_a_terminal_a_step_is_rewritten_in_place(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    lines = [
        b'{"status":"Unpacking","id":"l1","progressDetail":{"current":5000,"total":10000}}',
        b'{"status":"Unpacking","id":"l1","progressDetail":{"current":10000}}',
        b'{"status":"sha256:abc"}',
    ]
    show_progress(lines, steps_only=True)
    first, second = "l1: Unpacking 5kB/10kB", "l1: Unpacking 10kB"
    up, down = "\x1b[1A\x1b[2K\r", "\r\x1b[1B"
    assert capsys.readouterr().err == f"\n{up}{first}{down}{up}{second}{down}"
