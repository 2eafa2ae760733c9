"""HTTP over a unix socket, as much of it as the client speaks: every way an answer can come, and not come."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.cli._client import Client, decode_stream, query_string, quote
from bireme.cli._errors import ApiError, CliError, Unreachable
from bireme.cli._http import Connection, connect
from bireme.cli._streams import STDERR, STDOUT, Frames, demultiplex
from tests.runtime.cli.fake_engine import FakeEngine, frame

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def answering(answer: bytes, *, cut: int = 1) -> Iterator[Connection]:
    """A connection whose other end has said ``answer`` in pieces of ``cut`` bytes and then hung up."""
    ours, theirs = socket.socketpair()
    connection = Connection(ours)

    def speak() -> None:
        with theirs:
            theirs.recv(1 << 16)
            for start in range(0, len(answer), cut):
                theirs.sendall(answer[start : start + cut])

    thread = threading.Thread(target=speak)
    thread.start()
    try:
        yield connection
    finally:
        connection.close()
        thread.join()


@pytest.mark.parametrize("cut", [1, 3, 1000])
@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nT: 1\r\n\r\n",
            b"hello",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    ],
)
def test_a_body_in_every_form(answer: bytes, body: bytes, cut: int) -> None:
    with answering(answer, cut=cut) as connection:
        response = connection.request("GET", "/x")
        assert response.read() == body
        assert response.finished


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
    ],
)
def test_an_answer_that_is_none_or_ends_early(answer: bytes) -> None:
    with answering(answer, cut=1000) as connection, pytest.raises(Unreachable):
        connection.request("GET", "/x").read()


def test_lines_come_as_soon_as_they_are_whole() -> None:
    with answering(b"HTTP/1.1 200 OK\r\n\r\none\ntwo\nrest") as connection:
        assert list(connection.request("GET", "/x").lines()) == [b"one", b"two", b"rest"]


def test_one_connection_serves_call_after_call(engine: FakeEngine) -> None:
    engine.on("GET /a", {"n": 1})
    engine.on("GET /b")
    made: list[socket.socket] = []

    def connecting() -> socket.socket:
        made.append(connect(str(engine.path)))
        return made[-1]

    client = Client(connecting)
    assert client.json("GET", "/a") == {"n": 1}
    assert client.json("GET", "/b") is None
    with pytest.raises(ApiError, match="nothing was laid down"):
        client.call("GET", "/c")
    assert client.json("GET", "/a") == {"n": 1}
    assert len(made) == 1
    client.close()


def test_an_engine_about_to_leave_is_asked_again_once(tmp_path: Path) -> None:
    """It closed the connection without having read the request: the next connection finds another engine."""
    path = str(tmp_path / "sock")
    with socket.socket(socket.AF_UNIX) as leaving:
        leaving.bind(path)
        leaving.listen()
        stale = connect(path)
    (tmp_path / "sock").unlink()
    with FakeEngine(tmp_path / "sock") as engine:
        engine.on("GET /a", {"n": 1})
        ways = iter([stale, connect(path)])
        client = Client(lambda: next(ways))
        assert client.json("GET", "/a") == {"n": 1}
        client.close()


def test_an_engine_that_goes_later_is_not_asked_again(engine: FakeEngine) -> None:
    engine.on("GET /a", {"n": 1})
    ours, theirs = socket.socketpair()
    ways = iter([connect(str(engine.path)), ours])
    client = Client(lambda: next(ways))
    client.call("GET", "/a")
    theirs.close()
    with pytest.raises(Unreachable, match="went away"):
        client.open("POST", "/b")
    client.close()


def test_a_path_too_long_for_an_address(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 100) / ("e" * 100)
    directory.mkdir(parents=True)
    short = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short))
        listener.listen()
        short.rename(directory / "bireme.sock")
        connect(str(directory / "bireme.sock")).close()
        with pytest.raises(FileNotFoundError):
            connect(str(directory / "other.sock"))


def test_an_upload_goes_in_chunks(engine: FakeEngine) -> None:
    engine.on("POST /images/load", body=b"{}\n")
    client = Client(lambda: connect(str(engine.path)))
    response = client.open("POST", "/images/load", upload=[b"a" * 70_000, b"", b"b"])
    assert response.read() == b"{}\n"
    assert engine.requests[0].body == b"a" * 70_000 + b"b"
    assert engine.requests[0].headers["content-type"] == "application/x-tar"


def early(answer: bytes, *, read_on: bool) -> tuple[Connection, threading.Thread]:
    """An engine that answers before it has taken the upload, and then reads it or not."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with theirs:
            theirs.recv(1 << 16)
            theirs.sendall(answer)
            while read_on and not theirs.recv(1 << 16).endswith(b"0\r\n\r\n"):
                pass

    thread = threading.Thread(target=serve)
    thread.start()
    return Connection(ours), thread


