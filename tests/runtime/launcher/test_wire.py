"""Messages between engine and launcher, the launcher's loop and its end of the connection."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.launcher import _protocol
from bireme.launcher._link import Link
from bireme.launcher._loop import READABLE, WRITABLE, Loop
from bireme.launcher.requests import Message

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with left, right:
        yield left, right


def open_count() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text().filter(lambda key: key != "spill"), JSON, max_size=5))
def test_any_message_arrives_as_it_was(message: Message) -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with left, right:
        _protocol.send(left, message)
        assert _protocol.receive(right) == (message, [])


@pytest.mark.parametrize("length", [1, _protocol.LONGEST, 5_000_000])
def test_length_does_not_matter(pair: Pair, length: int) -> None:
    left, right = pair
    before = open_count()
    _protocol.send(left, {"text": "x" * length})
    assert _protocol.receive(right) == ({"text": "x" * length}, [])
    assert open_count() == before


@pytest.mark.parametrize("padding", ["", "x" * 100_000])
def test_descriptors_travel_beside(pair: Pair, padding: str) -> None:
    left, right = pair
    reading, writing = os.pipe()
    _protocol.send(left, {"padding": padding}, (reading, writing))
    message, [first, second] = _protocol.receive(right)
    assert message == {"padding": padding}
    os.write(second, b"through")
    assert os.read(first, 99) == b"through"
    assert not os.get_inheritable(first)
    for fd in (reading, writing, first, second):
        os.close(fd)


def test_a_name_that_is_not_utf_8_arrives(pair: Pair) -> None:
    left, right = pair
    name = os.fsdecode(b"latin-\xe9")
    _protocol.send(left, {"name": name})
    assert _protocol.receive(right)[0] == {"name": name}


def test_the_end_is_told_apart_from_nothing_yet(pair: Pair) -> None:
    left, right = pair
    right.setblocking(False)
    with pytest.raises(BlockingIOError):
        _protocol.receive(right)
    _protocol.send(left, {"last": True})
    left.close()
    assert _protocol.receive(right)[0] == {"last": True}
    with pytest.raises(_protocol.Disconnected):
        _protocol.receive(right)
    with pytest.raises(_protocol.Disconnected):
        _protocol.send(right, {})


def test_an_address_of_any_length(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("deep") / ("x" * 120)
    directory.mkdir()
    before = open_count()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        with _protocol.Address(str(directory / "socket")) as address:
            listener.bind(address)
        listener.listen()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with sock, _protocol.Address(str(directory / "socket")) as address:
            sock.connect(address)
    assert open_count() == before


# The loop


def pipe_with_byte() -> tuple[int, int]:
    reading, writing = os.pipe()
    os.write(writing, b"x")
    return reading, writing


def test_the_loop_calls_back_as_long_as_there_is_something() -> None:
    loop = Loop()
    reading, writing = os.pipe()
    os.write(writing, b"xyz")
    seen: list[bytes] = []

    def read() -> None:
        seen.append(os.read(reading, 1))
        if len(seen) == 3:
            loop.stop()

    loop.watch(reading, read)
    loop.run()
    assert seen == [b"x", b"y", b"z"]
    os.close(reading)
    os.close(writing)


def test_a_number_that_has_a_new_owner_is_not_called_for_the_old_one() -> None:
    """Two descriptors are ready; the first callback closes the other and opens a quiet file at its number."""
    loop = Loop()
    ends = [pipe_with_byte(), pipe_with_byte()]
    quiet, quiet_end = os.pipe()
    called: list[str] = []

    def replace(own: int, other: int) -> None:
        called.append("old")
        loop.forget(own)
        loop.forget(other)
        os.dup2(quiet, other)
        loop.watch(other, lambda: called.append("new"))
        loop.call_later(0.0, loop.stop)

    (one, _), (two, _) = ends
    loop.watch(one, lambda: replace(one, two))
    loop.watch(two, lambda: replace(two, one))
    loop.run()
    assert called == ["old"]
    for fd in (*ends[0], *ends[1], quiet, quiet_end):
        os.close(fd)


def test_forgetting_stops_the_calls() -> None:
    loop = Loop()
    reading, writing = pipe_with_byte()
    loop.watch(reading, lambda: loop.forget(reading))
    loop.call_later(0.01, loop.stop)
    loop.run()
    loop.forget(reading)  # once more is no harm
    os.close(reading)
    os.close(writing)


def test_timers_are_kept_apart_and_of_one_the_latest_counts() -> None:
    loop = Loop()
    called: list[str] = []

    def often() -> None:
        called.append("often")

    def last() -> None:
        called.append("last")
        loop.stop()

    loop.call_later(0.0, often)
    loop.call_later(0.01, often)
    loop.call_later(0.03, last)
    loop.run()
    assert called == ["often", "last"]


def test_a_timer_may_set_itself_again() -> None:
    loop = Loop()
    left = [3]

    def again() -> None:
        left[0] -= 1
        if left[0]:
            loop.call_later(0.0, again)
        else:
            loop.stop()

    loop.call_later(0.0, again)
    loop.run()
    assert left == [0]


def test_events_can_be_changed() -> None:
    loop = Loop()
    left, right = socket.socketpair()
    with left, right:
        loop.watch(left.fileno(), loop.stop, READABLE)
        loop.rewatch(left.fileno(), READABLE | WRITABLE)
        loop.run()


# The launcher's end of the connection


class Heard:
    """A link that takes down what it hears."""

    def __init__(self, sock: socket.socket) -> None:
        self.loop = Loop()
        self.messages: list[Message] = []
        self.ended = 0
        self.link = Link(sock, self.loop, self._message, self._end)

    def _message(self, message: Message, descriptors: list[int]) -> None:
        self.messages.append(message)
        for fd in descriptors:
            os.close(fd)
        if message.get("stop"):
            self.loop.stop()

    def _end(self) -> None:
        self.ended += 1
        self.loop.stop()


def test_a_link_hears_in_order_and_tells_the_end_once(pair: Pair) -> None:
    left, right = pair
    heard = Heard(left)
    for number in range(100):
        _protocol.send(right, {"number": number})
    right.close()
    heard.loop.run()
    assert [message["number"] for message in heard.messages] == list(range(100))
    assert heard.ended == 1
    heard.link.send({"lost": True})
    heard.link.close()


def test_a_link_never_waits_for_its_reader(pair: Pair) -> None:
    """What does not fit is kept, descriptors with it, and sent in order once there is room."""
    left, right = pair
    before = open_count()
    heard = Heard(left)
    reading, writing = os.pipe()
    for number in range(600):
        heard.link.send({"number": number, "padding": "x" * 2000}, (reading,))
    os.close(reading)
    os.close(writing)
    received: list[int] = []
    right.setblocking(False)

    def drain() -> None:
        message, descriptors = _protocol.receive(right)
        received.append(message["number"])
        for fd in descriptors:
            os.close(fd)
        if len(received) == 600:
            heard.loop.stop()

    heard.loop.watch(right.fileno(), drain)
    heard.loop.run()
    assert received == list(range(600))
    assert open_count() == before + 1  # the loop's own
    heard.link.close()


def test_hanging_up_closes_what_waits(pair: Pair) -> None:
    left, right = pair
    before = open_count()
    heard = Heard(left)
    for _ in range(600):
        heard.link.send({"padding": "x" * 2000}, (right.fileno(),))
    heard.link.close()
    heard.link.close()
    assert open_count() == before  # the loop's own has come, the link's socket has gone
