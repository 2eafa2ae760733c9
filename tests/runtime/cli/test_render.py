"""What lists look like."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bireme.cli._errors import CliError
from bireme.cli._render import units
from bireme.cli._render.containers import TABLE, container_row, titles
from bireme.cli._render.df import usage_rows
from bireme.cli._render.events import event_line
from bireme.cli._render.images import image_rows
from bireme.cli._render.listing import Row, render, render_each
from bireme.cli._render.stats import cpu_share, stats_row
from bireme.cli._render.structure import structured
from bireme.cli._render.volumes import volume_row

ID = "4a3162e06825" + "ab" * 26
NOW = 1_700_000_000.0
CONTAINER: dict[str, Any] = {
    "Id": ID,
    "Names": ["/web"],
    "Image": "busybox",
    "Command": "sh -c 'echo \"hello\" > /data/x; sleep 100'",
    "Created": NOW - 180,
    "Ports": [],
    "Labels": {"a": "b", "com.my-label": "d"},
    "State": "running",
    "Status": "Up 3 minutes",
    "NetworkSettings": {"Networks": {"none": {}}},
    "Mounts": [{"Type": "volume", "Name": "fedc" * 16, "Destination": "/data", "RW": True}],
    "SizeRw": 1234567,
    "SizeRootFs": 7654321,
}


@pytest.fixture(autouse=True)
def greenwich(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def test_a_table_of_containers() -> None:
    row = container_row(CONTAINER, now=NOW)
    assert render("", TABLE, titles(), [row]) == (
        "CONTAINER ID   IMAGE     COMMAND                    CREATED         STATUS         PORTS     NAMES\n"
        '4a3162e06825   busybox   "sh -c \'echo \\"hello\\"…"   3 minutes ago   Up 3 minutes             web\n'
    )


def test_whole_ids_and_commands() -> None:
    row = container_row(CONTAINER, now=NOW, whole=True)
    assert row["ID"] == ID
    assert row["Mounts"] == "fedc" * 16
    assert row["Command"].endswith("sleep 100'\"")


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("{{.ID}}: {{.Names}}", "4a3162e06825: web\n"),
        ('table {{.Names}}\\t{{.Label "com.my-label"}}', "NAMES     my label\nweb       d\n"),
        ("table {{upper .Names}}\\t{{.Size}}", "NAMES     SIZE\nWEB       1.23MB (virtual 7.65MB)\n"),
        ("{{.Labels}}\\n{{.LocalVolumes}}", "a=b,com.my-label=d\n1\n"),
    ],
)
def test_templates_of_containers(form: str, text: str) -> None:
    assert render(form, TABLE, titles(), [container_row(CONTAINER, now=NOW)]) == text


def test_a_container_as_json() -> None:
    fields = json.loads(render("json", TABLE, titles(), [container_row(CONTAINER, now=NOW)]))
    assert list(fields) == sorted(fields)
    assert "Label" not in fields
    assert fields["State"] == "running"


def test_a_field_that_is_none_and_a_template_that_is_none() -> None:
    with pytest.raises(CliError, match=r"failed to execute template: .*can't evaluate field Foo"):
        render("{{.Foo}}", TABLE, titles(), [Row(ID="x")])
    with pytest.raises(CliError, match=r"failed to parse template: .*unclosed action"):
        render("{{.Foo", TABLE, titles(), [])
    with pytest.raises(CliError, match=r"template parsing error: .*not defined") as caught:
        list(render_each("{{foo}}", []))
    assert caught.value.status == 64


def test_an_image_has_a_row_for_each_name() -> None:
    item = {
        "Id": "sha256:" + "1" * 64,
        "RepoTags": ["busybox:latest", "host:5000/busybox:1"],
        "RepoDigests": ["busybox@sha256:" + "2" * 64],
        "Created": NOW - 7200,
        "Size": 1985569,
    }
    rows = list(image_rows(item, now=NOW))
    assert [(row["Repository"], row["Tag"]) for row in rows] == [("busybox", "latest"), ("host:5000/busybox", "1")]
    assert rows[0]["Digest"].startswith("sha256:2")
    assert rows[1]["Digest"] == "<none>"
    assert rows[0]["ID"] == "1" * 12
    assert (rows[0]["Size"], rows[0]["CreatedSince"]) == ("1.99MB", "2 hours ago")
    (nameless,) = image_rows({**item, "RepoTags": ["<none>:<none>"], "RepoDigests": None}, now=NOW)
    assert (nameless["Repository"], nameless["Tag"]) == ("<none>", "<none>")


def test_a_volume_tells_its_holders_and_since_when_it_has_none() -> None:
    item = {"Name": "v", "Driver": "local", "UsageData": {"Size": 2048, "RefCount": 1}, "Status": {"Holders": [ID]}}
    held = volume_row(item, now=NOW)
    assert (held["Holders"], held["UnheldSince"], held["Size"]) == ("4a3162e06825", "-", "2.048kB")
    free = volume_row({"Name": "v", "Status": {"UnheldSince": "2023-11-14T20:13:20Z"}}, now=NOW)
    assert (free["Holders"], free["UnheldSince"], free["Size"]) == ("nobody", "2 hours ago", "N/A")


def test_an_event_in_a_line() -> None:
    actor = {"ID": ID, "Attributes": {"name": "x", "image": "busybox"}}
    event = {"Type": "container", "Action": "create", "Actor": actor, "timeNano": 1795528334123456789}
    assert event_line(event) == (f"2026-11-24T13:52:14.123456789Z container create {ID} (image=busybox, name=x)\n")
    assert event_line({"Type": "volume", "Action": "mount", "Actor": {"ID": "v"}, "time": 1}).endswith(" mount v\n")


def test_shares_of_the_machine() -> None:
    before = {"cpu_stats": {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1000}}
    sample = {
        "id": ID,
        "name": "/web",
        "cpu_stats": {"cpu_usage": {"total_usage": 300}, "system_cpu_usage": 2000, "online_cpus": 2},
        "memory_stats": {"usage": 3 << 20, "limit": 8 << 20, "stats": {"inactive_file": 1 << 20}},
        "blkio_stats": {"io_service_bytes_recursive": [{"op": "Read", "value": 5}, {"op": "write", "value": 7}]},
        "networks": {"a": {"rx_bytes": 1, "tx_bytes": 2}, "b": {"rx_bytes": 3, "tx_bytes": 4}},
        "pids_stats": {"current": 3},
    }
    row = stats_row("web", sample, before)
    assert row["CPUPerc"] == "40.00%"
    assert row["MemUsage"] == "2MiB / 8MiB"
    assert row["MemPerc"] == "25.00%"
    assert (row["BlockIO"], row["NetIO"], row["PIDs"]) == ("5B / 7B", "4B / 6B", "3")
    assert cpu_share({**sample, "precpu_stats": before["cpu_stats"]}, None) == 40
    assert cpu_share(before, sample) == 0
    assert stats_row("gone", None)["CPUPerc"] == "--"


def test_disk_usage() -> None:
    answer = {
        "LayersSize": 1000,
        "Images": [{"Size": 600, "SharedSize": 0, "Containers": 1}, {"Size": 400, "SharedSize": 0, "Containers": 0}],
        "Containers": [{"State": "running", "SizeRw": 10}, {"State": "exited", "SizeRw": 30}],
        "Volumes": [{"UsageData": {"Size": 100, "RefCount": 1}}, {"UsageData": {"Size": 300, "RefCount": 0}}],
    }
    assert [(row["Type"], row["Active"], row["Size"], row["Reclaimable"]) for row in usage_rows(answer)] == [
        ("Images", "1", "1kB", "400B (40%)"),
        ("Containers", "1", "40B", "30B (75%)"),
        ("Local Volumes", "1", "400B", "300B (75%)"),
    ]
    assert usage_rows({})[0]["Reclaimable"] == "0B"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.5, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (61, "About a minute"),
        (120, "2 minutes"),
        (3500, "58 minutes"),
        (3600, "About an hour"),
        (7300, "2 hours"),
        (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
        (14 * 86400, "2 weeks"),
        (60 * 86400, "2 months"),
        (730 * 86400, "2 years"),
    ],
)
def test_spans_of_time(seconds: float, words: str) -> None:
    assert units.human_duration(seconds) == words


def test_sizes_and_moments() -> None:
    assert [units.human_size(size, 3) for size in (0, 999, 1000, 999_950, 1_994_568)] == [
        "0B",
        "999B",
        "1kB",
        "1MB",
        "1.99MB",
    ]
    assert units.human_size(1_994_568) == "1.995MB"
    assert units.binary_size(1 << 20) == "1MiB"
    assert units.moment_of("2023-11-14T22:13:20.5Z") == NOW + 0.5
    assert units.moment_of("0001-01-01T00:00:00Z") == units.moment_of("x") == 0
    assert units.ago(0, NOW) == "N/A"
    assert units.local_time(NOW) == "2023-11-14 22:13:20 +0000 UTC"


def test_json_becomes_what_templates_expect() -> None:
    found = structured({"Id": "x", "Config": {"Labels": None, "Cmd": None, "Volumes": {"/d": {}}}, "status": "create"})
    forms = [
        "{{.Id}}{{.ID}} {{.Status}}",
        "{{.Config.Labels}} {{.Config.Cmd}} {{.Config.Labels.nope}}",
        "{{json .Config}}",
        "{{range $path, $_ := .Config.Volumes}}{{$path}}{{end}}",
    ]
    assert ["".join(render_each(form, [found])) for form in forms] == [
        "xx create\n",
        "map[] [] <no value>\n",
        '{"Labels":null,"Cmd":null,"Volumes":{"/d":{}}}\n',
        "/d\n",
    ]
    with pytest.raises(CliError, match='map has no entry for key "Nope"'):
        list(render_each("{{.Config.Nope}}", [found]))
