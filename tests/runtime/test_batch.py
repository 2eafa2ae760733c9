"""File operations in one go: what they leave is what each by itself leaves, where they succeed and where one fails."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bireme import _batch
from bireme._batch import Batch

WAYS = ("at once", "one by one")
FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC


@pytest.fixture(params=WAYS)
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "one by one":
        monkeypatch.setattr(_batch, "_machine", None)
    elif _batch._machine is None:
        pytest.skip("lists of system calls are for x86-64 only")
    return str(tmp_path)


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> Iterator[None]:
    before = os.listdir("/proc/self/fd")
    yield
    assert os.listdir("/proc/self/fd") == before


def sample(place: str) -> Batch:
    batch = Batch()
    batch.mkdir(f"{place}/beside", 0o700)
    batch.rename(f"{place}/beside", f"{place}/made")
    batch.write(f"{place}/made/näme\udcff", b"one\0two\n", 0o644)
    batch.write(f"{place}/made/empty", b"", 0o600)
    batch.write_open(f"{place}/made/open", b"x" * 5000, 0o600, FLAGS)
    batch.mkdir(f"{place}/made/inner", 0o755)
    return batch


def close(descriptors: list[int]) -> None:
    for fd in descriptors:
        os.close(fd)


def test_all_of_it_is_done_in_order(place: str) -> None:
    (fd,) = sample(place).run()
    assert os.readlink(f"/proc/self/fd/{fd}") == f"{place}/made/open"
    assert not os.get_inheritable(fd)
    os.close(fd)
    assert sorted(os.listdir(f"{place}/made")) == sorted(["näme\udcff", "empty", "open", "inner"])
    assert Path(f"{place}/made/näme\udcff").read_bytes() == b"one\0two\n"
    assert Path(f"{place}/made/empty").read_bytes() == b""
    assert Path(f"{place}/made/open").read_bytes() == b"x" * 5000
    modes = [os.stat(f"{place}/made/{name}").st_mode & 0o777 for name in (".", "näme\udcff", "open", "inner")]
    assert modes == [0o700, 0o644, 0o600, 0o755]


@pytest.mark.parametrize(
    ("spoil", "path", "error", "left"),
    [
        (lambda place: os.mkdir(f"{place}/beside"), "beside", FileExistsError, ["beside"]),
        (lambda place: os.makedirs(f"{place}/made/x"), "beside", OSError, ["beside", "made"]),
    ],
)
def test_the_first_failure_ends_it_and_names_the_path(
    place: str, spoil: Callable[[str], None], path: str, error: type[OSError], left: list[str]
) -> None:
    spoil(place)
    with pytest.raises(error) as caught:
        sample(place).run()
    assert caught.value.filename == f"{place}/{path}"
    assert sorted(os.listdir(place)) == left


def test_a_file_that_is_there_is_left_alone_and_nothing_stays_open(place: str) -> None:
    Path(f"{place}/there").write_bytes(b"before")
    batch = Batch()
    batch.write_open(f"{place}/first", b"1", 0o600, FLAGS)
    batch.write(f"{place}/there", b"after", 0o600)
    batch.mkdir(f"{place}/never", 0o700)
    with pytest.raises(FileExistsError) as caught:
        batch.run()
    assert caught.value.filename == f"{place}/there"
    assert Path(f"{place}/there").read_bytes() == b"before"
    assert sorted(os.listdir(place)) == ["first", "there"]


def test_a_path_with_a_nul_is_refused(place: str) -> None:
    batch = Batch()
    batch.mkdir(f"{place}/a\0b", 0o700)
    with pytest.raises(ValueError, match="embedded null byte"):
        batch.run()
    assert os.listdir(place) == []


@pytest.mark.parametrize("size", [1 << 16, 1 << 20])
def test_what_is_too_large_for_one_go_is_done_all_the_same(place: str, size: int) -> None:
    batch = Batch()
    batch.write(f"{place}/large", b"x" * size, 0o600)
    for number in range(100):
        batch.mkdir(f"{place}/{number}", 0o700)
    assert batch.run() == []
    assert os.stat(f"{place}/large").st_size == size
    assert len(os.listdir(place)) == 101


def test_a_batch_of_nothing(place: str) -> None:
    assert Batch().run() == []


PROGRAM = """
import os, resource, signal, sys
sys.path.insert(0, sys.argv[1])
from bireme import _batch
if sys.argv[3] == "one by one":
    _batch._machine = None
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
batch = _batch.Batch()
batch.{how}
batch.mkdir(sys.argv[2] + "/never", 0o700)
before = os.listdir("/proc/self/fd")
try:
    batch.run()
except OSError as error:
    print(type(error).__name__, error.filename, os.listdir("/proc/self/fd") == before)
"""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("how", ["write(path, b'x' * 2000, 0o600)", "write_open(path, b'x' * 2000, 0o600, FLAGS)"])
def test_a_file_of_which_only_a_part_can_be_written_is_a_failure(tmp_path: Path, way: str, how: str) -> None:
    program = PROGRAM.replace("{how}", how.replace("path", "sys.argv[2] + '/large'").replace("FLAGS", str(FLAGS)))
    source = str(Path(_batch.__file__).parents[1])
    command = [sys.executable, "-I", "-S", "-c", program, source, str(tmp_path), way]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.stderr == ""
    kind, *rest = done.stdout.split()
    assert kind == "OSError"
    assert rest[-1] == "True"
    assert os.stat(tmp_path / "large").st_size == 1000


def test_several_threads_do_theirs_at_once(tmp_path: Path) -> None:
    def work(thread: int) -> None:
        for number in range(200):
            os.mkdir(f"{tmp_path}/{thread}.{number}")
            close(sample(f"{tmp_path}/{thread}.{number}").run())

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(work, range(4))) == [None] * 4
    assert len(os.listdir(tmp_path)) == 800


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="lists of system calls are for x86-64 only")
def test_this_machine_does_it_at_once() -> None:
    assert _batch._machine is not None
