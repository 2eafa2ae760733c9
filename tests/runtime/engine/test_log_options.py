"""The options of a container's log: what they mean, and that the log keeps to them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bireme.engine import open_runtime
from bireme.engine._log_options import read_log_options
from bireme.storage import LogOptions, Rotation
from bireme_actors import InvalidConfig


def kept(kind: str = "json-file", **options: str) -> dict[str, object]:
    config = {name.replace("_", "-"): value for name, value in options.items()}
    return {"HostConfig": {"LogConfig": {"Type": kind, "Config": config}}}


@pytest.mark.parametrize(
    ("extra", "rotation"),
    [
        ({}, None),
        (kept(), None),
        (kept(max_file="3"), None),
        (kept(max_size="-1"), None),
        (kept(max_size="10m"), Rotation(10_000_000, 1)),
        (kept(max_size="1.5kB", max_file="3"), Rotation(1500, 3)),
        (kept("local"), Rotation(20_000_000, 5)),
        (kept("local", max_size="100"), Rotation(100, 5)),
    ],
)
def test_what_they_mean(extra: dict[str, object], rotation: Rotation | None) -> None:
    assert read_log_options(extra) == LogOptions(rotation=rotation)


def test_without_a_driver_nothing_is_kept() -> None:
    assert read_log_options(kept("none", max_size="10m", nosuch="1")) == LogOptions(kept=False)


@pytest.mark.parametrize(
    ("extra", "word"),
    [
        (kept(max_size="much"), "max-size"),
        (kept(max_size="0"), "max-size"),
        (kept(max_file="0"), "max-file"),
        (kept(max_file="many"), "max-file"),
        (kept(max_file="1000"), "max-file"),
        (kept(nosuch="1"), "unknown log opt 'nosuch'"),
        (kept("syslog"), "no log driver named 'syslog'"),
        (kept("None"), "no log driver named 'None'"),
    ],
)
def test_what_they_cannot_be(extra: dict[str, object], word: str) -> None:
    with pytest.raises(InvalidConfig, match=word):
        read_log_options(extra)


@pytest.mark.root
async def test_a_log_keeps_to_its_size_and_shows_its_end(tmp_path: Path) -> None:
    async with open_runtime(root=tmp_path / "root", run_dir=tmp_path / "run") as runtime:
        container = await runtime.create("busybox", ["seq", "1", "100000"], extra=kept(max_size="50k", max_file="2"))
        await container.start()
        await container.wait()
        text = b"".join([entry.data async for entry in container.logs()]).decode()
        assert text.endswith("\n100000\n")
        last = b"".join([entry.data async for entry in container.logs(tail=2)]).decode()
        assert last == "99999\n100000\n"
        directory = os.path.dirname(str(container.inspect()["LogPath"]))
        files = {name for name in os.listdir(directory) if name.startswith("log.jsonl")}
        assert files == {"log.jsonl", "log.jsonl.1"}
        assert len(text) < 300_000, "more is there than two files and the pieces that filled them"