def test_an_upload_goes_on_while_the_answer_has_begun() -> None:
    connection, thread = early(b"HTTP/1.1 200 OK\r\n\r\n", read_on=True)
    taken: list[int] = []

    def pieces() -> Iterator[bytes]:
        for number in range(100):
            taken.append(number)
            yield bytes(1 << 16)

    assert connection.request("POST", "/x", upload=pieces()).read() == b""
    assert len(taken) == 100
    thread.join()
    connection.close()


def test_an_upload_is_cut_short_by_a_refusal() -> None:
    connection, thread = early(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", read_on=False)

    def pieces() -> Iterator[bytes]:
        for _ in range(1000):
            yield bytes(1 << 16)
        pytest.fail("all of it was sent")

    response = connection.request("POST", "/x", upload=pieces())
    assert (response.status, response.read()) == (404, b"no")
    thread.join()
    connection.close()


def test_queries_and_paths() -> None:
    assert query_string(None) == ""
    assert query_string({"a": True, "b": False, "c": None, "d": ["x", "y"], "e": {"k": ["v w"]}, "f": 0}) == (
        "?a=1&d=x&d=y&e=%7B%22k%22%3A%5B%22v%20w%22%5D%7D&f=0"
    )
    assert query_string({"path": "/a b/é:\udcff"}) == "?path=%2Fa%20b%2F%C3%A9%3A%FF"
    assert quote("host:5000/busy box?#") == "host:5000/busy%20box%3F%23"


def test_an_error_without_json_is_told_all_the_same(engine: FakeEngine) -> None:
    engine.on("GET /a", body=b"what?\n", status=500)
    engine.on("GET /b", body=b" ", status=502)
    engine.on("GET /c", body=b"not json")
    client = Client(lambda: connect(str(engine.path)))
    with pytest.raises(ApiError, match=r"Error response from daemon: what\?"):
        client.call("GET", "/a")
    with pytest.raises(ApiError, match="HTTP status 502 without a reason"):
        client.call("GET", "/b")
    with pytest.raises(Unreachable, match="not JSON"):
        client.json("GET", "/c")
    assert list(decode_stream([b'{"a":1}', b"", b"2"])) == [{"a": 1}, 2]
    client.close()


@given(st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(max_size=20))), st.integers(1, 9))
def test_frames_are_found_however_they_are_cut(frames: list[tuple[int, bytes]], cut: int) -> None:
    wire = b"".join(frame(stream, data) for stream, data in frames)
    found = {STDOUT: b"", STDERR: b""}
    for stream, data in demultiplex((wire[at : at + cut] for at in range(0, len(wire), cut)), raw=False):
        found[stream] += data
    assert found == {stream: b"".join(data for kind, data in frames if kind == stream) for stream in found}


def test_frames_that_are_none() -> None:
    with pytest.raises(Unreachable, match="garbled"):
        list(Frames().feed(b"plain text of a terminal"))
    with pytest.raises(CliError, match="Error response from daemon: it broke"):
        list(Frames().feed(frame(3, b"it broke\n")))
    cut = Frames()
    assert list(cut.feed(frame(1, b"abc")[:-1])) == [(1, b"ab")]
    with pytest.raises(Unreachable, match="middle of the output"):
        cut.end()
