"""Containers and images as Docker lists them."""

from __future__ import annotations

import pytest

from bireme.images import Image
from bireme.images.model import HistoryEntry, ImageConfig
from bireme.server.filters import Filters
from bireme.server.handlers.events import document as event_document
from bireme.server.handlers.events import fits
from bireme.server.handlers.files import go_mode, stat_header
from bireme.server.handlers.images import document, history_document, summary
from bireme.server.handlers.listing import command_text, status_text
from bireme.server.handlers.transfer import error_document
from bireme.server.handlers.volumes import document as volume_document
from bireme.server.times import SECOND
from bireme_actors import Conflict, ContainerId, ContainerState, Event, Status, VolumeId, VolumeView

NOW = 1_790_000_000 * SECOND


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (ContainerState(), "Created"),
        (ContainerState(status=Status.STARTING), "Created"),
        (ContainerState(status=Status.RUNNING, started=NOW - 3 * SECOND), "Up 3 seconds"),
        (ContainerState(status=Status.STOPPING, started=NOW - 3 * SECOND), "Up 3 seconds"),
        (ContainerState(status=Status.PAUSED, started=NOW - SECOND), "Up 1 second (Paused)"),
        (ContainerState(status=Status.EXITED, finished=NOW - 120 * SECOND), "Exited (0) 2 minutes ago"),
        (
            ContainerState(status=Status.EXITED, exit_code=137, finished=NOW - 7200 * SECOND),
            "Exited (137) 2 hours ago",
        ),
        (
            ContainerState(status=Status.RESTARTING, exit_code=1, finished=NOW),
            "Restarting (1) Less than a second ago",
        ),
        (ContainerState(status=Status.REMOVING, finished=NOW), "Removal In Progress"),
        (ContainerState(status=Status.DEAD), "Dead"),
    ],
)
def test_status_texts(state: ContainerState, text: str) -> None:
    assert status_text(state, NOW) == text


def test_commands_on_one_line() -> None:
    assert command_text(("sh", "-c", "echo hi", "x")) == "sh -c 'echo hi' x"
    assert command_text(()) == ""


IMAGE = Image(
    id="sha256:" + "a" * 64,
    config=ImageConfig(env=("A=b",), cmd=("sh",), volumes=("/vol",), labels={"l": "m"}, exposed_ports=("80/tcp",)),
    layers=("l1",),
    diff_ids=("sha256:" + "b" * 64,),
    references=("busybox:latest",),
    created=NOW,
    size=5,
    architecture="amd64",
    history=(HistoryEntry(created=0, created_by="first"), HistoryEntry(created=NOW, created_by="last", size=5)),
)


def test_an_image_on_the_list() -> None:
    found = summary(IMAGE, (1, 49))
    assert found["Id"] == IMAGE.id
    assert found["RepoTags"] == ["busybox:latest"]
    assert (found["Created"], found["Size"], found["Labels"]) == (1_790_000_000, 5, {"l": "m"})
    assert "VirtualSize" not in found
    assert summary(IMAGE, (1, 41))["VirtualSize"] == 5


def test_an_image_looked_at() -> None:
    found = document(IMAGE, (1, 49))
    assert found["Created"] == "2026-09-21T14:13:20Z"
    assert found["RootFS"] == {"Type": "layers", "Layers": list(IMAGE.diff_ids)}
    config = found["Config"]
    assert config["Volumes"] == {"/vol": {}}
    assert (config["Cmd"], config["Entrypoint"], config["Env"]) == (["sh"], None, ["A=b"])
    assert config["ExposedPorts"] == {"80/tcp": {}}


def test_history_is_the_newest_first_and_only_that_has_names() -> None:
    newest, oldest = history_document(IMAGE)
    assert (newest["CreatedBy"], newest["Id"], newest["Tags"]) == ("last", IMAGE.id, ["busybox:latest"])
    assert (oldest["CreatedBy"], oldest["Id"], oldest["Tags"]) == ("first", "<missing>", None)


def test_a_volume_tells_who_holds_it_and_since_when_nobody_does() -> None:
    held = VolumeView(id=VolumeId("f" * 64), path="/r/volumes/f", created=NOW, holders=(ContainerId("c" * 64),))
    assert volume_document(held)["Status"] == {"Holders": ["c" * 64], "UnheldSince": "0001-01-01T00:00:00Z"}
    assert "UsageData" not in volume_document(held)
    assert volume_document(held, 12)["UsageData"] == {"Size": 12, "RefCount": 1}
    left = VolumeView(id=VolumeId("f" * 64), path="/r", created=NOW, unheld_since=NOW)
    assert volume_document(left)["Status"]["UnheldSince"] == "2026-09-21T14:13:20Z"


EVENT = Event(
    kind="container",
    action="die",
    id="c" * 64,
    time=NOW + 5,
    attributes={"image": "busybox", "name": "web", "exitCode": "3", "tier": "front"},
)


def test_an_event_has_both_halves() -> None:
    found = event_document(EVENT)
    assert (found["status"], found["id"], found["from"]) == ("die", "c" * 64, "busybox")
    assert (found["Type"], found["Action"], found["Actor"]["ID"]) == ("container", "die", "c" * 64)
    assert (found["time"], found["timeNano"]) == (1_790_000_000, NOW + 5)
    volume = event_document(Event(kind="volume", action="create", id="f" * 64, time=NOW))
    assert "status" not in volume


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("event", "die", True),
        ("event", "start", False),
        ("type", "container", True),
        ("type", "volume", False),
        ("container", "web", True),
        ("container", "cccc", True),
        ("container", "other", False),
        ("image", "busybox", True),
        ("image", "busybox:latest", True),
        ("image", "alpine", False),
        ("label", "tier=front", True),
        ("label", "tier=back", False),
        ("volume", "cccc", False),
        ("network", "none", False),
        ("scope", "local", True),
    ],
)
def test_filtered_events(name: str, value: str, expected: bool) -> None:
    assert fits(EVENT, Filters({name: (value,)})) is expected


def test_an_exec_event_is_found_by_its_verb() -> None:
    event = Event(kind="container", action="exec_create: ls /", id="c", time=NOW)
    assert fits(event, Filters({"event": ("exec_create",)}))


@pytest.mark.parametrize(
    ("mode", "go"),
    [
        (0o100644, 0o644),
        (0o040755, (1 << 31) | 0o755),
        (0o120777, (1 << 27) | 0o777),
        (0o104755, (1 << 23) | 0o755),
        (0o041777, (1 << 31) | (1 << 20) | 0o777),
        (0o020666, (1 << 26) | (1 << 21) | 0o666),
    ],
)
def test_modes_in_gos_bits(mode: int, go: int) -> None:
    assert go_mode(mode) == go


def test_the_stat_header_holds_any_name() -> None:
    import base64
    import json

    facts = {"name": "a\udcff", "size": 3, "mode": 0o100644, "mtime": NOW, "linkTarget": ""}
    name, value = stat_header(facts)
    assert name == "X-Docker-Container-Path-Stat"
    assert json.loads(base64.b64decode(value)) == {
        "name": "a?",
        "size": 3,
        "mode": 0o644,
        "mtime": "2026-09-21T14:13:20Z",
        "linkTarget": "",
    }


def test_an_error_in_a_stream() -> None:
    assert error_document(Conflict("no")) == {"errorDetail": {"code": 409, "message": "no"}, "error": "no"}
