"""Framing, time stamps and detach keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme._keys import DEFAULT_KEYS, KeyWatch
from bireme.server.streams import Encoder, content_type, frame, parse_keys
from bireme_actors import InvalidConfig

MOMENT = 1_790_000_000_000_000_005
STAMP = b"2026-09-21T14:13:20.000000005Z "


def test_a_frame_is_stream_zeros_length_data() -> None:
    assert frame("stdout", b"hi\n") == b"\x01\x00\x00\x00\x00\x00\x00\x03hi\n"
    assert frame("stderr", b"x" * 300)[:8] == b"\x02\x00\x00\x00\x00\x00\x01\x2c"
    assert frame("stdout", b"") == b""


def test_a_terminal_is_raw() -> None:
    assert Encoder(tty=True).encode("stdout", 0, b"\x01\x02") == b"\x01\x02"


@given(st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.binary(max_size=40)), max_size=20))
def test_frames_can_be_taken_apart_again(pieces: list[tuple[str, bytes]]) -> None:
    encoder = Encoder(tty=False)
    wire = b"".join(encoder.encode(stream, 0, data) for stream, data in pieces)
    found = []
    while wire:
        size = int.from_bytes(wire[4:8], "big")
        found.append(({1: "stdout", 2: "stderr"}[wire[0]], wire[8 : 8 + size]))
        wire = wire[8 + size :]
    assert found == [piece for piece in pieces if piece[1]]


def test_every_line_is_stamped_once_however_it_is_cut() -> None:
    encoder = Encoder(tty=True, timestamps=True)
    out = b"".join(encoder.encode("stdout", MOMENT, data) for data in (b"a", b"b\nc", b"\n", b"\n"))
    assert out == STAMP + b"ab\n" + STAMP + b"c\n" + STAMP + b"\n"


def test_the_streams_are_stamped_apart() -> None:
    encoder = Encoder(tty=True, timestamps=True)
    out = [encoder.encode(stream, MOMENT, b"x") for stream in ("stdout", "stderr", "stdout")]
    assert out == [STAMP + b"x", STAMP + b"x", b"x"]


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_stamps_change_nothing_else(pieces: list[bytes]) -> None:
    encoder = Encoder(tty=True, timestamps=True)
    out = b"".join(encoder.encode("stdout", MOMENT, piece) for piece in pieces)
    assert b"\n".join(line.removeprefix(STAMP) for line in out.split(b"\n")) == b"".join(pieces)
    assert out.count(STAMP) == len([line for line in b"".join(pieces).splitlines(keepends=True) if line]) or any(
        char in b"".join(pieces) for char in (b"\r", b"\x0b", b"\x0c", b"\x1c", b"\x1d", b"\x1e", b"\x85")
    )


def test_content_types_by_version() -> None:
    assert content_type(tty=False, version=(1, 42)).endswith("multiplexed-stream")
    assert content_type(tty=False, version=(1, 41)).endswith("raw-stream")
    assert content_type(tty=True, version=(1, 49)).endswith("raw-stream")


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", DEFAULT_KEYS),
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("a", b"a"),
        ("ctrl-@,ctrl-[,x", b"\x00\x1bx"),
        ("ctrl-A", b"\x01"),
    ],
)
def test_keys(text: str, keys: bytes) -> None:
    assert parse_keys(text) == keys


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-1", "ab", "a,,b", "é"])
def test_bad_keys(text: str) -> None:
    with pytest.raises(InvalidConfig, match="detach keys"):
        parse_keys(text)


def test_keys_are_found_however_they_are_cut() -> None:
    watch = KeyWatch(b"\x10\x11")
    assert watch.feed(b"ab\x10") == (b"ab", False)
    assert watch.feed(b"\x11cd") == (b"", True)


def test_a_broken_sequence_is_sent_on() -> None:
    watch = KeyWatch(b"\x10\x11")
    assert watch.feed(b"\x10") == (b"", False)
    assert watch.feed(b"x") == (b"\x10x", False)
    assert watch.feed(b"\x10\x10\x11") == (b"\x10", True)


@given(st.lists(st.binary(max_size=6), max_size=8))
def test_without_the_keys_nothing_is_lost(typed: list[bytes]) -> None:
    watch = KeyWatch(b"\x10\x11")
    whole = b"".join(typed)
    out = b""
    for piece in typed:
        sent, detached = watch.feed(piece)
        out += sent
        if detached:
            assert whole.startswith(out + b"\x10\x11")
            return
    assert out in (whole, whole.removesuffix(b"\x10"))
