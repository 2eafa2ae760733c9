"""Fields are found in whatever case their names are written, as Go's servers find them."""

from __future__ import annotations

import msgspec

from bireme.server.models import CreateBody, ExecBody
from bireme.server.spelling import spelled


def test_another_case_means_the_same_field() -> None:
    assert spelled({"detachKeys": "ctrl-p", "CMD": ["x"]}, ExecBody) == {"DetachKeys": "ctrl-p", "Cmd": ["x"]}


def test_the_exact_spelling_comes_before_others() -> None:
    assert spelled({"cmd": "a", "Cmd": "b", "CMD": "c"}, ExecBody) == {"Cmd": "b"}
    assert spelled({"cmd": "a", "CMD": "c"}, ExecBody) == {"Cmd": "a"}


def test_objects_and_lists_inside_are_spelled_too_and_free_names_are_left() -> None:
    given = {
        "image": "busybox",
        "labels": {"Cmd": "label"},
        "hostconfig": {"CPURealtimeRuntime": 500, "ulimits": [{"name": "nofile", "SOFT": 7}]},
    }
    body = msgspec.convert(spelled(given, CreateBody), CreateBody)
    assert (body.image, body.labels) == ("busybox", {"Cmd": "label"})
    assert body.host_config.cpu_realtime_runtime == 500
    assert [(limit.name, limit.soft) for limit in body.host_config.ulimits] == [("nofile", 7)]


def test_values_of_maps_are_spelled_and_their_keys_left() -> None:
    given = {"networkingconfig": {"ENDPOINTSCONFIG": {"None": {"ipamconfig": {"ipv4address": "10.0.0.5"}}}}}
    body = msgspec.convert(spelled(given, CreateBody), CreateBody)
    assert body.networking_config.endpoints_config["None"].ipam_config.ipv4_address == "10.0.0.5"


def test_what_is_of_the_wrong_type_is_left_to_the_model() -> None:
    assert spelled([1], ExecBody) == [1]
    assert spelled({"HostConfig": "x", "Unknown": 1}, CreateBody) == {"HostConfig": "x", "Unknown": 1}
